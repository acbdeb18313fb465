//! Commands, said aloud before they run.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::cache;

/// `program` in the repository's root, with the tools first on PATH and the cache as cargo's target folder.
pub fn command(program: &str, args: &[&str]) -> Result<Command> {
    let mut command = Command::new(program);
    command.args(args).current_dir(cache::repository()).env("CARGO_TARGET_DIR", cache::target()?);
    command.env("PATH", path()?);
    // Set by the cargo that runs xtask; left in place, crates that watch them would be rebuilt.
    for (name, _) in std::env::vars_os() {
        let inherited = ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix));
        if inherited || name == "CARGO" {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// PATH with the cache's tools first.
fn path() -> Result<std::ffi::OsString> {
    let before = std::env::var_os("PATH").unwrap_or_default();
    let tools = cache::tools()?.join("bin");
    std::env::join_paths(std::iter::once(tools).chain(std::env::split_paths(&before)))
        .context("PATH holds a folder whose name cannot be in it")
}

/// Lets `command` find its programs in `folder` before anywhere else.
pub fn put_first_on_path(command: &mut Command, folder: &Path) -> Result<()> {
    let path = path()?;
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(folders).context("the cache folder's name cannot be in PATH")?);
    Ok(())
}

/// Runs to the end with its output shown; anything but success is an error that repeats the command.
pub fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    println!("\n$ {line}");
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Standard output of a quiet command, or None where it cannot be run or fails.
pub fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = command(program, args).ok()?.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where `program` is on PATH, if it is.
pub fn which(program: &str) -> Option<PathBuf> {
    let found = |folder: PathBuf| Some(folder.join(program)).filter(|file| file.is_file());
    std::env::split_paths(&path().ok()?).find_map(found)
}

/// Whether any of the folders holds a file of such a name.
pub fn any_file(folders: &[&str], matches: impl Fn(&str) -> bool) -> bool {
    let holds = |folder: &&str| {
        let entries = Path::new(folder).read_dir().into_iter().flatten().flatten();
        entries.into_iter().any(|entry| matches(&entry.file_name().to_string_lossy()))
    };
    folders.iter().any(holds)
}

/// The command as one would type it, without the variables that every command gets.
fn line(command: &Command) -> String {
    let common = |name: &str| name == "PATH" || name == "CARGO_TARGET_DIR";
    let variables = command.get_envs().filter(|(name, _)| !common(&name.to_string_lossy()));
    let set = variables.filter_map(|(name, value)| Some(format!("{}={}", name.display(), quoted(&value?.to_string_lossy()))));
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    set.chain(words.map(|word| quoted(&word.to_string_lossy()))).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_=./:,@+%".contains(c));
    if plain { word.into() } else { format!("'{word}'") }
}

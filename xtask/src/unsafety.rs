//! Unsafe code: none but in the modules named here, and every target of every crate forbids it where the compiler can.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{cache, command};

/// The modules that say what they need it for.
const MODULES: [&str; 2] = ["crates/evenkeel-kernels/src/platform.rs", "tools/stock-burn/src/web.rs"];
/// The crate with such a module: its lints deny what the module alone expects.
const KERNELS: &str = "crates/evenkeel-kernels/src/lib.rs";
const FORBIDDEN: &str = "#![forbid(unsafe_code)]";
/// Folders of what is built or installed.
const OTHERS: [&str; 3] = ["target", "node_modules", "dist"];

pub fn is_where_it_is_explained() -> Result<()> {
    let root = cache::repository();
    let mut faults = Vec::new();
    for file in rust_files(root)? {
        let name = relative(root, &file);
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {name}"))?;
        let lines = text.lines().enumerate().filter(|(_, line)| says_unsafe(line)).map(|(i, _)| i + 1);
        if !MODULES.contains(&name.as_str()) {
            faults.extend(lines.map(|line| format!("{name}:{line} has unsafe code: it belongs into {}", MODULES[0])));
        }
    }
    for target in targets()? {
        let name = relative(root, &target);
        let text = std::fs::read_to_string(&target).with_context(|| format!("cannot read {name}"))?;
        if name != KERNELS && !text.lines().any(|line| line == FORBIDDEN) {
            faults.push(format!("{name} lacks {FORBIDDEN}"));
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

/// Root files of every target of the workspace.
fn targets() -> Result<Vec<PathBuf>> {
    let said = command::output("cargo", &["metadata", "--no-deps", "--format-version", "1"]).context("`cargo metadata` failed")?;
    let metadata: Value = serde_json::from_str(&said)?;
    let packages = metadata["packages"].as_array().context("`cargo metadata` names no packages")?;
    let targets = packages.iter().flat_map(|package| package["targets"].as_array().into_iter().flatten());
    targets.map(|target| Ok(PathBuf::from(target["src_path"].as_str().context("a target without a file")?).canonicalize()?)).collect()
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() && !name.starts_with('.') && !OTHERS.contains(&name.as_str()) {
            files.extend(rust_files(&path)?);
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    Ok(files)
}

fn relative(root: &Path, file: &Path) -> String {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    file.canonicalize().unwrap_or_else(|_| file.to_owned()).strip_prefix(root).unwrap_or(file).display().to_string()
}

/// Whether the keyword stands in a line's code, outside strings and comments; what follows tells it from a sentence of a longer string.
fn says_unsafe(line: &str) -> bool {
    let code: String = line.split("//").next().unwrap_or_default().split('"').step_by(2).collect();
    let is_part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices("unsafe").any(|(at, word)| {
        let rest = &code[at + word.len()..];
        let begins = rest.trim_start();
        let is_word = !code[..at].ends_with(is_part_of_name) && !rest.starts_with(is_part_of_name);
        is_word && (begins.is_empty() || ["{", "(", "fn ", "impl", "extern", "trait "].iter().any(|next| begins.starts_with(next)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keyword_is_told_from_words_about_it() {
        for code in [
            "unsafe {",
            "    let x = unsafe { f() };",
            "pub unsafe fn f() {",
            "\"text\"; unsafe impl Send for X {}",
            "#[unsafe(no_mangle)]",
            "let x = unsafe",
        ] {
            assert!(says_unsafe(code), "{code}");
        }
        for other in
            ["// unsafe", "#![forbid(unsafe_code)]", "let s = \"unsafe\";", "fn says_unsafe() {", "  about unsafe code, in a long text"]
        {
            assert!(!says_unsafe(other), "{other}");
        }
    }
}

//! A Rust toolchain that compiles to wasm32: the current one with rustup's target, or, where Rust's servers are out of
//! reach, Debian's rustc and sources with a wasm32 library built from them and kept in the cache.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{cache, command, tools};

const TARGET: &str = "wasm32-unknown-unknown";
/// Debian's rustc for building browsers, its cargo, clippy, library sources and linker.
const DEBIAN: [&str; 6] = ["rustc-web", "cargo-web", "rust-web-clippy", "rust-web-src", "rust-web-llvm", "lld-22"];

/// Which rustc compiles to wasm32.
pub struct Toolchain {
    /// Put first on PATH, where the toolchain is our own.
    bin: Option<PathBuf>,
}

impl Toolchain {
    /// A command that compiles with this toolchain, cheaply: burn for wasm32 costs half at opt-level 1.
    pub fn command(&self, program: &str, args: &[&str]) -> Result<Command> {
        let mut command = command::command(program, args)?;
        command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
        if let Some(bin) = &self.bin {
            command::put_first_on_path(&mut command, bin)?;
        }
        Ok(command)
    }
}

/// The toolchain, installed if there is none yet. EVENKEEL_WASM_FROM_DEBIAN=1 asks for the second kind.
pub fn toolchain() -> Result<Toolchain> {
    let asked_for_debian = std::env::var_os("EVENKEEL_WASM_FROM_DEBIAN").is_some();
    if !asked_for_debian && (has_target() || rustup_adds_target()) {
        return Ok(Toolchain { bin: None });
    }
    let root = cache::wasm_toolchain()?;
    if !debian_is_installed() {
        tools::apt_install(&DEBIAN, "rustup has no wasm32 target here, and Debian's rustc comes with the sources of one")?;
    }
    let version = command::output("/usr/bin/rustc", &["-vV"]).context("/usr/bin/rustc does not run")?;
    // Written last, so that a half-built toolchain is built again.
    let stamp = root.join("built-from");
    if fs::read_to_string(&stamp).ok().as_ref() != Some(&version) {
        println!("building the wasm32 standard library from {}'s sources because Debian has none built", first_line(&version));
        build(&root).context("cannot build the wasm32 standard library")?;
        fs::write(&stamp, &version)?;
    }
    Ok(Toolchain { bin: Some(root.join("bin")) })
}

/// Whether the current rustc has the target's library.
fn has_target() -> bool {
    command::output("rustc", &["--print", "target-libdir", "--target", TARGET])
        .is_some_and(|folder| command::any_file(&[folder.trim()], |name| name.starts_with("libcore-")))
}

fn rustup_adds_target() -> bool {
    if command::which("rustup").is_none() {
        return false;
    }
    println!("installing the {TARGET} target with rustup because the worker and the page are WebAssembly");
    let added = command::command("rustup", &["target", "add", TARGET]).and_then(|mut add| command::run(&mut add));
    if let Err(error) = &added {
        println!("{error:#}; taking Debian's rustc instead");
    }
    added.is_ok() && has_target()
}

fn debian_is_installed() -> bool {
    let programs = ["/usr/bin/rustc", "/usr/bin/cargo", "/usr/bin/cargo-clippy", "/usr/bin/rust-lld", "/usr/bin/lld-22"];
    let sources = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";
    programs.iter().chain([&sources]).all(|file| Path::new(file).exists())
}

/// A folder shaped like a toolchain: Debian's host library by links, our own wasm32 library beside it, and programs that
/// tell Debian's where to look.
fn build(root: &Path) -> Result<()> {
    if root.exists() {
        fs::remove_dir_all(root)?;
    }
    let (bin, rustlib) = (root.join("bin"), root.join("lib/rustlib"));
    let library = rustlib.join(TARGET).join("lib");
    fs::create_dir_all(&bin)?;
    fs::create_dir_all(&library)?;

    for entry in fs::read_dir("/usr/lib/rustlib")? {
        let entry = entry?;
        if entry.file_name() != TARGET {
            symlink(entry.path(), rustlib.join(entry.file_name()))?;
        }
    }
    for rlib in build_standard_library(&root.join("build"))? {
        let name = rlib.file_name().context("a library has a file name")?;
        fs::copy(&rlib, library.join(name))?;
    }
    fs::remove_dir_all(root.join("build"))?;

    let sysroot = root.display();
    symlink("/usr/bin/cargo", bin.join("cargo"))?;
    script(&bin.join("rustc"), &format!("exec /usr/bin/rustc --sysroot '{sysroot}' \"$@\""))?;
    script(&bin.join("rustdoc"), &format!("exec /usr/bin/rustdoc --sysroot '{sysroot}' \"$@\""))?;
    script(&bin.join("cargo-clippy"), &format!("SYSROOT='{sysroot}' exec /usr/bin/cargo-clippy \"$@\""))
}

/// Compiles std for wasm32 as the dependency of an empty crate; the libraries, less that crate's own.
fn build_standard_library(folder: &Path) -> Result<Vec<PathBuf>> {
    const EMPTY: &str = "empty";
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("Cargo.toml"), format!("[package]\nname = \"{EMPTY}\"\nedition = \"2024\"\n[workspace]\n"))?;
    fs::write(folder.join("src/lib.rs"), "")?;

    let parts = "-Zbuild-std=std,panic_abort,panic_unwind,test,proc_macro";
    let mut cargo = command::command("/usr/bin/cargo", &["build", "--release", parts, "--target", TARGET])?;
    cargo.current_dir(folder).env("CARGO_TARGET_DIR", folder.join("target"));
    // Debian's stable rustc compiles its own library with the features that a nightly one would allow.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", "/usr/bin/rustc").env_remove("RUSTUP_TOOLCHAIN");
    command::run(&mut cargo)?;

    let deps = folder.join("target").join(TARGET).join("release/deps");
    let files = fs::read_dir(&deps)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let ours = format!("lib{EMPTY}-");
    let is_std = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".rlib") && !name.starts_with(&ours)
    };
    let libraries: Vec<_> = files.into_iter().filter(is_std).collect();
    if libraries.is_empty() {
        bail!("{} holds no library", deps.display());
    }
    Ok(libraries)
}

fn script(file: &Path, line: &str) -> Result<()> {
    fs::write(file, format!("#!/bin/sh\n{line}\n"))?;
    Ok(fs::set_permissions(file, fs::Permissions::from_mode(0o755))?)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

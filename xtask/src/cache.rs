//! Where build output and tools are kept: one folder outside the clone.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result};

/// The folder that holds everything below; created if it is not there.
fn root() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("EVENKEEL_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|base| base.join("evenkeel")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/evenkeel")))
        .context("no place for build output: set EVENKEEL_CACHE to a folder")?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create the cache folder {}: set EVENKEEL_CACHE to one that can be", folder.display()))?;
    Ok(folder.canonicalize()?)
}

/// Cargo's target folder for everything but xtask itself.
pub fn target() -> Result<PathBuf> {
    Ok(root()?.join("target"))
}

/// `cargo install --root` of the tools.
pub fn tools() -> Result<PathBuf> {
    Ok(root()?.join("tools"))
}

/// The linked toolchain with its rebuilt wasm32 library.
pub fn wasm_toolchain() -> Result<PathBuf> {
    Ok(root()?.join("wasm-toolchain"))
}

/// The page as trunk built it for the browser check.
pub fn dist() -> Result<PathBuf> {
    Ok(root()?.join("dist"))
}

/// The page as it is published.
pub fn published() -> Result<PathBuf> {
    Ok(root()?.join("published"))
}

/// A copy of the commit in which guards are tried.
pub fn copy() -> Result<PathBuf> {
    Ok(root()?.join("copy"))
}

/// What the browser's benchmarks run: the JavaScript and WebAssembly that wasm-bindgen made of evenkeel and of burn alone.
pub fn built() -> Result<PathBuf> {
    Ok(root()?.join("built"))
}

/// An empty folder for what a check writes; what an earlier one left is removed.
pub fn scratch(name: &str) -> Result<PathBuf> {
    let folder = root()?.join("scratch").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    Ok(folder)
}

/// The root of the repository that cargo runs this for: two checkouts may share a target folder, and with it this program.
pub fn repository() -> &'static Path {
    static MANIFEST: LazyLock<PathBuf> =
        LazyLock::new(|| std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()).into());
    MANIFEST.parent().expect("xtask is a folder of the repository")
}

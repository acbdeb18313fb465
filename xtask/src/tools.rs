//! Programs that are not cargo's own: system packages by apt, Rust tools by `cargo install` into the cache.

use std::{path::Path, sync::OnceLock};

use anyhow::{Context, Result, bail};

use crate::{cache, command};

/// wasm-pack runs the worker's tests in the browser.
const WASM_PACK: &str = "0.15.1";
/// The last trunk that rustc 1.95 builds.
const TRUNK: &str = "0.21.14";
/// The first node whose test runner takes one file at a time and has patience.
const NODE_VERSION: (u32, u32) = (20, 11);

/// A Debian package, why it is wanted, and how to tell that it is there.
struct System {
    packages: &'static [&'static str],
    because: &'static str,
    present: fn() -> bool,
}

const VULKAN: System = System {
    packages: &["mesa-vulkan-drivers", "libvulkan1"],
    because: "the kernels are tested on Vulkan, and a software driver works on every machine",
    present: || {
        let driver = |name: &str| name.starts_with("lvp_icd");
        let loader = |name: &str| name.starts_with("libvulkan.so.1");
        let libraries = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
        command::any_file(&["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"], driver) && command::any_file(&libraries, loader)
    },
};

const CHROMIUM: System = System {
    packages: &["chromium", "chromium-driver"],
    because: "the worker and the page are tested in a real browser with WebGPU",
    present: || crate::browser::chromium().is_some() && command::which("chromedriver").is_some(),
};

const NODE: System = System {
    packages: &["nodejs", "npm"],
    because: "node runs the page's tests, and npm fetches what they and the page need",
    present: || node_version().is_some_and(|version| version >= NODE_VERSION) && command::which("npm").is_some(),
};

pub fn vulkan() -> Result<()> {
    system(&VULKAN)
}

pub fn chromium() -> Result<()> {
    system(&CHROMIUM)
}

pub fn node() -> Result<()> {
    system(&NODE)
}

/// "v20.11.1" → (20, 11)
fn node_version() -> Option<(u32, u32)> {
    let said = command::output("node", &["--version"])?;
    let mut numbers = said.trim().trim_start_matches('v').split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Exactly the versions of the folder's `package-lock.json`; none of them is allowed to run a script of its own.
pub fn npm_packages(folder: &str) -> Result<()> {
    let args = ["ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund"];
    command::run(&mut command::command("npm", &args)?)
}

fn system(wanted: &System) -> Result<()> {
    if (wanted.present)() {
        return Ok(());
    }
    apt_install(wanted.packages, wanted.because)?;
    if !(wanted.present)() {
        bail!("{} is installed and still not found, or too old", wanted.packages.join(" and "));
    }
    Ok(())
}

/// Installs Debian packages, with sudo where we are not root; the package lists are refreshed once a run.
pub fn apt_install(packages: &[&str], because: &str) -> Result<()> {
    static LISTS: OnceLock<()> = OnceLock::new();
    let names = packages.join(" ");
    println!("installing {names} with apt-get because {because}");
    if command::which("apt-get").is_none() {
        bail!("{names} must be installed by hand: {because}, and this system has no apt-get");
    }
    let root = command::output("id", &["-u"]).is_some_and(|id| id.trim() == "0");
    if !root && command::which("sudo").is_none() {
        bail!("{names} must be installed by root: {because}. Run `apt-get install {names}` as root, then this again.");
    }
    let apt = |args: &[&str]| {
        let words: Vec<&str> = if root { vec!["apt-get"] } else { vec!["sudo", "apt-get"] };
        let words: Vec<&str> = words.into_iter().chain(args.iter().copied()).collect();
        command::run(command::command(words[0], &words[1..])?.env("DEBIAN_FRONTEND", "noninteractive"))
    };
    if LISTS.get().is_none() {
        apt(&["update", "-q"])?;
        LISTS.get_or_init(|| ());
    }
    let install = ["install", "-y", "-q", "--no-install-recommends"];
    apt(&install.iter().chain(packages).copied().collect::<Vec<_>>())
}

pub fn wasm_bindgen() -> Result<()> {
    let version = locked_version("wasm-bindgen")?;
    cargo_install("wasm-bindgen-cli", "wasm-bindgen", &version, &[], "Cargo.lock's wasm-bindgen needs its own version of it")
}

pub fn wasm_pack() -> Result<()> {
    cargo_install("wasm-pack", "wasm-pack", WASM_PACK, &[], "it runs the worker's tests in the browser")
}

pub fn trunk() -> Result<()> {
    // Without TLS: trunk would only use it to download what is installed here already. Locked: its CSS parser does not compile
    // with the newest of what it stands on.
    cargo_install("trunk", "trunk", TRUNK, &["--no-default-features", "--locked"], "it builds the page")
}

/// Installs `package` into the cache unless its `program` answers with the version wanted.
fn cargo_install(package: &str, program: &str, version: &str, features: &[&str], because: &str) -> Result<()> {
    if command::output(program, &["--version"]).is_some_and(|said| said.split_whitespace().any(|word| word == version)) {
        return Ok(());
    }
    println!("installing {package} {version} with cargo install because {because}");
    let root = cache::tools()?;
    let root = root.to_str().context("the cache folder's name must be UTF-8")?;
    let args = ["install", package, "--version", version, "--root", root, "--force"];
    let mut install = command::command("cargo", &args)?;
    install.args(features).env("CARGO_TARGET_DIR", Path::new(root).join("build"));
    // Half the compile time of the default: these tools run for seconds.
    for (setting, value) in [("OPT_LEVEL", "1"), ("LTO", "off"), ("CODEGEN_UNITS", "16"), ("DEBUG", "0")] {
        install.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    command::run(&mut install)
}

/// The version of `package` in Cargo.lock.
fn locked_version(package: &str) -> Result<String> {
    let lock = std::fs::read_to_string(cache::repository().join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    Ok(version.with_context(|| format!("Cargo.lock names no {package}"))?.to_owned())
}

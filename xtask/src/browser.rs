//! The page in a real browser: built by trunk, played from start to end by the tests under `tests/browser`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{
    cache,
    command::{self, command},
    wasm::Toolchain,
};

/// Milliseconds that one test may take on a machine whose two cores do other things too.
const PATIENCE: &str = "--test-timeout=1500000";

/// The browser, by the names it goes by.
pub fn chromium() -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| command::which(name))
}

/// Builds the page and the worker with the profile that the tests share, not the one they are published with.
pub fn build_page(toolchain: &Toolchain) -> Result<()> {
    let dist = cache::dist()?;
    let dist = dist.to_str().context("the cache folder's name must be UTF-8")?;
    let args = ["build", "--cargo-profile", "release", "--dist", dist];
    // trunk takes NO_COLOR for a flag of its own and refuses the value 1.
    command::run(toolchain.command("trunk", &args)?.env_remove("NO_COLOR"))
}

/// Builds the page as it is published and weighs it.
pub fn weigh_page(toolchain: &Toolchain) -> Result<()> {
    let dist = cache::published()?;
    let dist = dist.to_str().context("the cache folder's name must be UTF-8")?;
    command::run(toolchain.command("trunk", &["build", "--dist", dist])?.env_remove("NO_COLOR"))?;
    command::run(&mut command("node", &["web/size.mjs", dist])?)
}

/// Builds the page with the tests' profile and serves it until it is interrupted.
pub fn serve_page(toolchain: &Toolchain) -> Result<()> {
    command::run(toolchain.command("trunk", &["serve", "--cargo-profile", "release"])?.env_remove("NO_COLOR"))
}

/// Compiles the benchmarks' program for the browser.
pub fn build_bench(toolchain: &Toolchain) -> Result<()> {
    let args = ["build", "--release", "--target", "wasm32-unknown-unknown", "-p", "evenkeel-web", "--example", "bench"];
    command::run(&mut toolchain.command("cargo", &args)?)?;
    bind(&cache::target()?.join("wasm32-unknown-unknown/release/examples/bench.wasm"), "evenkeel")
}

/// Compiles burn alone for the browser: a workspace of its own and so a burn of its own, a quarter of an hour the first time. Without
/// autotuning: among the products that it tries are some that Chromium 156 refuses to compile, after which the device is of no use.
pub fn build_stock_burn(toolchain: &Toolchain) -> Result<()> {
    let target = cache::target()?.join("stock-burn");
    let args = ["build", "--release", "--target", "wasm32-unknown-unknown", "--lib", "--no-default-features"];
    let args = [args.as_slice(), &["--manifest-path", "tools/stock-burn/Cargo.toml"]].concat();
    command::run(toolchain.command("cargo", &args)?.env("CARGO_TARGET_DIR", &target))?;
    bind(&target.join("wasm32-unknown-unknown/release/stock_burn.wasm"), "burn")
}

/// Writes the JavaScript that loads a program, and the program beside it.
fn bind(program: &Path, name: &str) -> Result<()> {
    let args = ["--target", "web", "--no-typescript", "--out-dir"];
    command::run(command("wasm-bindgen", &args)?.arg(cache::built()?.join(name)).arg(program))
}

/// Steps of the programs that are named, in turn, in one headless Chromium. `options` are those of `tools/peers/run.mjs`, and may replace
/// what is asked for here.
pub fn compare(contenders: &str, tasks: &str, options: &[String]) -> Result<()> {
    let mut run = command("node", &[])?;
    run.arg(cache::repository().join("tools/peers/run.mjs")).args(["--only", contenders, "--tasks", tasks]).args(options);
    command::run(run.current_dir(std::env::current_dir()?).env("EVENKEEL_BUILT", cache::built()?))
}

/// The page's modules by themselves: their tests, and their types.
pub fn modules_work() -> Result<()> {
    let tests = tests_in("web/test")?;
    command::run(command("node", &["--test"])?.args(tests))?;
    command::run(&mut command("npm", &["--prefix", "web", "run", "check"])?)
}

/// The built page in headless Chromium, against itself and against the native program. One test at a time: each has a browser that computes
/// WebGPU on the CPU.
pub fn page_works() -> Result<()> {
    command::run(&mut command("cargo", &["build", "--release", "-p", "evenkeel-cli"])?)?;
    let mut test = command("node", &["--test", "--test-concurrency=1", PATIENCE])?;
    test.args(tests_in("tests/browser")?);
    test.env("EVENKEEL_DIST", cache::dist()?).env("EVENKEEL_BIN", cache::target()?.join("release/evenkeel"));
    test.env("EVENKEEL_BUILT", cache::built()?);
    command::run(&mut test)
}

/// The test files of a folder by name: node's versions differ in what they make of the folder itself.
fn tests_in(folder: &str) -> Result<Vec<PathBuf>> {
    let is_test = |path: &Path| path.file_stem().is_some_and(|stem| Path::new(stem).extension().is_some_and(|kind| kind == "test"));
    let entries = cache::repository().join(folder).read_dir().with_context(|| format!("cannot read {folder}"))?;
    let mut tests = entries.map(|entry| Ok(Path::new(folder).join(entry?.file_name()))).collect::<Result<Vec<_>>>()?;
    tests.retain(|path| is_test(path));
    tests.sort();
    Ok(tests)
}

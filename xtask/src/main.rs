//! The project's chores, one word each: `cargo xtask setup | lint | supply | crash | breaks | memory | soak | web | serve | size | bench-web | bench-peers | test`.
//!
//! Kept to the standard library, anyhow and serde_json, because every use of it waits for it to compile.

#![forbid(unsafe_code)]

mod breaks;
mod browser;
mod cache;
mod command;
mod features;
mod options;
mod setup;
mod soak;
mod steps;
mod supply;
mod tools;
mod unsafety;
mod wasm;

use std::process::ExitCode;

use anyhow::{Result, bail};
use steps::Report;

const HELP: &str = "\
cargo xtask CHORE

  setup       install whatever is missing for the others, saying what and why before each
  lint        fmt --check and clippy, native and wasm32; licences, sources and unsafe code
  supply      licences, sources and bans of what evenkeel is built from, as deny.toml says; unsafe code; RustSec's advisories (cargo-deny)
  crash       runs of every trainer killed at random moments and gone on with: they must end as undisturbed ones, byte for byte
  breaks      guards seen to fail: what each guards is broken in a copy of the commit, and its test must notice
  memory      the estimate of memory against the peak of the process: within a tenth, on three models of different shape
  soak        10,000 SFT steps and 1,000 PPO iterations: memory flat within 1 %, speed within 2 %
  web         the page's modules by themselves; the worker's tests and the page, in headless Chromium with WebGPU on the CPU
  serve       build the page and serve it on http://127.0.0.1:8080, again after every change
  size        build the page as it is published and weigh what a visitor downloads: 3 MB at most
  bench-web   time training steps and rollouts in headless Chromium, against burn alone
  bench-peers time a training step there against TensorFlow.js, jax-js and, natively, PyTorch
  test        everything CI runs: setup, lint, tests, documentation, web, the command line end to end

crash takes --runs N --seed N; soak --steps N --device cpu|gpu|chromium
bench-web and bench-peers take options: --only evenkeel,tfjs --tasks 'sft S,dpo S' --rounds N --patience SECONDS --json FILE

Build output and tools are kept in one folder outside the clone: $EVENKEEL_CACHE, else
$XDG_CACHE_HOME/evenkeel, else ~/.cache/evenkeel. A second run is quick.";

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything that was asked for went well.
fn run(args: &[String]) -> Result<bool> {
    let (chore, options) = match args {
        [] => ("help", args),
        [chore, options @ ..] => (chore.as_str(), options),
    };
    let takes_options = chore.starts_with("bench-") || ["crash", "soak"].contains(&chore);
    if let (Some(extra), false) = (options.first(), takes_options) {
        bail!("`{extra}` is one word too many.\n\n{HELP}");
    }
    let mut report = Report::default();
    match chore {
        "setup" => setup::everything(&mut report),
        "lint" => steps::lint(&mut report),
        "supply" => steps::supply(&mut report),
        "crash" => steps::crash(&mut report, options),
        "breaks" => steps::breaks(&mut report),
        "memory" => steps::memory(&mut report),
        "soak" => steps::soak(&mut report, options),
        "web" => steps::web(&mut report),
        "bench-web" => steps::bench_web(&mut report, options),
        "bench-peers" => steps::bench_peers(&mut report, options),
        "serve" => steps::serve(&mut report),
        "size" => steps::size(&mut report),
        "test" => steps::test(&mut report),
        "help" | "--help" | "-h" => println!("{HELP}"),
        unknown => bail!("`{unknown}` is not a chore.\n\n{HELP}"),
    }
    Ok(report.print_and_judge())
}

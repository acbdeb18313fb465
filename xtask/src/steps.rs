//! What is run and in which order, cheapest first, and the table that says how it went.

use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};

use crate::{
    breaks, browser, cache,
    command::{command, run},
    features, options, setup, soak, supply, unsafety,
    wasm::Toolchain,
};

/// The verdict of every step so far.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    verdict: Verdict,
    seconds: f64,
}

#[derive(PartialEq)]
enum Verdict {
    Passed,
    Failed,
    NotRun,
}

impl Report {
    /// Runs one step and keeps its verdict; the value is None where it failed.
    pub fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = work();
        let verdict = match &outcome {
            Ok(_) => Verdict::Passed,
            Err(error) => {
                println!("{name} failed: {error:#}");
                Verdict::Failed
            }
        };
        self.rows.push(Row { name: name.into(), verdict, seconds: start.elapsed().as_secs_f64() });
        outcome.ok()
    }

    /// Like [`Report::step`], for a step that makes no sense without what an earlier one gave.
    fn step_after<N, T>(&mut self, name: &str, needed: Option<N>, work: impl FnOnce(N) -> Result<T>) -> Option<T> {
        match needed {
            Some(needed) => self.step(name, || work(needed)),
            None => {
                self.rows.push(Row { name: name.into(), verdict: Verdict::NotRun, seconds: 0.0 });
                None
            }
        }
    }

    /// Prints a line per step; whether all passed. A step that could not be run counts as a failure.
    pub fn print_and_judge(&self) -> bool {
        if self.rows.is_empty() {
            return true;
        }
        println!("\n{:<44} {:>8}  seconds", "step", "verdict");
        for row in &self.rows {
            let verdict = match row.verdict {
                Verdict::Passed => "ok",
                Verdict::Failed => "FAILED",
                Verdict::NotRun => "NOT RUN",
            };
            println!("{:<44} {verdict:>8}  {:.0}", row.name, row.seconds);
        }
        self.rows.iter().all(|row| row.verdict == Verdict::Passed)
    }
}

/// Formatting and lints, native and wasm32.
pub fn lint(report: &mut Report) {
    report.step("formatting", || run(&mut command("cargo", &["fmt", "--all", "--check"])?));
    report.step("one set of features", features::agree);
    trust(report);
    report.step("clippy", clippy);
    let toolchain = report.step("set-up: wasm32 target", setup::wasm_target);
    report.step_after("clippy for wasm32", toolchain.as_ref(), clippy_wasm);
}

/// What evenkeel is built from, and where it goes without the compiler's guard.
pub fn supply(report: &mut Report) {
    trust(report);
    report.step("advisories", supply::advisories);
}

/// The part of it that needs no network.
fn trust(report: &mut Report) {
    report.step("licences, sources and bans", supply::dependencies);
    report.step("unsafe code", unsafety::is_where_it_is_explained);
}

/// The crash drill at length; in short it is one of the tests.
pub fn crash(report: &mut Report, given: &[String]) {
    report.step("crash drill", || {
        let [runs, seed] = options::read(given, [("--runs", "100"), ("--seed", "1")])?;
        let drill = ["killed_runs_end_as_undisturbed_ones", "--nocapture"];
        let args = [&["test", "--release", "--workspace", "--test", "suite", "--"], &drill[..]].concat();
        run(command("cargo", &args)?.env("EVENKEEL_CRASH_RUNS", runs).env("EVENKEEL_CRASH_SEED", seed))
    });
}

/// Whether the guards notice what they guard against.
pub fn breaks(report: &mut Report) {
    report.step("guards seen to fail", breaks::are_noticed);
}

/// The estimate of memory against the peak, of every model, stage and setting; two of them are one of the tests.
pub fn memory(report: &mut Report) {
    report.step("estimate of memory", || {
        let args = ["test", "--release", "--workspace", "--test", "suite", "--", "the_estimate_is_the_peak", "--nocapture"];
        run(command("cargo", &args)?.env("EVENKEEL_MEMORY", "all"))
    });
}

/// Long runs; memory alone is one of the tests too.
pub fn soak(report: &mut Report, given: &[String]) {
    let Some([steps, device]) = report.step("what is asked", || soak::asked(given)) else { return };
    if device == "chromium" {
        let (_, bench) = bench_program(report);
        report.step_after("long runs in Chromium", bench, |()| soak::in_chromium(&steps));
    } else {
        report.step("long runs", || soak::native(&steps, &device));
    }
}

/// The page's modules, and the worker's tests and the page in a real browser.
pub fn web(report: &mut Report) {
    let node = report.step("set-up: node", setup::node);
    let packages = report.step_after("set-up: npm packages", node, |()| setup::npm_packages());
    report.step_after("page's own tests", packages, |()| browser::modules_work());
    let toolchain = report.step("set-up: wasm32 target", setup::wasm_target);
    let chromium = report.step("set-up: Chromium", setup::chromium);
    let runner = report.step("set-up: wasm-bindgen and wasm-pack", setup::wasm_test_runner);
    let ready = toolchain.as_ref().filter(|_| chromium.is_some() && runner.is_some());
    report.step_after("tests in the browser's worker", ready, in_worker);
    let trunk = report.step("set-up: trunk", setup::trunk);
    let page = report.step_after("page build", ready.filter(|_| trunk.is_some() && packages.is_some()), browser::build_page);
    let bench = report.step_after("benchmarks' program", ready, browser::build_bench);
    report.step_after("page in the browser", page.and(bench), |()| browser::page_works());
}

/// What evenkeel trains and writes in headless Chromium, against the same in burn's own operations.
pub fn bench_web(report: &mut Report, options: &[String]) {
    let tasks = "sft S,sft M,dpo S,rollout S 1,rollout S 64,ppo S";
    let (toolchain, bench) = bench_program(report);
    let burn = report.step_after("burn alone for the browser", toolchain.as_ref(), browser::build_stock_burn);
    report.step_after("steps in turn", bench.and(burn), |()| browser::compare("evenkeel,burn", tasks, options));
}

/// A training step of evenkeel against those of other libraries that train in a browser.
pub fn bench_peers(report: &mut Report, options: &[String]) {
    let (_, bench) = bench_program(report);
    let peers = report.step("set-up: the other libraries", setup::peers);
    report.step_after("steps in turn", bench.and(peers), |()| browser::compare("evenkeel,tfjs,jax,torch", "sft S,sft M", options));
}

/// Everything that the benchmarks need of the machine, and evenkeel's program.
fn bench_program(report: &mut Report) -> (Option<Toolchain>, Option<()>) {
    let toolchain = report.step("set-up: wasm32 target", setup::wasm_target);
    let browser = report.step("set-up: Chromium, wasm-bindgen, node and npm packages", || {
        setup::chromium()?;
        setup::wasm_test_runner()?;
        setup::node()?;
        setup::npm_packages()
    });
    let ready = toolchain.as_ref().filter(|_| browser.is_some());
    let bench = report.step_after("evenkeel for the browser", ready, browser::build_bench);
    (toolchain.filter(|_| browser.is_some()), bench)
}

/// The page for a person, until it is interrupted.
pub fn serve(report: &mut Report) {
    let toolchain = page_builder(report);
    report.step_after("page", toolchain, |toolchain| browser::serve_page(&toolchain));
}

/// How much a visitor downloads.
pub fn size(report: &mut Report) {
    let toolchain = page_builder(report);
    report.step_after("the page's size", toolchain, |toolchain| browser::weigh_page(&toolchain));
}

/// Everything that building the page needs of the machine.
fn page_builder(report: &mut Report) -> Option<Toolchain> {
    let node = report.step("set-up: node", setup::node);
    let toolchain = report.step("set-up: wasm32 target", setup::wasm_target);
    let tools = report.step("set-up: wasm-bindgen and trunk", || setup::wasm_test_runner().and_then(|()| setup::trunk()));
    toolchain.filter(|_| node.is_some() && tools.is_some())
}

/// Everything CI runs.
pub fn test(report: &mut Report) {
    lint(report);
    let vulkan = report.step("set-up: Vulkan driver", setup::vulkan);
    let tested = report.step_after("tests", vulkan, |()| tests());
    report.step_after("tests at WebGPU's minimum", tested, |()| tests_at_minimum());
    report.step("documentation", documentation);
    report.step("command line", command_line_end_to_end);
    web(report);
}

fn clippy() -> Result<()> {
    let args = ["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];
    run(&mut command("cargo", &args)?)
}

/// The crates that the browser gets, with what does not work there forbidden.
fn clippy_wasm(toolchain: &Toolchain) -> Result<()> {
    let crates = ["-p", "evenkeel-kernels", "-p", "evenkeel-core", "-p", "evenkeel-web"];
    let mut clippy = toolchain.command("cargo", &["clippy", "--release", "--target", "wasm32-unknown-unknown"])?;
    clippy.env("CLIPPY_CONF_DIR", cache::repository().join("xtask/clippy-wasm"));
    run(clippy.args(crates).args(["--", "-D", "warnings"]))
}

/// Every native test, on the CPU and on a Vulkan adapter that must be there.
fn tests() -> Result<()> {
    run(command("cargo", &["test", "--release", "--workspace"])?.env("EVENKEEL_GPU", "yes"))
}

/// The same on an adapter that has no more than WebGPU's defaults: kernels and core, but for the one long test that the CPU backend does alone.
/// The program's own tests would take too long there (docs/reliability.md tells how long).
fn tests_at_minimum() -> Result<()> {
    let skipped = ["--skip", "cli::", "--skip", "preferences_raise_gold"];
    let mut test = command("cargo", &["test", "--release", "--workspace", "--test", "suite", "--"])?;
    test.args(skipped);
    run(test.env("EVENKEEL_GPU", "yes").env("EVENKEEL_GPU_PROFILE", "minimum"))
}

/// Documentation of the whole workspace: a part of it would resolve features, and so build burn, once more.
fn documentation() -> Result<()> {
    let args = ["doc", "--release", "--workspace", "--no-deps", "--lib"];
    run(command("cargo", &args)?.env("RUSTDOCFLAGS", "-D warnings"))
}

/// The README's main job and the library's example, as a user runs them.
fn command_line_end_to_end() -> Result<()> {
    run(&mut command("cargo", &["run", "--release", "-p", "evenkeel-core", "--example", "ppo_closure"])?)?;
    let out = cache::scratch("demo")?;
    run(command("cargo", &["run", "--release", "--", "demo", "--out"])?.arg(&out))?;
    let expected = ["report.html", "run.json", "events.jsonl", "samples.jsonl", "figures/demo.json", "models/ppo/model.safetensors"];
    for name in expected {
        let length = std::fs::metadata(out.join(name)).with_context(|| format!("the demo left no {name}"))?.len();
        ensure!(length > 0, "the demo left an empty {name}");
    }
    Ok(())
}

/// Kernels, training and generation on WebGPU against the CPU twins, in a dedicated worker of headless Chromium. No adapter is a failure.
fn in_worker(toolchain: &Toolchain) -> Result<()> {
    let driver = crate::command::which("chromedriver").ok_or_else(|| anyhow!("chromedriver is not on PATH"))?;
    let driver = driver.to_string_lossy();
    let args = ["test", "--headless", "--chrome", "--chromedriver", &driver, "--mode", "no-install", "--release"];
    let mut test = toolchain.command("wasm-pack", &args)?;
    test.args(["crates/evenkeel-web", "--test", "suite", "--test", "minimum", "--", "--nocapture"]);
    // Seconds; the defaults of 20 and 5 are for machines that do nothing else.
    test.env("WASM_BINDGEN_TEST_TIMEOUT", "300").env("WASM_BINDGEN_TEST_DRIVER_TIMEOUT", "60");
    run(&mut test)
}

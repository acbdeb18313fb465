//! Long runs: what they hold and how fast they are when they are old, against when they were young.

use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{cache, command, options};

/// Most that memory may grow from the first fifth of the run to the last, and most that a step may take longer.
const MEMORY: f64 = 0.01;
const SPEED: f64 = 0.02;

/// How many steps, and where.
pub fn asked(given: &[String]) -> Result<[String; 2]> {
    options::read(given, [("--steps", "10000"), ("--device", "cpu")])
}

/// SFT steps and a tenth as many PPO iterations, by `evenkeel bench endurance`.
pub fn native(steps: &str, device: &str) -> Result<()> {
    let args = ["run", "--release", "--quiet", "--", "bench", "endurance", "--json", "--device", device, "--steps", steps];
    println!("$ cargo {}", args.join(" "));
    judge(&command::output("cargo", &args).context("the long runs did not come to their end")?)
}

/// The same in headless Chromium.
pub fn in_chromium(steps: &str) -> Result<()> {
    let mut node = command::command("node", &["tests/browser/soak.mjs", steps])?;
    node.env("EVENKEEL_BUILT", cache::built()?).stderr(Stdio::inherit());
    let told = node.output().context("node cannot be run")?;
    ensure!(told.status.success(), "the long runs did not come to their end");
    judge(&String::from_utf8(told.stdout)?)
}

/// A row of JSON for each run.
fn judge(told: &str) -> Result<()> {
    let rows = told.lines().map(serde_json::from_str).collect::<serde_json::Result<Vec<Value>>>()?;
    println!(
        "{:<5} {:>6} {:>10} {:>9} {:>11} {:>14} {:>14}  device",
        "run", "steps", "ms young", "ms old", "old / young", "process grew", "device grew"
    );
    let mut faults = Vec::new();
    for row in &rows {
        let run = row["run"].as_str().unwrap_or_default();
        let ratio = row["ratio"].as_f64().context("a row without a ratio")?;
        let grown = ["resident_bytes", "reserved_bytes"].map(|held| growth(&row[held]));
        let [process, of_device] = grown.map(|grown| grown.map_or_else(String::new, |grown| format!("{:.2} %", 100.0 * grown)));
        let ms = |i: usize| row["ms"][i].as_f64().unwrap_or(f64::NAN);
        println!(
            "{run:<5} {:>6} {:>10.3} {:>9.3} {ratio:>11.3} {process:>14} {of_device:>14}  {}",
            row["steps"][1],
            ms(0),
            ms(1),
            row["device"].as_str().unwrap_or_default()
        );
        if grown.into_iter().flatten().any(|grown| grown > MEMORY) {
            faults.push(format!("{run} holds more than {:.0} % more memory than when it was young", 100.0 * MEMORY));
        }
        if ratio > 1.0 + SPEED {
            faults.push(format!("a step of {run} takes more than {:.0} % longer than when it was young", 100.0 * SPEED));
        }
    }
    match faults.is_empty() {
        true if rows.is_empty() => bail!("nothing was run"),
        true => Ok(()),
        false => bail!("{}", faults.join("; ")),
    }
}

/// How much more was held at last, of what was held when young.
fn growth(held: &Value) -> Option<f64> {
    Some(held["old"].as_f64()? / held["young"].as_f64()? - 1.0)
}

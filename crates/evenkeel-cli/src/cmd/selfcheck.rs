//! `evenkeel selfcheck`: does this device compute what evenkeel means?

use std::time::Instant;

use anyhow::Result;
use evenkeel_core::Error;
use evenkeel_kernels::selfcheck::selfcheck;

use crate::args::SelfcheckArgs;
use crate::{device, output, table};

/// Prints a verdict per kernel; an error where one is wrong.
pub fn run(args: &SelfcheckArgs) -> Result<()> {
    let selected = device::open(args.device)?;
    let begun = Instant::now();
    let verdicts = pollster::block_on(selfcheck(&selected.device)).map_err(Error::Device)?;
    let row = |v: &evenkeel_kernels::selfcheck::Verdict| {
        vec![v.kernel.to_string(), if v.passed() { "ok" } else { "WRONG" }.to_string(), format!("{:.3}", v.error)]
    };
    let rows: Vec<_> = verdicts.iter().map(row).collect();
    output::raw(&table::table(&["kernel", "verdict", "error / tolerance"], &rows))?;
    eprintln!("{} kernels in {:.1} s", verdicts.len(), begun.elapsed().as_secs_f64());
    let wrong: Vec<&str> = verdicts.iter().filter(|v| !v.passed()).map(|v| v.kernel).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let problem = format!("{} computes wrongly: {}", device::name(&selected), wrong.join(", "));
    Err(Error::Device(format!("{problem}. Update its driver, or use --device cpu")).into())
}

//! `evenkeel selfcheck`: does this device compute what evenkeel means?

use std::time::Instant;

use anyhow::Result;
use evenkeel_core::selfcheck::selfcheck;
use evenkeel_kernels::selfcheck::Verdict;

use crate::args::SelfcheckArgs;
use crate::{device, output, table};

/// Prints a verdict per kernel and per property of the trainers; an error where one is wrong.
pub fn run(args: &SelfcheckArgs) -> Result<()> {
    let selected = device::open(args.device)?;
    let begun = Instant::now();
    let mut verdicts = device::verdicts(&selected)?;
    verdicts.extend(pollster::block_on(selfcheck(&selected.device))?);
    let row = |v: &Verdict| vec![v.of.to_string(), if v.passed() { "ok" } else { "WRONG" }.to_string(), format!("{:.3}", v.error)];
    let rows: Vec<_> = verdicts.iter().map(row).collect();
    output::raw(&table::table(&["kernel, or what holds of the trainers", "verdict", "error / tolerance"], &rows))?;
    eprintln!("{} checks in {:.1} s", verdicts.len(), begun.elapsed().as_secs_f64());
    device::judge(&selected, &verdicts)
}

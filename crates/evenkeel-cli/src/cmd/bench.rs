//! `evenkeel bench`: evenkeel's kernels against the same mathematics in burn's own operations, and whole steps.

use std::time::Instant;

use anyhow::Result;
use evenkeel_core::bench as core_bench;
use evenkeel_kernels::bench;
use serde_json::json;

use crate::args::{BenchArgs, BenchPart};
use crate::{device, output, table};

/// Times what was asked for and prints a row each.
pub fn run(args: &BenchArgs) -> Result<()> {
    let selected = device::open(args.device)?;
    let start = Instant::now();
    let clock = || start.elapsed().as_secs_f64() * 1e3;
    let name = device::name(&selected);
    if args.part != Some(BenchPart::Steps) {
        let rows = pollster::block_on(bench::rows(&selected.device, clock));
        if args.json { kernels_json(&name, &rows)? } else { kernels_table(&rows)? }
    }
    if args.part != Some(BenchPart::Kernels) {
        let mut rows = Vec::new();
        pollster::block_on(core_bench::steps(&selected.device, clock, |row| rows.push(row)))?;
        if args.json { steps_json(&name, &rows)? } else { steps_table(&rows)? }
    }
    Ok(())
}

fn kernels_json(device: &str, rows: &[bench::BenchRow]) -> Result<()> {
    rows.iter().try_for_each(|row| {
        let ratio = row.stock_ms / row.ours_ms;
        let object = json!({
            "device": device, "kernel": row.kernel, "shape": row.shape, "ours_ms": row.ours_ms,
            "default_form_ms": row.default_form_ms, "burn_ms": row.stock_ms, "ratio": ratio,
        });
        output::line(&object.to_string())
    })
}

fn kernels_table(rows: &[bench::BenchRow]) -> Result<()> {
    let cells = |row: &bench::BenchRow| {
        let ratio = format!("{:.2}×", row.stock_ms / row.ours_ms);
        let default_form = row.default_form_ms.map_or_else(String::new, |ms| format!("{ms:.2}"));
        vec![row.kernel.to_owned(), row.shape.clone(), format!("{:.2}", row.ours_ms), default_form, format!("{:.2}", row.stock_ms), ratio]
    };
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    output::raw(&table::table(&["kernel", "shape", "evenkeel ms", "default form ms", "burn ms", "burn / evenkeel"], &cells))
}

fn steps_json(device: &str, rows: &[core_bench::StepRow]) -> Result<()> {
    rows.iter().try_for_each(|row| {
        let [median, fastest, slowest] = row.ms;
        let object = json!({
            "device": device, "step": row.what, "model": row.model, "ms": median, "fastest_ms": fastest, "slowest_ms": slowest,
            "tokens_per_second": row.tokens_per_second, "launches": row.launches,
        });
        output::line(&object.to_string())
    })
}

fn steps_table(rows: &[core_bench::StepRow]) -> Result<()> {
    let cells = |row: &core_bench::StepRow| {
        let [median, fastest, slowest] = row.ms.map(|ms| format!("{ms:.1}"));
        let launches = if row.launches == 0 { String::new() } else { row.launches.to_string() };
        vec![row.what.to_owned(), row.model.to_owned(), median, fastest, slowest, format!("{:.0}", row.tokens_per_second), launches]
    };
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    output::raw(&table::table(&["step", "model", "ms", "fastest", "slowest", "tokens/s", "launches"], &cells))
}

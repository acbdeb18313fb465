//! `evenkeel bench`: evenkeel's kernels against the same mathematics in burn's own operations.

use std::time::Instant;

use anyhow::Result;
use evenkeel_kernels::bench;
use serde_json::json;

use crate::args::BenchArgs;
use crate::{device, output, table};

/// Times every kernel and prints a row each.
pub fn run(args: &BenchArgs) -> Result<()> {
    let selected = device::open(args.device)?;
    let start = Instant::now();
    let rows = pollster::block_on(bench::rows(&selected.device, || start.elapsed().as_secs_f64() * 1e3));
    let name = device::name(&selected);
    if args.json {
        return rows.iter().try_for_each(|row| {
            let ratio = row.stock_ms / row.ours_ms;
            let object = json!({
                "device": name, "kernel": row.kernel, "shape": row.shape, "ours_ms": row.ours_ms,
                "default_form_ms": row.default_form_ms, "burn_ms": row.stock_ms, "ratio": ratio,
            });
            output::line(&object.to_string())
        });
    }
    let cells = |row: &bench::BenchRow| {
        let ratio = format!("{:.2}×", row.stock_ms / row.ours_ms);
        let default_form = row.default_form_ms.map_or_else(String::new, |ms| format!("{ms:.2}"));
        vec![row.kernel.to_owned(), row.shape.clone(), format!("{:.2}", row.ours_ms), default_form, format!("{:.2}", row.stock_ms), ratio]
    };
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    output::raw(&table::table(&["kernel", "shape", "evenkeel ms", "default form ms", "burn ms", "burn / evenkeel"], &cells))
}

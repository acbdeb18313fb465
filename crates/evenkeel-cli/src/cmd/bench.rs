//! `evenkeel bench`: evenkeel's kernels against the same mathematics in burn's own operations; whole steps, against another program's.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::Result;
use evenkeel_core::Error;
use evenkeel_core::bench::{self as core_bench, Endurance, Long, NoRival, Rival, Scaling, StepRow, Steps};
use evenkeel_kernels::bench::{self, BenchRow, Timing};
use serde_json::{Value, json};

use crate::args::{BenchArgs, BenchPart};
use crate::{device, memory, output, table};

/// SFT steps of `endurance` for each PPO iteration.
const PPO_SHARE: u64 = 10;

/// Times what was asked for and prints a row each.
pub fn run(args: &BenchArgs) -> Result<()> {
    let selected = device::open(args.device)?;
    let (name, device) = (device::name(&selected), &selected.device);
    let start = Instant::now();
    let clock = || start.elapsed().as_secs_f64() * 1e3;
    let only = args.only.as_deref().unwrap_or_default();
    let asked = |part: BenchPart| args.part.map_or(matches!(part, BenchPart::Kernels | BenchPart::Steps), |asked| asked == part);
    let mut printer = Printer { device: &name, json: args.json, rows: vec![] };
    if asked(BenchPart::Kernels) {
        pollster::block_on(bench::kernels(device, clock, only, |row| printer.row(kernel(&row))));
        printer.end(&[
            "kernel",
            "shape",
            "ms",
            "fastest",
            "slowest",
            "of ceiling",
            "GFLOP/s",
            "GB/s",
            "burn ms",
            "burn / ours",
            "MiB",
            "burn MiB",
            "default form ms",
        ])?;
    }
    if asked(BenchPart::Steps) {
        let tell = |row: StepRow| printer.row(step(&row));
        match &args.against {
            Some(program) => {
                pollster::block_on(core_bench::steps(device, clock, Some(&mut Program::start(program)?), only, tell))?;
            }
            None => pollster::block_on(core_bench::steps(device, clock, None::<&mut NoRival>, only, tell))?,
        }
        printer.end(&[
            "step",
            "ms",
            "fastest",
            "slowest",
            "first ms",
            "tokens/s",
            "launches",
            "in rollout",
            "MiB",
            "rival ms",
            "rival first ms",
            "rival MiB",
            "rival / ours",
        ])?;
    }
    if asked(BenchPart::Scaling) {
        pollster::block_on(core_bench::scaling(device, clock, |scaling| {
            scaling_rows(&scaling).into_iter().for_each(|row| printer.row(row))
        }))?;
        printer.end(&["size", "value", "ms", "tokens/s", "exponent"])?;
    }
    if asked(BenchPart::Endurance) {
        for of in Long::ALL.into_iter().filter(|of| of.name().contains(only)) {
            let steps = if of == Long::Ppo { args.steps / PPO_SHARE } else { args.steps };
            let told = pollster::block_on(core_bench::endurance(device, clock, memory::peak_since_last, of, steps))?;
            printer.row(endurance(&told));
        }
        printer.end(&[
            "run",
            "steps",
            "ms",
            "fastest",
            "slowest",
            "young ms",
            "old / young",
            "MiB",
            "most",
            "when young",
            "process MiB",
            "most",
            "when young",
        ])?;
    }
    Ok(())
}

/// A row as a table and as a machine have it.
struct Row {
    cells: Vec<String>,
    object: Value,
}

/// A table or lines of JSON in the end; meanwhile what is already known, to stderr.
struct Printer<'a> {
    device: &'a str,
    json: bool,
    rows: Vec<Row>,
}

impl Printer<'_> {
    fn row(&mut self, mut row: Row) {
        if self.json {
            row.object["device"] = self.device.into();
        } else {
            eprintln!("{}", row.cells[..3].join("  "));
        }
        self.rows.push(row);
    }

    fn end(&mut self, header: &[&str]) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        if self.json {
            return rows.iter().try_for_each(|row| output::line(&row.object.to_string()));
        }
        let mut cells: Vec<Vec<String>> = rows.into_iter().map(|row| row.cells).collect();
        let mut header = header.to_vec();
        // A column in which nobody says anything is left out.
        for column in (0..header.len()).rev().filter(|&column| cells.iter().all(|row| row[column].is_empty())).collect::<Vec<_>>() {
            header.remove(column);
            cells.iter_mut().for_each(|row| drop(row.remove(column)));
        }
        output::raw(&table::table(&header, &cells))
    }
}

fn kernel(row: &BenchRow) -> Row {
    let Timing { median_ms, fastest_ms, slowest_ms } = row.ours;
    let per_second = |amount: f64| amount / median_ms / 1e6;
    let [ours, burns] = row.reserved;
    let burns_ms = row.burns.map(|timing| timing.median_ms);
    let cells = vec![
        row.kernel.into(),
        row.shape.clone(),
        ms(median_ms),
        ms(fastest_ms),
        ms(slowest_ms),
        format!("{:.0} %", 100.0 * row.share_of_ceiling()),
        format!("{:.2}", per_second(row.work.flops)),
        format!("{:.2}", per_second(row.work.bytes)),
        burns_ms.map_or_else(|| "refused".into(), ms),
        row.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}×")),
        mib(ours),
        mib(burns),
        row.default_form_ms.map_or_else(String::new, ms),
    ];
    let object = json!({
        "kernel": row.kernel, "shape": row.shape, "ms": median_ms, "fastest_ms": fastest_ms, "slowest_ms": slowest_ms,
        "flops": row.work.flops, "bytes": row.work.bytes, "share_of_ceiling": row.share_of_ceiling(), "burn_ms": burns_ms,
        "ratio": row.ratio(), "reserved_bytes": ours, "burn_reserved_bytes": burns, "default_form_ms": row.default_form_ms,
        "ceiling_flops_per_second": row.ceilings.flops_per_second, "ceiling_bytes_per_second": row.ceilings.bytes_per_second,
    });
    Row { cells, object }
}

fn step(row: &StepRow) -> Row {
    let Steps { first_ms, warm, reserved } = row.ours;
    let ratio = row.rivals.as_ref().map(|rivals| rivals.warm.median_ms / warm.median_ms);
    let said = |value: Option<String>| value.unwrap_or_default();
    let cells = vec![
        row.workload.to_string(),
        ms(warm.median_ms),
        ms(warm.fastest_ms),
        ms(warm.slowest_ms),
        ms(first_ms),
        format!("{:.0}", row.tokens_per_second),
        if row.launches == 0 { String::new() } else { row.launches.to_string() },
        said(row.rollout_share.map(|share| format!("{:.0} %", 100.0 * share))),
        mib(reserved),
        said(row.rivals.as_ref().map(|rivals| ms(rivals.warm.median_ms))),
        said(row.rivals.as_ref().map(|rivals| ms(rivals.first_ms))),
        mib(row.rivals.as_ref().and_then(|rivals| rivals.reserved)),
        said(ratio.map(|ratio| format!("{ratio:.2}×"))),
    ];
    let steps = |steps: &Steps| {
        let Timing { median_ms, fastest_ms, slowest_ms } = steps.warm;
        json!({
            "first_ms": steps.first_ms, "ms": median_ms, "fastest_ms": fastest_ms, "slowest_ms": slowest_ms, "reserved_bytes": steps.reserved,
        })
    };
    let object = json!({
        "step": row.workload.to_string(), "ours": steps(&row.ours), "rival": row.rivals.as_ref().map(steps), "ratio": ratio,
        "tokens_per_second": row.tokens_per_second, "launches": row.launches, "rollout_share": row.rollout_share,
    });
    Row { cells, object }
}

fn scaling_rows(scaling: &Scaling) -> Vec<Row> {
    let row = |&(value, median_ms, tokens_per_second): &(usize, f64, f64)| {
        let cells = vec![
            scaling.size.to_owned(),
            value.to_string(),
            ms(median_ms),
            format!("{tokens_per_second:.0}"),
            format!("{:.2}", scaling.exponent),
        ];
        let object = json!({
            "size": scaling.size, "value": value, "ms": median_ms, "tokens_per_second": tokens_per_second, "exponent": scaling.exponent,
        });
        Row { cells, object }
    };
    scaling.points.iter().map(row).collect()
}

fn endurance(told: &Endurance) -> Row {
    let [young, old] = told.timings;
    let mut cells = vec![
        told.of.name().to_owned(),
        told.steps[1].to_string(),
        ms(old.median_ms),
        ms(old.fastest_ms),
        ms(old.slowest_ms),
        ms(young.median_ms),
        format!("{:.3}", told.ratio),
    ];
    for held in [told.reserved, told.resident] {
        cells.extend([held.map(|h| h.old), held.map(|h| h.most), held.map(|h| h.young)].map(mib));
    }
    Row { cells, object: told.row() }
}

/// Three digits that mean something.
fn ms(ms: f64) -> String {
    let digits = if ms < 1.0 {
        3
    } else if ms < 100.0 {
        2
    } else {
        0
    };
    format!("{ms:.digits$}")
}

fn mib(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| format!("{:.1}", bytes as f64 / f64::from(1 << 20)))
}

/// A program that reads commands and answers each with a line of JSON, as `tools/stock-burn` does.
struct Program {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Program {
    fn start(path: &Path) -> Result<Self> {
        let started = Command::new(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| {
            let place = format!("--against {}", path.display());
            Error::input(place, format!("cannot be started ({error})"), "name the program that is built from tools/stock-burn")
        })?;
        let (commands, answers) = (child.stdin.take().expect("it is piped"), child.stdout.take().expect("it is piped"));
        Ok(Self { child, commands, answers: BufReader::new(answers) })
    }

    fn ask(&mut self, command: &str) -> Result<Value> {
        writeln!(self.commands, "{command}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let answer: Value = serde_json::from_str(&answer)?;
        match answer["error"].as_str() {
            None => Ok(answer),
            Some(problem) => Err(anyhow::anyhow!("{problem}")),
        }
    }

    fn answer(&mut self, command: &str) -> evenkeel_core::Result<Value> {
        self.ask(command).map_err(|error| Error::Device(format!("the other program, asked to {command}: {error:#}")))
    }
}

impl Rival for Program {
    async fn prepare(&mut self, workload: &str) -> evenkeel_core::Result<()> {
        self.answer(&format!("prepare {workload}")).map(drop)
    }

    async fn step(&mut self) -> evenkeel_core::Result<(f64, Option<u64>)> {
        let answer = self.answer("step")?;
        let ms = answer["ms"].as_f64().ok_or_else(|| Error::Device(format!("the other program's answer has no ms: {answer}")))?;
        Ok((ms, answer["reserved"].as_u64()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

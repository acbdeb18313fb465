//! `evenkeel data`: what a file holds, and which of its tokens would be trained on.

use std::io::IsTerminal;

use anyhow::Result;
use evenkeel_core::data::{DataReport, EncodeOptions, Encoder, Histogram, LengthUnit, Loader, PairRule, SampleRow, Span, SpanKind};
use evenkeel_core::model::load_text;
use owo_colors::OwoColorize;

use crate::args::DataArgs;
use crate::model_folder::ModelFolder;
use crate::{data_file, output, table};

/// Width of the longest bar of the histogram.
const BAR: usize = 40;

/// Prints the report of one file.
pub fn run(args: &DataArgs) -> Result<()> {
    let (text, vocab_size, context) = match &args.model {
        Some(path) => {
            let folder = ModelFolder::open(path)?;
            let config = folder.config()?;
            (load_text(&folder, &config)?, config.vocab_size, config.max_positions)
        }
        None => (None, usize::MAX, usize::MAX),
    };
    let options = EncodeOptions { max_length: args.max_length.min(context), pair_rule: PairRule::CutLong, ..EncodeOptions::default() };
    let encoder = Encoder::new(text.as_ref(), vocab_size, options)?;
    let mut loader = Loader::inspect(&args.file.display().to_string(), encoder, data_file::policy(args.skip_bad_rows));
    data_file::for_each_piece(&args.file, |piece| loader.feed(piece))?;
    let report = loader.finish()?.report;
    if args.json {
        return output::line(&serde_json::to_string(&report)?);
    }
    output::raw(&describe(&report, args.rows))?;
    if report.unit == LengthUnit::Characters {
        eprintln!("note: give --model to see tokens");
    }
    Ok(())
}

fn describe(report: &DataReport, rows: usize) -> String {
    let summary = report.summary();
    let facts: Vec<(&str, String)> = summary.iter().map(|(label, value)| (label.as_str(), value.clone())).collect();
    let mut text = format!("{}\n{}", report.file, table::facts(&facts));
    text += &histogram(&report.lengths);
    for message in &report.bad_rows.messages {
        text += &format!("  skipped {message}\n");
    }
    let mut lines: Vec<u64> = report.samples.iter().map(|s| s.line).collect();
    lines.dedup();
    let shown = lines.into_iter().take(rows).collect::<Vec<_>>();
    if !shown.is_empty() {
        text += &format!("\n{}\n", legend());
    }
    for sample in report.samples.iter().filter(|s| shown.contains(&s.line)) {
        text += &row(sample);
    }
    text
}

fn histogram(lengths: &Histogram) -> String {
    let most = lengths.counts.iter().copied().max().unwrap_or(0).max(1);
    let line = |(i, &count): (usize, &u64)| {
        let from = i as u64 * u64::from(lengths.bin_width);
        let full = (count as usize * BAR).div_ceil(most as usize);
        format!("  {from:>7} – {:<7} {:<BAR$} {count}\n", from + u64::from(lengths.bin_width) - 1, "█".repeat(full))
    };
    lengths.counts.iter().enumerate().map(line).collect()
}

fn coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn legend() -> String {
    let kinds = [("given", SpanKind::Prompt, false), ("trained", SpanKind::Trained, true), ("special", SpanKind::Special, false)];
    let shown = kinds.map(|(text, kind, trained)| paint(&Span { text: text.to_owned(), kind, trained, tokens: 1 }));
    format!("rows: {} (special tokens in brackets when trained)", shown.join(" "))
}

fn row(sample: &SampleRow) -> String {
    let text: String = sample.spans.iter().map(paint).collect();
    format!("line {} {}: {}\n", sample.line, sample.name, text.replace('\n', "⏎"))
}

/// Colour on a terminal; elsewhere trained text stands in ⟦ ⟧.
fn paint(span: &Span) -> String {
    let text = &span.text;
    match (span.kind, coloured()) {
        (SpanKind::Prompt, true) => text.dimmed().to_string(),
        (SpanKind::Trained, true) => text.green().to_string(),
        (SpanKind::Special, true) if span.trained => format!("[{text}]").yellow().bold().to_string(),
        (SpanKind::Special, true) => text.yellow().to_string(),
        (SpanKind::Padding, true) => format!("·×{}", span.tokens).dimmed().to_string(),
        (SpanKind::Trained, false) => format!("⟦{text}⟧"),
        (SpanKind::Special, false) if span.trained => format!("⟦{text}⟧"),
        (SpanKind::Padding, false) => format!("·×{}", span.tokens),
        (_, false) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_share() {
        let text = histogram(&Histogram { bin_width: 10, counts: vec![1, 4], ..Histogram::default() });
        let bars: Vec<usize> = text.lines().map(|line| line.matches('█').count()).collect();
        assert_eq!(bars, [10, 40]);
        assert!(text.lines().nth(1).unwrap().contains("10 – 19"));
    }

    #[test]
    fn trained_text_is_marked_without_colour() {
        let span = |text: &str, kind, trained| Span { text: text.into(), kind, trained, tokens: 1 };
        let spans =
            vec![span("Hi\n", SpanKind::Prompt, false), span("there", SpanKind::Trained, true), span("</s>", SpanKind::Special, true)];
        assert_eq!(row(&SampleRow { line: 3, name: "row".into(), spans }), "line 3 row: Hi⏎⟦there⟧⟦</s>⟧\n");
    }
}

//! What a data file holds, counted, and a few rows to look at: plain data that the terminal colours and the page shows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::encode::DropReason;
use super::implicit::common_chars;
use super::reader::BadRowList;
use super::rows::{Content, Row};
use super::shape::Shape;
use crate::text::Text;

/// The counts of one file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DataReport {
    /// Its name.
    pub file: String,
    /// Detected shape; `None` before the first row.
    pub shape: Option<Shape>,
    /// Rows that could be read.
    pub rows: u64,
    /// Rows that could not, under `--skip-bad-rows`.
    pub bad_rows: BadRowList,
    /// Rows whose text stood in the file before.
    pub duplicates: u64,
    /// Conversations in which a speaker has two turns in a row, or the assistant begins: legal, but seldom meant.
    pub odd_turns: u64,
    /// Examples made.
    pub examples: u64,
    /// Comparisons in them: a ranking of K counts K(K−1)/2.
    pub pairs: u64,
    /// Tokens of all sequences without padding; a prompt counts once for each of its answers (TRL's `num_tokens`).
    pub tokens: u64,
    /// Tokens with a loss.
    pub trained_tokens: u64,
    /// Sequences cut at `max_length`.
    pub truncated: u64,
    /// Answers tokenised apart from their prompt, because a token would have spanned the seam.
    pub tokenised_apart: u64,
    /// Sound rows that gave no example.
    pub dropped: BTreeMap<DropReason, u64>,
    /// What `lengths` counts.
    pub unit: LengthUnit,
    /// Lengths of all sequences.
    pub lengths: Histogram,
    /// The first rows.
    pub samples: Vec<SampleRow>,
}

/// What a length counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthUnit {
    /// Token ids.
    #[default]
    Tokens,
    /// Characters: there was no tokenizer.
    Characters,
}

/// Lengths in bins of one width.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Histogram {
    /// Width of each bin; bin i counts lengths in [i·width, (i+1)·width).
    pub bin_width: u32,
    /// How many lengths fell into each.
    pub counts: Vec<u64>,
    /// Shortest.
    pub min: u32,
    /// Half are at most this long.
    pub median: u32,
    /// 95 % are at most this long.
    pub p95: u32,
    /// Longest.
    pub max: u32,
    /// Arithmetic mean; 0 when there is nothing.
    pub mean: f64,
}

/// One sequence to look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleRow {
    /// Line in the file.
    pub line: u64,
    /// Which sequence of the row: `row`, `prompt`, `chosen`, `rejected`, `rank 1`, …
    pub name: String,
    /// Its text in pieces of one kind.
    pub spans: Vec<Span>,
}

/// A run of tokens of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// The text they stand for.
    pub text: String,
    /// How to colour it.
    pub kind: SpanKind,
    /// They have a loss: of interest for special tokens, above all for the one that ends the answer.
    pub trained: bool,
    /// How many they are; 0 when nothing was tokenised.
    pub tokens: u32,
}

/// Kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanKind {
    /// Given, not learnt.
    Prompt,
    /// Learnt.
    Trained,
    /// BOS, EOS, turn marks; `trained` says whether learnt.
    Special,
    /// Fills the batch.
    Padding,
}

impl DataReport {
    /// How many examples are sampled.
    pub const SAMPLED: u64 = 3;

    /// Label and value of each count worth showing, in reading order.
    pub fn summary(&self) -> Vec<(String, String)> {
        let mut lines: Vec<(String, String)> = Vec::new();
        let mut line = |label: &str, value: String| lines.push((label.to_owned(), value));
        line("shape", self.shape.map_or("unknown".into(), |shape| shape.to_string()));
        line("rows", self.rows.to_string());
        line("examples", self.examples.to_string());
        let tokens = if self.unit == LengthUnit::Tokens { self.tokens } else { 0 };
        let counts = [
            ("pairs", self.pairs),
            ("tokens", tokens),
            ("trained tokens", self.trained_tokens),
            ("sequences cut at max_length", self.truncated),
            ("answers tokenised apart", self.tokenised_apart),
            ("repeated rows", self.duplicates),
            ("conversations with odd turns", self.odd_turns),
            ("bad rows", self.bad_rows.count),
            ("pairs with equal sides", self.bad_rows.identical_pairs),
        ];
        for (label, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            line(label, count.to_string());
        }
        for (reason, count) in &self.dropped {
            line("dropped", format!("{count} ({reason})"));
        }
        let unit = if self.unit == LengthUnit::Tokens { "tokens" } else { "characters" };
        let Histogram { min, median, p95, max, mean, .. } = &self.lengths;
        line("length", format!("{min} to {max} {unit}, mean {mean:.1}, median {median}, 95 % within {p95}"));
        lines
    }
}

impl Histogram {
    /// Bins aimed at: few enough for one screen.
    const BINS: u32 = 12;

    /// Bins of a round width (1, 2 or 5 times a power of ten).
    pub fn of(mut lengths: Vec<u32>) -> Self {
        lengths.sort_unstable();
        let (Some(&min), Some(&max)) = (lengths.first(), lengths.last()) else {
            return Self::default();
        };
        let round = (0..10).flat_map(|power| [1, 2, 5].map(|digit| digit * 10u64.pow(power)));
        let width = round.into_iter().find(|width| u64::from(max) / width < u64::from(Self::BINS)).unwrap_or(u64::from(max));
        let bin_width = u32::try_from(width).unwrap_or(u32::MAX);
        let mut counts = vec![0; (max / bin_width + 1) as usize];
        for length in &lengths {
            counts[(length / bin_width) as usize] += 1;
        }
        let at = |quantile: f64| lengths[((lengths.len() - 1) as f64 * quantile).ceil() as usize];
        let mean = lengths.iter().map(|&length| f64::from(length)).sum::<f64>() / lengths.len() as f64;
        Self { bin_width, counts, min, median: at(0.5), p95: at(0.95), max, mean }
    }
}

impl SampleRow {
    /// The texts of a row that was not tokenised.
    pub(crate) fn of_text(line: u64, row: &Row) -> Vec<Self> {
        let given = |content: &Content| span(shown(content), SpanKind::Prompt);
        let learnt = |content: &Content| span(shown(content), SpanKind::Trained);
        let sample = |name: &str, spans| Self { line, name: name.to_owned(), spans };
        match row {
            Row::Text(text) => vec![sample("row", vec![span(text.clone(), SpanKind::Trained)])],
            Row::Messages(messages) => {
                let turn = |m: &crate::text::Message| {
                    let kind = if m.role == "assistant" { SpanKind::Trained } else { SpanKind::Prompt };
                    span(format!("{}: {}\n", m.role, m.content), kind)
                };
                vec![sample("row", messages.iter().map(turn).collect())]
            }
            Row::PromptCompletion { prompt, completion } => vec![sample("row", vec![given(prompt), learnt(completion)])],
            Row::Preference { prompt, chosen, rejected, .. } => {
                let side = |name, answer| sample(name, prompt.iter().map(given).chain([learnt(answer)]).collect());
                vec![side("chosen", chosen), side("rejected", rejected)]
            }
            Row::Ranking { prompt, responses } => {
                let side = |(i, answer)| sample(&format!("rank {}", i + 1), vec![given(prompt), learnt(answer)]);
                responses.iter().enumerate().map(side).collect()
            }
            Row::Prompt(prompt) => vec![sample("prompt", vec![given(prompt)])],
            Row::Ids(_) | Row::PreferenceIds { .. } => Vec::new(),
        }
    }
}

fn span(text: String, kind: SpanKind) -> Span {
    Span { text, kind, trained: kind == SpanKind::Trained, tokens: 0 }
}

fn shown(content: &Content) -> String {
    match content {
        Content::Plain(text) => text.clone(),
        Content::Chat(messages) => messages.iter().map(|m| format!("{}: {}\n", m.role, m.content)).collect(),
    }
}

/// A sequence in runs of one kind, `padding` tokens after it. An empty `mask` trains nothing; without a tokenizer the
/// ids themselves are shown.
pub fn spans(text: Option<&Text>, ids: &[u32], mask: &[bool], padding: u32) -> Vec<Span> {
    let trained = |t: usize| mask.get(t).copied().unwrap_or(false);
    let special = |id: u32| text.is_some_and(|text| text.decode(&[id], true).is_empty() && !text.decode(&[id], false).is_empty());
    let class = |t: usize| (special(ids[t]), trained(t));
    let classes: Vec<(bool, bool)> = (0..ids.len()).map(class).collect();
    // Behind a leading BOS the text starts anew: decoders drop the blank that their encoder put there.
    let leading = classes.iter().take_while(|(special, _)| *special).count();
    let mut out = Vec::new();
    let mut emitted = String::new();
    let mut start = 0;
    for run in classes.chunk_by(|a, b| a == b) {
        let end = start + run.len();
        let (special, trained) = run[0];
        let kind = match (special, trained) {
            (true, _) => SpanKind::Special,
            (false, true) => SpanKind::Trained,
            (false, false) => SpanKind::Prompt,
        };
        let shown = match text {
            Some(text) if end <= leading => text.decode(&ids[start..end], false),
            Some(text) => new_text(text, &ids[leading..end], end == ids.len(), &mut emitted),
            None => ids[start..end].iter().map(|id| format!("{id} ")).collect(),
        };
        out.push(Span { text: shown, kind, trained, tokens: run.len() as u32 });
        start = end;
    }
    if padding > 0 {
        out.push(Span { text: String::new(), kind: SpanKind::Padding, trained: false, tokens: padding });
    }
    out
}

/// What decoding `ids` adds to `emitted`. Whole prefixes are decoded, since decoders treat the start of a text apart; a
/// character that is not complete yet waits for its last byte.
fn new_text(text: &Text, ids: &[u32], last: bool, emitted: &mut String) -> String {
    let mut whole = text.decode(ids, false);
    if !last {
        whole.truncate(whole.trim_end_matches('\u{FFFD}').len());
    }
    let added = whole[common_chars(emitted, &whole)..].to_owned();
    *emitted = whole;
    added
}

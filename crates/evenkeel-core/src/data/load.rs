//! A file's bytes → examples and a report: reader and encoder together.
//!
//! ```text
//! let mut loader = Loader::<Sequence>::new("train.jsonl", encoder, BadRows::Stop);
//! for piece in pieces { loader.feed(&piece)?; }
//! let Loaded { examples, report, .. } = loader.finish()?;
//! ```
//!
//! Memory: 5 bytes a token (id and mask) and about 60 a sequence for the examples, 12 a row for the report, one row of text,
//! and while a row of token ids is read about 32 bytes a token of it. [`Loader::inspect`] keeps no examples.

use std::collections::HashSet;

use super::encode::{Encoded, Encoder};
use super::fault::Fault;
use super::reader::{BadRows, NumberedRow, RowReader};
use super::report::{DataReport, Histogram, LengthUnit, SampleRow, spans};
use super::rows::Row;
use super::shape::Form;
use super::{Preference, Prompt, Sequence};
use crate::{Error, Result};

/// Something that rows are encoded into.
pub trait Example: Sized {
    /// Encodes one row.
    ///
    /// # Errors
    /// When the row cannot be one, or does not fit the vocabulary.
    fn encode(encoder: &Encoder, row: &Row) -> std::result::Result<Encoded<Self>, Fault>;

    /// Its sequences: name, ids, mask (empty where nothing is trained).
    fn parts(&self) -> Vec<(String, &[u32], &[bool])>;

    /// Comparisons that it stands for: K(K−1)/2 for K ranked answers.
    fn pairs(&self) -> u64 {
        0
    }
}

impl Example for Sequence {
    fn encode(encoder: &Encoder, row: &Row) -> std::result::Result<Encoded<Self>, Fault> {
        encoder.sequence(row)
    }

    fn parts(&self) -> Vec<(String, &[u32], &[bool])> {
        vec![("row".into(), &self.ids, &self.mask)]
    }
}

impl Example for Preference {
    fn encode(encoder: &Encoder, row: &Row) -> std::result::Result<Encoded<Self>, Fault> {
        encoder.preference(row)
    }

    fn parts(&self) -> Vec<(String, &[u32], &[bool])> {
        let pair = self.responses.len() == 2;
        let name = |i: usize| match (pair, i) {
            (true, 0) => "chosen".to_owned(),
            (true, _) => "rejected".to_owned(),
            (false, i) => format!("rank {}", i + 1),
        };
        self.responses.iter().enumerate().map(|(i, side)| (name(i), &side.ids[..], &side.mask[..])).collect()
    }

    fn pairs(&self) -> u64 {
        let k = self.responses.len() as u64;
        k * k.saturating_sub(1) / 2
    }
}

impl Example for Prompt {
    fn encode(encoder: &Encoder, row: &Row) -> std::result::Result<Encoded<Self>, Fault> {
        encoder.prompt(row)
    }

    fn parts(&self) -> Vec<(String, &[u32], &[bool])> {
        vec![("prompt".into(), &self.ids, &[])]
    }
}

/// Whatever a row is most naturally: for looking at a file whose use is not known.
#[derive(Debug, Clone, PartialEq)]
pub enum AnyExample {
    /// Text, conversations, prompt and completion, token ids.
    Sequence(Sequence),
    /// Pairs and rankings.
    Preference(Preference),
    /// Prompts alone.
    Prompt(Prompt),
}

impl Example for AnyExample {
    fn encode(encoder: &Encoder, row: &Row) -> std::result::Result<Encoded<Self>, Fault> {
        Ok(match row {
            Row::Preference { .. } | Row::Ranking { .. } | Row::PreferenceIds { .. } => encoder.preference(row)?.map(Self::Preference),
            Row::Prompt(_) => encoder.prompt(row)?.map(Self::Prompt),
            _ => encoder.sequence(row)?.map(Self::Sequence),
        })
    }

    fn parts(&self) -> Vec<(String, &[u32], &[bool])> {
        match self {
            Self::Sequence(example) => example.parts(),
            Self::Preference(example) => example.parts(),
            Self::Prompt(example) => example.parts(),
        }
    }

    fn pairs(&self) -> u64 {
        match self {
            Self::Preference(example) => example.pairs(),
            _ => 0,
        }
    }
}

/// What a file gave.
#[derive(Debug)]
pub struct Loaded<E> {
    /// The examples, in file order.
    pub examples: Vec<E>,
    /// What was counted on the way.
    pub report: DataReport,
    /// One hash a row, to count rows that training and held-out data share.
    pub digests: HashSet<u64>,
}

/// Reads, encodes and counts one file.
pub struct Loader<'a, E> {
    reader: RowReader,
    encoder: Encoder<'a>,
    examples: Vec<E>,
    keep: bool,
    report: DataReport,
    digests: HashSet<u64>,
    lengths: Vec<u32>,
}

impl<'a, E: Example> Loader<'a, E> {
    /// `file` is the name that messages show.
    pub fn new(file: &str, encoder: Encoder<'a>, policy: BadRows) -> Self {
        Self {
            reader: RowReader::new(file, policy),
            encoder,
            examples: Vec::new(),
            keep: true,
            report: DataReport { file: file.to_owned(), ..DataReport::default() },
            digests: HashSet::new(),
            lengths: Vec::new(),
        }
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// Under [`BadRows::Stop`], the first row that cannot be used.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        let rows = self.reader.feed(bytes)?;
        rows.into_iter().try_for_each(|row| self.take(row))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// As [`Loader::feed`]; when the file has no usable row; when no row became an example.
    pub fn finish(mut self) -> Result<Loaded<E>> {
        let rows = self.reader.finish()?;
        rows.into_iter().try_for_each(|row| self.take(row))?;
        let mut report = self.report;
        report.shape = self.reader.shape();
        report.bad_rows = self.reader.bad_rows().clone();
        report.lengths = Histogram::of(self.lengths);
        if report.examples == 0 && report.unit == LengthUnit::Tokens {
            return Err(nothing_left(&report));
        }
        Ok(Loaded { examples: self.examples, report, digests: self.digests })
    }

    fn take(&mut self, NumberedRow { line, row, digest, shape }: NumberedRow) -> Result<()> {
        self.report.rows += 1;
        if !self.digests.insert(digest) {
            self.report.duplicates += 1;
        }
        self.report.odd_turns += u64::from(!row.turns_alternate());
        if !self.keep && self.encoder.tokenizer().is_none() && shape.form != Form::TokenIds {
            self.take_characters(line, &row);
            return Ok(());
        }
        match E::encode(&self.encoder, &row) {
            Err(fault) => self.reader.reject(line, fault),
            Ok(Encoded::Dropped(reason)) => {
                *self.report.dropped.entry(reason).or_default() += 1;
                Ok(())
            }
            Ok(Encoded::Kept { example, truncated, apart }) => {
                self.report.truncated += truncated;
                self.report.tokenised_apart += apart;
                self.count(&example, line);
                if self.keep {
                    self.examples.push(example);
                }
                Ok(())
            }
        }
    }

    fn count(&mut self, example: &E, line: u64) {
        self.report.examples += 1;
        self.report.pairs += example.pairs();
        let sampled = self.report.examples <= DataReport::SAMPLED;
        for (name, ids, mask) in example.parts() {
            self.report.tokens += ids.len() as u64;
            self.report.trained_tokens += mask.iter().filter(|&&trained| trained).count() as u64;
            self.lengths.push(u32::try_from(ids.len()).unwrap_or(u32::MAX));
            if sampled {
                let spans = spans(self.encoder.tokenizer(), ids, mask, 0);
                self.report.samples.push(SampleRow { line, name, spans });
            }
        }
    }

    /// Without a tokenizer there is only the length in characters to tell.
    fn take_characters(&mut self, line: u64, row: &Row) {
        self.report.unit = LengthUnit::Characters;
        self.report.examples += 1;
        self.report.pairs += match row {
            Row::Ranking { responses, .. } => (responses.len() * (responses.len() - 1) / 2) as u64,
            Row::Preference { .. } => 1,
            _ => 0,
        };
        self.lengths.push(u32::try_from(row.length()).unwrap_or(u32::MAX));
        if self.report.examples <= DataReport::SAMPLED {
            self.report.samples.extend(SampleRow::of_text(line, row));
        }
    }
}

impl<'a> Loader<'a, AnyExample> {
    /// Looks at a file without keeping its examples. Without a tokenizer, lengths are characters.
    pub fn inspect(file: &str, encoder: Encoder<'a>, policy: BadRows) -> Self {
        Self { keep: false, ..Self::new(file, encoder, policy) }
    }
}

fn nothing_left(report: &DataReport) -> Error {
    let reasons: Vec<String> = report.dropped.iter().map(|(reason, n)| format!("{n} × {reason}")).collect();
    let bad = &report.bad_rows;
    let first = bad.messages.first().map(|message| format!("{} bad rows ({message})", bad.count));
    let reasons: Vec<String> = reasons.into_iter().chain(first).collect();
    Error::input(
        &report.file,
        format!("none of its {} rows can be used: {}", report.rows, reasons.join(", ")),
        "raise max_length, or give rows that fit",
    )
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;

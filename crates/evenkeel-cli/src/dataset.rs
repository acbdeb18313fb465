//! The rows of a run: read, encoded, split, and what is worth saying about them.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Result;
use evenkeel_core::data::{BadRows, DataReport, EncodeOptions, Encoder, Example, Loaded, Loader, PairRule, Preference, Prompt, Sequence};
use evenkeel_core::recipe::{Recipe, Stage};
use evenkeel_core::rng;
use evenkeel_core::text::Text;
use evenkeel_core::train::run::Dataset;

use crate::data_file;
use crate::plan::Amount;

/// What a run learns from and is measured on.
pub struct Rows {
    /// Training rows.
    pub train: Dataset,
    /// Held-out rows, if any.
    pub eval: Option<Dataset>,
    /// How much `train` is.
    pub amount: Amount,
}

/// Reads one file into examples.
pub fn read<E: Example>(path: &Path, encoder: Encoder, skip_bad_rows: bool) -> Result<Loaded<E>> {
    let mut loader = Loader::<E>::new(&path.display().to_string(), encoder, policy(skip_bad_rows));
    data_file::for_each_piece(path, |piece| Ok(loader.feed(piece)?))?;
    Ok(loader.finish()?)
}

/// `--skip-bad-rows` as core calls it.
pub fn policy(skip_bad_rows: bool) -> BadRows {
    if skip_bad_rows { BadRows::Skip } else { BadRows::Stop }
}

/// Reads training and held-out rows as the recipe's stage wants them.
///
/// `max_length` is the recipe's, or the model's context where that is shorter.
pub fn load(recipe: &Recipe, text: Option<&Text>, vocab_size: usize, max_length: usize) -> Result<Rows> {
    let source = Source { recipe, text, vocab_size, max_length };
    Ok(match recipe.stage {
        Stage::Sft => {
            let (train, eval) = source.both::<Sequence>()?;
            Rows { amount: amount(&train, 1), train: Dataset::Sequences(train), eval: eval.map(Dataset::Sequences) }
        }
        Stage::Reward | Stage::Dpo => {
            let (train, eval) = source.both::<Preference>()?;
            let per_row = train.iter().map(|p| p.responses.len()).max().unwrap_or(0);
            Rows { amount: amount(&train, per_row), train: Dataset::Preferences(train), eval: eval.map(Dataset::Preferences) }
        }
        Stage::Ppo => {
            let (train, eval) = source.both::<Prompt>()?;
            Rows { amount: amount(&train, 1), train: Dataset::Prompts(train), eval: eval.map(Dataset::Prompts) }
        }
    })
}

struct Source<'a> {
    recipe: &'a Recipe,
    text: Option<&'a Text>,
    vocab_size: usize,
    max_length: usize,
}

impl Source<'_> {
    /// Training rows, and those of `data.eval` or a share split off.
    fn both<E: Example>(&self) -> Result<(Vec<E>, Option<Vec<E>>)> {
        let data = &self.recipe.data;
        let train = self.one::<E>(&data.train)?;
        if !data.eval.is_empty() {
            let eval = self.one::<E>(&data.eval)?;
            say_shared(&train.digests, &eval.digests);
            return Ok((train.examples, Some(eval.examples)));
        }
        let (train, eval) = split(train.examples, data.eval_fraction, self.recipe.seed);
        Ok((train, (!eval.is_empty()).then_some(eval)))
    }

    fn one<E: Example>(&self, path: &str) -> Result<Loaded<E>> {
        let encoder = Encoder::new(self.text, self.vocab_size, self.options())?;
        let loaded = read(Path::new(path), encoder, self.recipe.data.skip_bad_rows)?;
        say(&loaded.report, self.max_length);
        Ok(loaded)
    }

    /// How the recipe wants rows encoded.
    fn options(&self) -> EncodeOptions {
        let sft = self.recipe.sft.clone().unwrap_or_default();
        EncodeOptions {
            max_length: self.max_length,
            completion_only_loss: sft.completion_only_loss.unwrap_or(true),
            assistant_only_loss: sft.assistant_only_loss.unwrap_or(true),
            pair_rule: if self.recipe.stage == Stage::Reward { PairRule::DropLong } else { PairRule::CutLong },
        }
    }
}

/// Holds out `fraction` of the rows, drawn by `seed`; at least one row stays. Both parts keep their order.
fn split<E>(rows: Vec<E>, fraction: f64, seed: u64) -> (Vec<E>, Vec<E>) {
    let wanted = (rows.len() as f64 * fraction).round() as usize;
    let held_out: HashSet<usize> =
        rng::permutation(seed, "held-out rows", 0, rows.len()).into_iter().take(wanted.min(rows.len().saturating_sub(1))).collect();
    let (mut train, mut eval) = (Vec::new(), Vec::new());
    for (i, row) in rows.into_iter().enumerate() {
        if held_out.contains(&i) { eval.push(row) } else { train.push(row) }
    }
    (train, eval)
}

fn amount<E: Example>(rows: &[E], per_row: usize) -> Amount {
    let mut amount = Amount { rows: rows.len() as u64, per_row: per_row as u64, ..Amount::default() };
    for (_, ids, mask) in rows.iter().flat_map(Example::parts) {
        amount.tokens += ids.len() as u64;
        amount.trained += mask.iter().filter(|&&trained| trained).count() as u64;
        amount.longest = amount.longest.max(ids.len() as u64);
    }
    amount
}

/// What a person should know of a file before training on it; nothing where all is well.
pub fn say(report: &DataReport, max_length: usize) {
    let note = |n: u64, what: &str| {
        if n > 0 {
            eprintln!("note: {}: {n} {what}", report.file);
        }
    };
    note(report.truncated, &format!("sequences were cut at {max_length} tokens"));
    note(report.tokenised_apart, "answers were tokenised apart from their prompt, because a token would have spanned the seam");
    note(report.duplicates, "rows stand in the file more than once");
    for (reason, n) in &report.dropped {
        note(*n, &format!("rows were left out: {reason} ({max_length})"));
    }
    note(report.bad_rows.count, "bad rows were skipped:");
    for message in &report.bad_rows.messages {
        eprintln!("  {message}");
    }
}

fn say_shared(train: &HashSet<u64>, eval: &HashSet<u64>) {
    let shared = train.intersection(eval).count();
    if shared > 0 {
        eprintln!("warning: {shared} held-out rows are also training rows; what is measured on them is no forecast");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_held_out_once_and_for_all() {
        let rows = || (0..50).collect::<Vec<u32>>();
        let (train, eval) = split(rows(), 0.1, 3);
        assert_eq!((train.len(), eval.len()), (45, 5));
        assert!(train.is_sorted() && eval.is_sorted() && train.iter().all(|i| !eval.contains(i)));
        assert_eq!(split(rows(), 0.1, 3).1, eval);
        assert_ne!(split(rows(), 0.1, 4).1, eval);
        assert_eq!(split(vec![1], 0.9, 3), (vec![1], vec![]));
    }
}

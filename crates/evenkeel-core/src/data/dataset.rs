//! The rows of a run: read, encoded, split, and what is worth saying about them.

use std::collections::HashSet;

use super::{BadRows, DataReport, EncodeOptions, Encoder, Example, Loaded, Loader, PairRule, Preference, Prompt, Sequence};
use crate::estimate::Amount;
use crate::model::ModelConfig;
use crate::recipe::{Recipe, Stage};
use crate::rng;
use crate::text::Text;
use crate::train::run::Dataset;
use crate::{Error, Result};

/// Data files by name, wherever they are.
pub trait DataFiles {
    /// Hands the decompressed bytes of `name` to `each`, piece by piece.
    ///
    /// # Errors
    /// A file that cannot be read, and whatever `each` says.
    fn for_each_piece(&self, name: &str, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>;
}

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
///
/// # Errors
/// A file that cannot be read; the first bad row, unless such rows are skipped.
pub fn read<E: Example>(files: &dyn DataFiles, name: &str, encoder: Encoder, bad_rows: BadRows) -> Result<Loaded<E>> {
    let mut loader = Loader::<E>::new(name, encoder, bad_rows);
    files.for_each_piece(name, &mut |piece| loader.feed(piece))?;
    loader.finish()
}

/// Reads training and held-out rows as the recipe's stage wants them; `say` hears a line for whatever a person should know.
///
/// `max_length` is the recipe's, or the model's context where that is shorter.
///
/// # Errors
/// As [`read`].
pub fn load(
    recipe: &Recipe,
    text: Option<&Text>,
    vocab_size: usize,
    max_length: usize,
    files: &dyn DataFiles,
    say: &mut dyn FnMut(String),
) -> Result<Rows> {
    let mut source = Source { recipe, text, vocab_size, max_length, files, say };
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

/// The longest sequence that the recipe and the model's context allow; PPO's prompts leave room for the response.
///
/// # Errors
/// A response that leaves no room for a prompt.
pub fn longest_sequence(recipe: &Recipe, config: &ModelConfig) -> Result<usize> {
    let (context, wanted) = (config.max_positions, recipe.data.max_length);
    let Some(ppo) = &recipe.ppo else { return Ok(wanted.min(context)) };
    if ppo.response_length + 2 > context {
        let problem = format!("is {}, but the model's context is {context} tokens, prompt included", ppo.response_length);
        return Err(Error::input("ppo.response_length", problem, "lower it"));
    }
    Ok(wanted.min(context - ppo.response_length))
}

struct Source<'a> {
    recipe: &'a Recipe,
    text: Option<&'a Text>,
    vocab_size: usize,
    max_length: usize,
    files: &'a dyn DataFiles,
    say: &'a mut dyn FnMut(String),
}

impl Source<'_> {
    /// Training rows, and those of `data.eval` or a share split off.
    fn both<E: Example>(&mut self) -> Result<(Vec<E>, Option<Vec<E>>)> {
        let data = &self.recipe.data;
        let train = self.one::<E>(&data.train)?;
        if !data.eval.is_empty() {
            let eval = self.one::<E>(&data.eval)?;
            let shared = train.digests.intersection(&eval.digests).count();
            if shared > 0 {
                let warning = format!("{shared} held-out rows are also training rows; what is measured on them is no forecast");
                (self.say)(format!("warning: {warning}"));
            }
            return Ok((train.examples, Some(eval.examples)));
        }
        let (train, eval) = split(train.examples, data.eval_fraction, self.recipe.seed);
        Ok((train, (!eval.is_empty()).then_some(eval)))
    }

    fn one<E: Example>(&mut self, name: &str) -> Result<Loaded<E>> {
        let encoder = Encoder::new(self.text, self.vocab_size, self.options())?;
        let bad_rows = if self.recipe.data.skip_bad_rows { BadRows::Skip } else { BadRows::Stop };
        let loaded = read(self.files, name, encoder, bad_rows)?;
        notes(&loaded.report, self.max_length).into_iter().for_each(&mut self.say);
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

/// What a person should know of a file before training on it, a line each; nothing where all is well.
pub fn notes(report: &DataReport, max_length: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut note = |n: u64, what: &str| {
        if n > 0 {
            lines.push(format!("note: {}: {n} {what}", report.file));
        }
    };
    note(report.truncated, &format!("sequences were cut at {max_length} tokens"));
    note(report.tokenised_apart, "answers were tokenised apart from their prompt, because a token would have spanned the seam");
    note(report.duplicates, "rows stand in the file more than once");
    for (reason, n) in &report.dropped {
        note(*n, &format!("rows were left out: {reason} ({max_length})"));
    }
    note(report.bad_rows.count, "bad rows were skipped:");
    lines.extend(report.bad_rows.messages.iter().map(|message| format!("  {message}")));
    lines
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

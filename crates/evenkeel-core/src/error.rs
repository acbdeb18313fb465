//! The one error type. A user's mistake names the place and the remedy; everything else is a defect or the machine.

/// Result of everything in evenkeel that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something could not be done. `Display` is the one sentence that the user sees.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Bad input: a file, flag, recipe, row, model or prompt. Front ends exit with code 2.
    #[error("{place}: {problem}; {remedy}")]
    Input {
        /// Where: `train.jsonl:7: prompt`, `recipe.toml: ppo.cliprange`, `model.safetensors: lm_head.weight`.
        place: String,
        /// What is wrong there.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// A loss, gradient or weight stopped being a finite number.
    #[error("step {step}: {what} is not finite{}; {}", in_rows(rows), non_finite_remedy(rows))]
    NonFinite {
        /// Optimiser step, counted from 1.
        step: u64,
        /// The loss, the gradient's norm, or the first tensor that holds such a number.
        what: String,
        /// The rows that bring it about by themselves, counted from 1 among those trained on; empty where none does or none was looked for.
        rows: Vec<usize>,
        /// Whether the step changed weights all the same.
        moved: bool,
    },
    /// A model that writes came to a logit that is not a finite number.
    #[error("prompt {prompt}: a logit of token {token} is not finite; the model's weights are not sound, go back to an earlier checkpoint")]
    Logits {
        /// Among those written to together, counted from 1.
        prompt: usize,
        /// Of the completion, counted from 1.
        token: usize,
    },
    /// The device failed: lost, out of memory, a kernel that does not run.
    #[error("device: {0}")]
    Device(String),
    /// A front end's storage failed.
    #[error("storage: {0}")]
    Storage(String),
}

impl Error {
    /// Bad input at `place`; see [`Error::Input`].
    pub fn input(place: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        let [place, problem, remedy] = [place.into(), problem.into(), remedy.into()].map(|part: String| sentence(&part));
        Self::Input { place, problem, remedy }
    }
}

/// What a file said, as part of one sentence: on one line, without control characters (a terminal obeys them), and without its middle
/// where it is longer than anybody reads.
pub fn sentence(text: &str) -> String {
    const FIRST: usize = 300;
    const LAST: usize = 150;
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let length = text.chars().count();
    if length <= FIRST + LAST {
        return text.trim_end().chars().map(clean).collect();
    }
    let (first, last) = (text.chars().take(FIRST), text.chars().skip(length - LAST));
    first.chain(" … ".chars()).chain(last).map(clean).collect()
}

/// Rows that a sentence names; of more it tells the number.
const ROWS_NAMED: usize = 5;

fn in_rows(rows: &[usize]) -> String {
    let named: Vec<String> = rows.iter().take(ROWS_NAMED).map(usize::to_string).collect();
    let more = rows.len() - named.len();
    match (rows.len(), more) {
        (0, _) => String::new(),
        (1, _) => format!(" in row {} of the training data", named[0]),
        (_, 0) => format!(" in rows {} of the training data", named.join(", ")),
        _ => format!(" in rows {} and {more} more of the training data", named.join(", ")),
    }
}

fn non_finite_remedy(rows: &[usize]) -> &'static str {
    if rows.is_empty() {
        "lower training.learning_rate or training.max_grad_norm, or go back to an earlier checkpoint"
    } else {
        "look at what stands there, lower training.learning_rate, or pass over such batches with training.skip_nan_grad"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_said_stays_one_short_line() {
        assert_eq!(sentence("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(sentence(&"é".repeat(450)), "é".repeat(450));
        let cut = sentence(&format!("begin{}end", "x".repeat(1 << 20)));
        assert!(cut.starts_with("begin") && cut.ends_with("end") && cut.chars().count() < 500, "{cut}");
    }
}

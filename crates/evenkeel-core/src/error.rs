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
        Self::Input { place: place.into(), problem: problem.into(), remedy: remedy.into() }
    }
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

//! What an iteration's updates are made from: responses on the host, numbers per token on the device until somebody reads them.

use std::ops::Range;

use burn::tensor::Tensor;
use evenkeel_kernels::Responses;

use crate::data::{Prompt, Sequence};
use crate::error::Result;
use crate::train::forward::read;

/// One response.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// What was asked.
    pub prompt: Prompt,
    /// The sampled ids, stop token included.
    pub response: Vec<u32>,
    /// The response as text, empty without a tokenizer.
    pub text: String,
    /// Whether a stop token ended it.
    pub finished: bool,
}

impl Episode {
    /// Prompt + response, the response's tokens marked.
    pub fn sequence(&self) -> Sequence {
        let ids: Vec<u32> = self.prompt.ids.iter().chain(&self.response).copied().collect();
        let mask = (0..ids.len()).map(|t| t >= self.prompt.ids.len()).collect();
        Sequence { ids, mask }
    }
}

/// The responses of one iteration, and what the models said of them.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// One per prompt.
    pub episodes: Vec<Episode>,
    pub(super) said: Said,
}

/// What policy, reference and critic say of all responses, one after another, on the device: N tokens, M steps. A response has a step per
/// token, and one more where its score stands one past the end.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// log π_old of each token, at the sampling temperature `[N]`.
    pub logprobs: Tensor<1>,
    /// log π_ref of each token, at the same temperature `[N]`.
    pub ref_logprobs: Tensor<1>,
    /// V before each token, and after the last where there is a step `[M]`.
    pub values: Tensor<1>,
    pub responses: Responses,
    /// Tokens and steps of each response.
    pub tokens: Vec<Range<usize>>,
    pub steps: Vec<Range<usize>>,
}

/// A rollout with scores, rewards and advantages; per-token numbers are on the device.
#[derive(Debug, Clone)]
pub struct Experience {
    /// The responses.
    pub episodes: Vec<Episode>,
    /// What the reward source said, before penalty, normalisation and clip.
    pub raw_scores: Vec<f64>,
    /// What entered the rewards.
    pub scores: Vec<f64>,
    pub(super) said: Said,
    pub(super) kl: Tensor<1>,
    pub(super) rewards: Tensor<1>,
    pub(super) advantages: Tensor<1>,
    pub(super) returns: Tensor<1>,
}

/// An [`Experience`]'s numbers, read back: a list per episode with a number per token; `values`, `rewards` and `returns` have one more
/// where the score stands one past the end.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Numbers {
    /// log π_old, at the sampling temperature.
    pub logprobs: Vec<Vec<f64>>,
    /// log π_ref, at the same temperature.
    pub ref_logprobs: Vec<Vec<f64>>,
    /// V before each token.
    pub values: Vec<Vec<f64>>,
    /// KL of each token to the reference, by the recipe's estimator.
    pub kl: Vec<Vec<f64>>,
    /// −β·KL, plus the score at its place.
    pub rewards: Vec<Vec<f64>>,
    /// Whitened over all response tokens.
    pub advantages: Vec<Vec<f64>>,
    /// Advantages before whitening + values.
    pub returns: Vec<Vec<f64>>,
}

impl Rollout {
    /// Reads log π_old and log π_ref, a list per episode.
    ///
    /// # Errors
    /// [`crate::Error::Device`].
    pub async fn logprobs(&self) -> Result<[Vec<Vec<f64>>; 2]> {
        let Said { logprobs, ref_logprobs, tokens, .. } = &self.said;
        let values = read(vec![logprobs.clone(), ref_logprobs.clone()]).await?;
        Ok([0, 1].map(|k| lists(&values[k], tokens)))
    }
}

impl Experience {
    /// Reads all numbers.
    ///
    /// # Errors
    /// [`crate::Error::Device`].
    pub async fn numbers(&self) -> Result<Numbers> {
        Ok(self.of_columns(&read(self.columns()).await?))
    }

    /// What [`Experience::of_columns`] wants to have read.
    pub(super) fn columns(&self) -> Vec<Tensor<1>> {
        let Said { logprobs, ref_logprobs, values, .. } = &self.said;
        [logprobs, ref_logprobs, values, &self.kl, &self.rewards, &self.advantages, &self.returns].map(Clone::clone).to_vec()
    }

    pub(super) fn of_columns(&self, columns: &[Vec<f32>]) -> Numbers {
        let of_tokens = |column: usize| lists(&columns[column], &self.said.tokens);
        let of_steps = |column: usize| lists(&columns[column], &self.said.steps);
        Numbers {
            logprobs: of_tokens(0),
            ref_logprobs: of_tokens(1),
            values: of_steps(2),
            kl: of_tokens(3),
            rewards: of_steps(4),
            advantages: of_tokens(5),
            returns: of_steps(6),
        }
    }
}

/// Where things of these lengths lie, one after another.
pub(super) fn ranges(lengths: &[usize]) -> Vec<Range<usize>> {
    let mut next = 0;
    let range = |&length: &usize| {
        next += length;
        next - length..next
    };
    lengths.iter().map(range).collect()
}

/// The parts of a vector.
fn lists(values: &[f32], ranges: &[Range<usize>]) -> Vec<Vec<f64>> {
    ranges.iter().map(|range| values[range.clone()].iter().map(|&v| f64::from(v)).collect()).collect()
}

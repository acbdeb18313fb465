//! Decoders configured by a Hugging Face `config.json`: forward pass, loading, saving, generation.
//!
//! `config` reads the shape, `layout` lists the parameters, `decoder` is the forward pass, `hf` loads and saves,
//! `generate` writes text. The families are those of the papers and of transformers' modelling files.

mod cache;
mod config;
mod decoder;
mod fields;
mod generate;
mod hf;
mod input;
mod layout;
mod params;
mod rope;
mod sampling;
mod tensors;

use burn::tensor::{Device, Int, Tensor};
use evenkeel_kernels::{Layout, Rows, TokenStats, head_logprob, linear};
use sha2::{Digest, Sha256};

pub use cache::{KvCache, KvCacheDtype};
pub use config::{Arch, Head, ModelConfig, RopeStretch, SUPPORTED};
pub(crate) use generate::rehearse as rehearse_generation;
pub use generate::{Completion, generate};
pub use hf::{ModelFiles, NamedFiles, Pretrained, load, load_text, save};
pub(crate) use hf::{WEIGHTS, save_beside};
pub use input::{Gathered, Input};
pub use params::{Param, Params, Segment};
pub use sampling::Sampling;
pub(crate) use tensors::Encoder;

use crate::recipe::Training;
use crate::{Error, Result};

/// Name of the score head's weight in a `*ForSequenceClassification` model.
const SCORE: &str = "score.weight";

/// A decoder with its weights. A clone shares the weights until one of them changes.
#[derive(Debug, Clone)]
pub struct Model {
    pub config: ModelConfig,
    pub params: Params,
    pub head: Head,
    /// Rotary table; absent in GPT-2.
    turns: Option<Tensor<2>>,
    /// The gradient pass computes each block once more instead of keeping its activations: slower, in less memory.
    pub gradient_checkpointing: bool,
}

impl Model {
    /// New weights: N(0, initializer_range), norms 1, biases 0, GPT-2's residual projections scaled down, the score
    /// head N(0, 1/√(d+1)). Equal seeds give equal weights on every device.
    pub fn init(config: ModelConfig, head: Head, seed: u64, device: &Device) -> Self {
        let params = Params::init(&layout::layout(&config, head), seed, device);
        Self::from_params(config, params, head)
    }

    /// A model of given parameters, which must be those of the layout.
    pub(crate) fn from_params(config: ModelConfig, params: Params, head: Head) -> Self {
        let device = device_of(&params);
        let turns = (config.arch != Arch::Gpt2).then(|| rope::turns(&config, &device.inner()));
        Self { config, params, head, turns, gradient_checkpointing: false }
    }

    /// Hidden states after the final norm. → [B·T, D].
    pub fn hidden(&self, input: &Input) -> Tensor<2> {
        decoder::hidden(self, input, None)
    }

    /// As [`Model::hidden`] for tokens that follow those in `cache`, which then holds them too. The cache must have
    /// room ([`KvCache::reserve`]); `first` and `last` of `input` name columns of the cache.
    pub fn hidden_cached(&self, input: &Input, cache: &mut KvCache) -> Tensor<2> {
        assert!(cache.len() + input.time <= cache.capacity(), "the cache has no room for these tokens");
        decoder::hidden(self, input, Some(cache))
    }

    /// Next-token logits. hidden [N, D] → [N, V]. Select rows first, so that only needed positions pay.
    /// Panics on a score model.
    pub fn logits(&self, hidden_nd: Tensor<2>) -> Tensor<2> {
        linear(hidden_nd, self.head_matrix(), Layout::OutIn)
    }

    /// Log-probability of each target, entropy and top-1 hit, all `[N]`, without a matrix of all logits. hidden [N, D],
    /// targets `[N]`. Panics on a score model.
    pub fn token_stats(&self, hidden_nd: Tensor<2>, targets_n: Tensor<1, Int>, temperature: f64) -> TokenStats {
        head_logprob(hidden_nd, self.head_matrix(), targets_n, temperature as f32)
    }

    /// Mean of the logits over the vocabulary, without a gradient. hidden [N, D] → `[N]`. Panics on a score model.
    pub fn mean_logits(&self, hidden_nd: Tensor<2>) -> Tensor<1> {
        let [n, _] = hidden_nd.dims();
        linear(hidden_nd.inner(), self.head_matrix().inner().mean_dim(0), Layout::OutIn).reshape([n])
    }

    /// What turns hidden states into logits, [V, D].
    fn head_matrix(&self) -> Tensor<2> {
        assert!(self.head == Head::Lm, "a score model has no logits");
        self.params.matrix(match (self.config.tie_embeddings, self.config.arch) {
            (false, _) => "lm_head.weight",
            (true, Arch::Gpt2) => "transformer.wte.weight",
            (true, _) => "model.embed_tokens.weight",
        })
    }

    /// Scores. hidden [N, D] → `[N]`. Panics on a language model.
    pub fn scores(&self, hidden_nd: Tensor<2>) -> Tensor<1> {
        assert!(self.head == Head::Score, "a language model has no score head");
        let [n, _] = hidden_nd.dims();
        linear(hidden_nd, self.params.matrix(SCORE), Layout::OutIn).reshape([n])
    }

    /// The rows that a forward pass over these ids and positions gathers, where the embeddings take gradients.
    pub(crate) fn gathered(&self, ids: &[i32], positions: &[i32]) -> Option<Gathered> {
        let tracked = self.params.segments().first().is_some_and(|segment| segment.value.is_require_grad());
        let device = self.device();
        tracked.then(|| Gathered {
            ids: Rows::new(ids, self.config.vocab_size, &device),
            positions: (self.config.arch == Arch::Gpt2).then(|| Rows::new(positions, self.config.max_positions, &device)),
        })
    }

    /// The device of the weights, on which a forward pass runs.
    pub fn device(&self) -> Device {
        device_of(&self.params)
    }

    /// The same weights, each a leaf of a new graph.
    pub fn trainable(&self) -> Self {
        let params = self.params.map(|value| value.inner().autodiff().require_grad());
        Self { params, ..self.clone() }
    }

    /// As [`Model::trainable`], with activations kept or computed again as `training` says.
    pub fn for_training(&self, training: &Training) -> Self {
        Self { gradient_checkpointing: training.gradient_checkpointing, ..self.trainable() }
    }

    /// The live weights without a graph; later updates of this model do not reach the copy.
    pub fn frozen(&self) -> Self {
        let params = self.params.map(Tensor::inner);
        Self { params, ..self.clone() }
    }

    /// The trunk with a new score head: how a reward model starts from a language model.
    pub fn with_score_head(&self, seed: u64) -> Self {
        let layout = layout::layout(&self.config, Head::Score);
        Self { params: self.params.with_layout(&layout, seed, &self.device()), head: Head::Score, ..self.clone() }
    }

    /// As [`Model::with_score_head`] with a head of zeros: a value model that starts at V = 0 everywhere.
    pub fn with_zero_score_head(&self) -> Self {
        let mut model = self.with_score_head(0);
        let head = model.params.segments_mut().last_mut().expect("a model has parameters"); // the layout ends with it
        head.value = head.value.zeros_like();
        model
    }

    /// A head of zeros alone, for hidden states of another model's trunk: only [`Model::scores`] can be asked of it.
    pub fn zero_score_head_alone(&self) -> Self {
        let with_head = self.with_zero_score_head();
        Self { params: with_head.params.only(SCORE), ..with_head }
    }

    /// Every parameter's name, shape and elements.
    pub async fn weights(&self) -> Result<Vec<(String, Vec<usize>, Vec<f32>)>> {
        let mut weights = Vec::new();
        self.params.each(|param, values| weights.push((param.name.clone(), param.shape.clone(), values.to_vec()))).await?;
        Ok(weights)
    }

    /// SHA-256 over names, shapes and bits of all parameters, in hexadecimal.
    pub async fn digest(&self) -> Result<String> {
        let mut hash = Sha256::new();
        let add = |param: &Param, values: &[f32]| {
            hash.update(format!("{} {:?}\n", param.name, param.shape));
            values.iter().for_each(|value| hash.update(value.to_bits().to_le_bytes()));
        };
        self.params.each(add).await?;
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn device_of(params: &Params) -> Device {
    params.segments().first().expect("a model has parameters").value.device()
}

/// What the device says, in a line: its errors print each cause below the next, and the innermost one is what happened.
pub(crate) fn device_error(error: impl std::fmt::Display) -> Error {
    let text = error.to_string();
    let causes = text.lines().map(str::trim).take_while(|line| !["Backtrace:", "Asked at:"].contains(line));
    let innermost = causes.filter(|line| !line.is_empty() && !line.ends_with(':')).last();
    Error::Device(innermost.unwrap_or("no reason given").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_devices_error_the_innermost_cause_is_told() {
        let nested =
            "An error happened\nCaused by:\n  Another\nCaused by:\n  the buffer is gone\nBacktrace:\n   0: main\nBacktrace:\n   0: main";
        for (text, told) in [
            (nested, "the buffer is gone"),
            ("the device is poisoned\nAsked at:\nNo backtrace available", "the device is poisoned"),
            ("one line", "one line"),
            ("Backtrace:\n 0: main", "no reason given"),
        ] {
            assert_eq!(device_error(text), Error::Device(told.to_owned()));
        }
    }
}

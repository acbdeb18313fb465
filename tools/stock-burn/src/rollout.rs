//! Sampling completions, all rows at once: a cache, Gumbel noise and argmax on the device; the host waits for nothing until the end.

use burn::tensor::{Device, Distribution, Int, Tensor, Transaction};

use crate::model::{Cache, Model, Shape};

/// Tokens of a prompt and of what is written after it.
pub const PROMPT: usize = 16;
pub const NEW: usize = 32;
/// So small that it changes no noise but that of an exact 0, whose logarithm has none.
const TINY: f64 = 1e-9;

/// prompts `[B, T]` → the `count` tokens drawn after each, `[B, count]`.
pub fn sample(model: &Model, prompts: Tensor<2, Int>, count: usize, temperature: f64) -> Tensor<2, Int> {
    let ([b, t], d) = (prompts.dims(), model.shape.d);
    let mut cache = Cache::default();
    let states = model.hidden(prompts, Some(&mut cache)).reshape([b, t, d]);
    let mut logits = model.head(states.narrow(1, t - 1, 1).reshape([b, d]));
    let mut drawn = vec![draw(logits, temperature)];
    while drawn.len() < count {
        let last = drawn[drawn.len() - 1].clone();
        logits = model.head(model.hidden(last, Some(&mut cache)));
        drawn.push(draw(logits, temperature));
    }
    Tensor::cat(drawn, 1)
}

/// logits `[B, V]` → a token of softmax(logits / temperature) a row, `[B, 1]`.
fn draw(logits: Tensor<2>, temperature: f64) -> Tensor<2, Int> {
    let uniform = Tensor::random(logits.dims(), Distribution::Uniform(TINY, 1.0), &logits.device());
    let noise = uniform.log().neg().log().neg();
    let logits = if temperature == 1.0 { logits } else { logits.div_scalar(temperature) };
    (logits + noise).argmax(1)
}

pub struct Rollout {
    model: Model,
    prompts: Tensor<2, Int>,
}

impl Rollout {
    pub fn new(shape: Shape, rows: usize, device: &Device) -> Self {
        Self { model: Model::new(shape, device), prompts: shape.ids(rows, PROMPT, device) }
    }

    /// → the tokens, row by row.
    ///
    /// # Errors
    /// What the device says.
    pub async fn step(&self) -> Result<Vec<i32>, String> {
        let tokens = sample(&self.model, self.prompts.clone(), NEW, 1.0);
        let data = Transaction::default().register(tokens).execute_async().await.map_err(|e| e.to_string())?;
        data.into_iter().flat_map(|d| d.iter::<i32>().collect::<Vec<_>>()).map(Ok).collect()
    }
}

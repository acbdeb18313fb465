//! One PPO iteration: 64 prompts, 32 new tokens, four models, 4 epochs of one minibatch, with the settings of evenkeel's default recipe.
//!
//! Sources: Schulman et al. 2017, eq. 7 (policy loss); Stiennon et al. 2020 (value loss, reward); Schulman et al. 2016, eq. 16 (GAE).
//! B rows, L = 32 tokens of a response.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::model::{Model, Shape};
use crate::optimizer::{Trained, read};
use crate::rollout::{NEW, PROMPT, sample};

const PROMPTS: usize = 64;
const EPOCHS: usize = 4;
const LEARNING_RATE: f64 = 3e-6;
const TEMPERATURE: f64 = 0.7;
const KL_COEF: f64 = 0.05;
const CLIP: f64 = 0.2;
const VALUE_COEF: f64 = 0.1;
const GAMMA: f64 = 1.0;
const LAMBDA: f64 = 0.95;

pub struct Ppo {
    policy: Trained,
    critic: Trained,
    reference: Model,
    reward: Model,
    prompts: Tensor<2, Int>,
}

/// What the rollout leaves to learn from, all `[B, L]`.
struct Experience {
    /// `[B, 16 + L]`
    ids: Tensor<2, Int>,
    logprobs: Tensor<2>,
    values: Tensor<2>,
    advantages: Tensor<2>,
    returns: Tensor<2>,
    kl: f64,
}

/// What an iteration tells.
#[derive(Debug, Clone, Copy)]
pub struct Iteration {
    /// Policy and value loss together, mean over the epochs.
    pub loss: f64,
    /// Of rollout policy and reference, per sequence.
    pub kl: f64,
    /// Largest |log ratio| of the first update.
    pub first_log_ratio: f64,
}

impl Ppo {
    pub fn new(shape: Shape, device: &Device) -> Self {
        let reference = Model::new(shape, device);
        let reward = reference.with_score_head();
        Self {
            policy: Trained::new(&reference, LEARNING_RATE),
            critic: Trained::new(&reward, LEARNING_RATE),
            prompts: shape.ids(PROMPTS, PROMPT, device),
            reference,
            reward,
        }
    }

    /// # Errors
    /// What the device says.
    pub async fn step(&mut self) -> Result<Iteration, String> {
        let experience = self.rollout().await?;
        let mut told = Vec::new();
        for _ in 0..EPOCHS {
            told.extend(self.epoch(&experience));
        }
        let told = read(vec![Tensor::cat(told, 0)]).await?.remove(0);
        let loss = told.iter().step_by(2).map(|&loss| f64::from(loss)).sum::<f64>() / EPOCHS as f64;
        Ok(Iteration { loss, kl: experience.kl, first_log_ratio: f64::from(told[1]) })
    }

    async fn rollout(&self) -> Result<Experience, String> {
        let (policy, critic) = (self.policy.model.frozen(), self.critic.model.frozen());
        let responses = sample(&policy, self.prompts.clone(), NEW, TEMPERATURE);
        let ids = Tensor::cat(vec![self.prompts.clone(), responses], 1);
        let logprobs = policy.log_probs(ids.clone(), PROMPT, TEMPERATURE);
        let reference = self.reference.log_probs(ids.clone(), PROMPT, TEMPERATURE);
        let values = values(&critic, ids.clone());
        let scores = self.reward.head_at(ids.clone(), PROMPT + NEW - 1, 1);
        let flat = |t: &Tensor<2>| t.clone().flatten(0, 1);
        let read = read(vec![flat(&logprobs), flat(&reference), flat(&values), flat(&scores)]).await?;
        let (advantages, returns) = advantages(&read[0], &read[1], &read[2], &read[3]);
        let device = ids.device();
        let upload = |list: Vec<f32>| Tensor::from_data(TensorData::new(list, [PROMPTS, NEW]), &device);
        let kl = read[0].iter().zip(&read[1]).map(|(p, r)| f64::from(p - r)).sum::<f64>() / PROMPTS as f64;
        Ok(Experience { ids, logprobs, values, advantages: upload(advantages), returns: upload(returns), kl })
    }

    /// One update of policy and critic on all rows → loss and largest |log ratio|.
    fn epoch(&mut self, experience: &Experience) -> [Tensor<1>; 2] {
        let logprobs = self.policy.model.log_probs(experience.ids.clone(), PROMPT, TEMPERATURE);
        let log_ratios = logprobs - experience.logprobs.clone();
        let largest = log_ratios.clone().inner().max_abs();
        let ratios = log_ratios.exp();
        let clipped = ratios.clone().clamp(1.0 - CLIP, 1.0 + CLIP) * experience.advantages.clone();
        let policy_loss = (ratios * experience.advantages.clone()).min_pair(clipped).mean().neg();

        let (values, old) = (values(&self.critic.model, experience.ids.clone()), experience.values.clone());
        let clipped = old.clone() + (values.clone() - old).clamp(-CLIP, CLIP);
        let error = |values: Tensor<2>| (values - experience.returns.clone()).powi_scalar(2);
        let value_loss = error(values).max_pair(error(clipped)).mean() * 0.5;

        let loss = policy_loss + value_loss * VALUE_COEF;
        let mut gradients = loss.backward();
        self.policy.update(&mut gradients);
        self.critic.update(&mut gradients);
        [loss.inner(), largest]
    }
}

/// V before each token of the responses in ids `[B, 16 + L]` → `[B, L]`.
fn values(critic: &Model, ids: Tensor<2, Int>) -> Tensor<2> {
    critic.head_at(ids, PROMPT - 1, NEW).reshape([PROMPTS, NEW])
}

/// log π, log π_ref and V of all tokens, a score a row → whitened advantages and returns, row by row.
///
/// The reward of a token is −β·(log π − log π_ref), and the score on top of the last.
fn advantages(logprobs: &[f32], reference: &[f32], values: &[f32], scores: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut advantages = vec![0.0; logprobs.len()];
    for (row, &score) in scores.iter().enumerate() {
        let (mut next_advantage, mut next_value) = (0.0, 0.0);
        for at in (row * NEW..(row + 1) * NEW).rev() {
            let score = if at % NEW == NEW - 1 { f64::from(score) } else { 0.0 };
            let reward = score - KL_COEF * f64::from(logprobs[at] - reference[at]);
            let value = f64::from(values[at]);
            next_advantage = reward + GAMMA * next_value - value + GAMMA * LAMBDA * next_advantage;
            next_value = value;
            advantages[at] = next_advantage;
        }
    }
    let returns = advantages.iter().zip(values).map(|(a, &v)| (a + f64::from(v)) as f32).collect();
    let n = advantages.len() as f64;
    let mean = advantages.iter().sum::<f64>() / n;
    let variance = advantages.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let scale = (variance + 1e-8).sqrt().recip();
    (advantages.iter().map(|a| ((a - mean) * scale) as f32).collect(), returns)
}

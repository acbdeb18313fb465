//! The update of one iteration: epochs × minibatches of the clipped losses, each an optimiser step, and the iteration's metrics.

use std::ops::Range;

use burn::tensor::Tensor;
use evenkeel_kernels::{Rows, gather, pick, ppo_policy_loss, ppo_value_loss, total};

use super::rollout::{batch, value_rows};
use super::{Critic, Experience, Numbers, PpoTrainer};
use crate::data::batch::Batch;
use crate::error::{Error, Result};
use crate::event::Metrics;
use crate::rng;
use crate::train::forward::{Placed, ints, read};
use crate::train::maths::{adapt_kl_coef, policy_is_clipped, value_is_clipped};
use crate::train::optimizer::{GradientSum, grad_norm, learning_rate};

/// Means over the tokens of every minibatch of the iteration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpdateStats {
    /// Optimiser steps taken.
    pub updates: usize,
    /// Optimiser steps passed over because a number was not finite (`training.skip_nan_grad`).
    pub skipped: usize,
    /// Largest |log ratio| of the very first minibatch: 0 when rollout and update agree.
    pub first_log_ratio: f64,
    /// Whether `target_kl` ended the updates early.
    pub stopped_early: bool,
    /// What the updates were made from.
    pub numbers: Numbers,
    policy_loss: f64,
    value_loss: f64,
    approx_kl: f64,
    clip_fraction: f64,
    value_clip_fraction: f64,
    entropy: f64,
    ratio: f64,
    ratio_squared: f64,
    grad_norm: f64,
    value_grad_norm: f64,
    learning_rate: f64,
}

/// One minibatch's part of an [`UpdateStats`]; sums over tokens.
#[derive(Default)]
struct Sums {
    tokens: f64,
    steps: f64,
    policy_loss: f64,
    value_loss: f64,
    approx_kl: f64,
    clipped: f64,
    value_clipped: f64,
    entropy: f64,
    ratio: f64,
    ratio_squared: f64,
    largest_log_ratio: f64,
}

impl PpoTrainer {
    /// `num_ppo_epochs` passes in fresh order, `num_mini_batches` optimiser steps each; then moves β when the controller is on.
    ///
    /// # Errors
    /// [`crate::Error::NonFinite`], [`crate::Error::Device`].
    pub async fn update(&mut self, step: u64, experience: &Experience) -> Result<UpdateStats> {
        let episodes = experience.episodes.len();
        let minibatch = episodes.div_ceil(self.config.num_mini_batches);
        let mut stats = UpdateStats {
            learning_rate: learning_rate(&self.recipe.training, step, self.order.total_steps(&self.recipe.training)),
            ..Default::default()
        };
        let mut passed_over = None;
        'epochs: for epoch in 0..self.config.num_ppo_epochs {
            let index = step * self.config.num_ppo_epochs as u64 + epoch as u64;
            let order = rng::permutation(self.recipe.seed, "ppo", index, episodes);
            for rows in order.chunks(minibatch) {
                let sums = match self.minibatch(step, experience, rows, &mut stats).await {
                    Err(error @ Error::NonFinite { .. }) if self.recipe.training.skip_nan_grad => {
                        stats.skipped += 1;
                        passed_over = Some(error);
                        continue;
                    }
                    sums => sums?,
                };
                if stats.updates == 1 {
                    stats.first_log_ratio = sums.largest_log_ratio;
                }
                if self.config.target_kl > 0.0 && sums.approx_kl / sums.tokens > self.config.target_kl {
                    stats.stopped_early = true;
                    break 'epochs;
                }
            }
        }
        if let (0, Some(error)) = (stats.updates, passed_over) {
            return Err(error);
        }
        stats.divide();
        self.adapt(&stats.numbers);
        Ok(stats)
    }

    fn adapt(&mut self, numbers: &Numbers) {
        if self.config.kl_target > 0.0 {
            let n = numbers.kl.len();
            let kl = numbers.kl.iter().flatten().sum::<f64>() / n as f64;
            self.controller.kl_coef = adapt_kl_coef(self.controller.kl_coef, kl, self.config.kl_target, n, self.config.kl_horizon);
        }
    }

    /// One optimiser step of actor and critic on the episodes `rows`. The first one's read brings the experience's numbers too.
    async fn minibatch(&mut self, step: u64, experience: &Experience, rows: &[usize], stats: &mut UpdateStats) -> Result<Sums> {
        let tokens: usize = rows.iter().map(|&r| experience.said.tokens[r].len()).sum();
        let steps: usize = rows.iter().map(|&r| experience.said.steps[r].len()).sum();
        let lr = if step <= self.config.critic_warmup_steps { 0.0 } else { stats.learning_rate };
        let value_lr = match self.config.value_learning_rate {
            0.0 => stats.learning_rate,
            peak => stats.learning_rate / self.recipe.training.learning_rate.max(f64::MIN_POSITIVE) * peak,
        };
        let rates = self.optimizer.rates(lr);
        let value_rates = match &self.critic {
            Critic::Model { optimizer, .. } | Critic::Head { optimizer, .. } => optimizer.rates(value_lr),
        };
        let (mut actor, mut critic) = (GradientSum::default(), GradientSum::default());
        let mut wanted = Vec::new();
        for chunk in rows.chunks(self.micro_batch()) {
            let (loss, read) = self.losses(experience, &Micro::new(experience, chunk), tokens, steps);
            let critic_params = match &self.critic {
                Critic::Model { model, .. } => &model.params,
                Critic::Head { head, .. } => &head.params,
            };
            GradientSum::add_all([&mut actor, &mut critic], [&self.policy.params, critic_params], loss.backward());
            wanted.extend(read);
        }

        let of_actor = self.optimizer.update(&mut self.policy.params, actor, rates);
        let (params, optimizer) = match &mut self.critic {
            Critic::Model { model, optimizer } => (&mut model.params, optimizer),
            Critic::Head { head, optimizer } => (&mut head.params, optimizer),
        };
        let of_critic = optimizer.update(params, critic, value_rates);
        let losses = wanted.len();
        wanted.extend([of_actor, of_critic]);
        if stats.updates == 0 {
            wanted.extend(experience.columns());
        }
        let mut values = read(wanted).await?;
        let clips = values.split_off(losses);
        if stats.updates == 0 {
            stats.numbers = experience.of_columns(&clips[2..]);
        }
        let norms = clips[..2].iter().map(|clip| grad_norm(clip, &values, step)).collect::<Result<Vec<f64>>>();
        let norms = norms.map_err(|error| self.trouble(step, error, &stats.numbers, rows, &values))?;

        let mut sums = Sums { tokens: tokens as f64, steps: steps as f64, ..Sums::default() };
        for (chunk, values) in rows.chunks(self.micro_batch()).zip(values.chunks(5)) {
            sums.add(&stats.numbers, chunk, values, self.config.cliprange, self.config.cliprange_value);
        }
        stats.add(&sums, norms[0], norms[1]);
        Ok(sums)
    }

    /// `error` with the prompts' rows whose episodes, `episodes` of the iteration, hold a number that is not finite; and which number it is.
    fn trouble(&self, step: u64, error: Error, numbers: &Numbers, episodes: &[usize], values: &[Vec<f32>]) -> Error {
        let Error::NonFinite { mut what, moved, .. } = error else { return error };
        let of_rollout = [
            ("a log-probability of the policy", &numbers.logprobs),
            ("a log-probability of the reference", &numbers.ref_logprobs),
            ("a value of the critic", &numbers.values),
        ];
        let mut bad: Vec<usize> = Vec::new();
        if let Some((name, lists)) = of_rollout.iter().find(|(_, lists)| !lists.iter().flatten().all(|x| x.is_finite())) {
            what = (*name).to_owned();
            bad.extend((0..lists.len()).filter(|&e| !lists[e].iter().all(|x| x.is_finite())));
        } else {
            for (chunk, values) in episodes.chunks(self.micro_batch()).zip(values.chunks(5)) {
                let mut losses = values[3].as_slice();
                for &episode in chunk {
                    let (of_episode, rest) = losses.split_at(numbers.logprobs[episode].len());
                    losses = rest;
                    bad.extend(of_episode.iter().any(|loss| !loss.is_finite()).then_some(episode));
                }
            }
        }
        Error::NonFinite { step, what, rows: self.prompt_rows(step, bad), moved }
    }

    /// The scalar to differentiate, and what is read back: [log π], [entropy], [V], policy losses and value losses, per token or step.
    fn losses(&self, experience: &Experience, micro: &Micro, tokens: usize, steps: usize) -> (Tensor<1>, Vec<Tensor<1>>) {
        let device = self.policy.device();
        // Everything is uploaded before the first launch.
        let [of_tokens, of_steps] = [&micro.tokens, &micro.steps].map(|places| ints(places, &device));
        let rows = Rows::new(&micro.value_rows, micro.batch.ids.len(), &device);
        let placed = Placed::new(&micro.batch, &self.policy);
        let of_critic = match &self.critic {
            Critic::Model { model, .. } => Some(Placed::new(&micro.batch, model)),
            Critic::Head { .. } => None,
        };
        let [old_logprobs, advantages] = [&experience.said.logprobs, &experience.advantages].map(|x| pick(x.clone(), of_tokens.clone()));
        let [old_values, returns] = [&experience.said.values, &experience.returns].map(|x| pick(x.clone(), of_steps.clone()));
        let states = placed.hidden(&self.policy);
        let new = placed.stats(&self.policy, placed.predictors(states.clone()), self.config.temperature);
        let policy_loss = ppo_policy_loss(new.logprob.clone(), old_logprobs, advantages, self.config.cliprange);
        let values = match (&self.critic, of_critic) {
            (Critic::Model { model, .. }, Some(placed)) => model.scores(gather(placed.hidden(model), &rows)),
            (Critic::Model { model: head, .. } | Critic::Head { head, .. }, _) => head.scores(gather(states, &rows)),
        };
        let value_loss = ppo_value_loss(values.clone(), old_values, returns, self.config.cliprange_value);
        let mut loss = total(policy_loss.clone(), 1.0 / tokens as f64) + total(value_loss.clone(), self.config.vf_coef / steps as f64);
        if self.config.entropy_coef > 0.0 {
            loss = loss + total(new.entropy.clone(), -self.config.entropy_coef / tokens as f64);
        }
        (loss, vec![new.logprob, new.entropy, values, policy_loss, value_loss])
    }

    /// TRL's names, every mean over real tokens; and what TRL lacks: `objective/kl_coef`, `val/explained_variance`, `val/first_log_ratio`,
    /// `completions/mean_length`, `grad_norm`, `val/grad_norm`, `policy/updates`.
    pub fn metrics(&self, step: u64, experience: &Experience, stats: &UpdateStats) -> Metrics {
        let (numbers, n) = (&stats.numbers, experience.episodes.len() as f64);
        let per_sequence = |lists: &[Vec<f64>]| lists.iter().flatten().sum::<f64>() / n;
        let entropy = -per_sequence(&numbers.logprobs);
        let scores = experience.scores.iter().sum::<f64>() / n;
        let non_score = per_sequence(&numbers.rewards) - scores;
        let tokens: usize = numbers.kl.iter().map(Vec::len).sum();
        let mut metrics: Metrics = [
            ("objective/kl", per_sequence(&numbers.kl)),
            ("objective/kl_per_token", numbers.kl.iter().flatten().sum::<f64>() / tokens as f64),
            ("objective/entropy", entropy),
            ("objective/non_score_reward", non_score),
            ("objective/rlhf_reward", non_score + scores),
            ("objective/scores", experience.raw_scores.iter().sum::<f64>() / n),
            ("objective/kl_coef", self.controller.kl_coef),
            ("val/num_eos_tokens", experience.episodes.iter().filter(|e| e.finished).count() as f64),
            ("val/explained_variance", explained_variance(&numbers.values, &numbers.returns)),
            ("completions/mean_length", tokens as f64 / n),
            ("episode", self.controller.episodes as f64),
            ("epoch", self.order.epoch(step)),
            ("num_tokens", self.controller.tokens as f64),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        metrics.extend(stats.metrics());
        metrics
    }
}

/// One forward pass of the update.
struct Micro {
    batch: Batch,
    /// Where the tokens of its episodes lie among all, in the order of `batch.targets`; and where their steps lie, in that of `value_rows`.
    tokens: Vec<i32>,
    steps: Vec<i32>,
    value_rows: Vec<i32>,
}

impl Micro {
    fn new(experience: &Experience, rows: &[usize]) -> Self {
        let batch = batch(rows.iter().map(|&r| &experience.episodes[r]));
        let places = |ranges: &[Range<usize>]| rows.iter().flat_map(|&r| ranges[r].clone()).map(|place| place as i32).collect();
        let steps: Vec<usize> = rows.iter().map(|&r| experience.said.steps[r].len()).collect();
        Self {
            tokens: places(&experience.said.tokens),
            steps: places(&experience.said.steps),
            value_rows: value_rows(&batch, &steps),
            batch,
        }
    }
}

impl Sums {
    /// `values`: log π, entropy, V, policy losses, value losses of the episodes `rows`.
    fn add(&mut self, numbers: &Numbers, rows: &[usize], values: &[Vec<f32>], cliprange: f64, cliprange_value: f64) {
        let of_rows = |lists: &[Vec<f64>]| rows.iter().flat_map(|&r| lists[r].iter().copied()).collect::<Vec<_>>();
        for ((&new, old), advantage) in values[0].iter().zip(of_rows(&numbers.logprobs)).zip(of_rows(&numbers.advantages)) {
            let log_ratio = f64::from(new) - old;
            let ratio = log_ratio.exp();
            self.approx_kl += 0.5 * log_ratio * log_ratio;
            self.clipped += f64::from(u8::from(policy_is_clipped(ratio, advantage, cliprange)));
            self.ratio += ratio;
            self.ratio_squared += ratio * ratio;
            self.largest_log_ratio = self.largest_log_ratio.max(log_ratio.abs());
        }
        for ((&value, old), ret) in values[2].iter().zip(of_rows(&numbers.values)).zip(of_rows(&numbers.returns)) {
            let clipped = value_is_clipped(f64::from(value), old, ret, cliprange_value);
            self.value_clipped += f64::from(u8::from(clipped));
        }
        let sum = |list: &[f32]| list.iter().map(|&v| f64::from(v)).sum::<f64>();
        self.entropy += sum(&values[1]);
        self.policy_loss += sum(&values[3]);
        self.value_loss += sum(&values[4]);
    }
}

impl UpdateStats {
    fn add(&mut self, sums: &Sums, grad_norm: f64, value_grad_norm: f64) {
        self.updates += 1;
        self.policy_loss += sums.policy_loss / sums.tokens;
        self.value_loss += sums.value_loss / sums.steps;
        self.approx_kl += sums.approx_kl / sums.tokens;
        self.clip_fraction += sums.clipped / sums.tokens;
        self.value_clip_fraction += sums.value_clipped / sums.steps;
        self.entropy += sums.entropy / sums.tokens;
        self.ratio += sums.ratio / sums.tokens;
        self.ratio_squared += sums.ratio_squared / sums.tokens;
        self.grad_norm += grad_norm;
        self.value_grad_norm += value_grad_norm;
    }

    fn divide(&mut self) {
        let n = self.updates.max(1) as f64;
        for sum in [
            &mut self.policy_loss,
            &mut self.value_loss,
            &mut self.approx_kl,
            &mut self.clip_fraction,
            &mut self.value_clip_fraction,
            &mut self.entropy,
            &mut self.ratio,
            &mut self.ratio_squared,
            &mut self.grad_norm,
            &mut self.value_grad_norm,
        ] {
            *sum /= n;
        }
    }

    fn metrics(&self) -> Metrics {
        let list = [
            ("loss/policy_avg", self.policy_loss),
            ("loss/value_avg", self.value_loss),
            ("policy/approxkl_avg", self.approx_kl),
            ("policy/clipfrac_avg", self.clip_fraction),
            ("policy/entropy_avg", self.entropy),
            ("policy/updates", self.updates as f64),
            ("val/clipfrac_avg", self.value_clip_fraction),
            ("val/ratio", self.ratio),
            ("val/ratio_var", (self.ratio_squared - self.ratio * self.ratio).max(0.0)),
            ("val/first_log_ratio", self.first_log_ratio),
            ("grad_norm", self.grad_norm),
            ("val/grad_norm", self.value_grad_norm),
            ("lr", self.learning_rate),
        ];
        let skipped = (self.skipped > 0).then_some(("policy/skipped_updates", self.skipped as f64));
        list.into_iter().chain(skipped).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// 1 − Var(returns − values) / Var(returns): how much of the returns the critic foresaw; 0 where they do not vary.
fn explained_variance(values: &[Vec<f64>], returns: &[Vec<f64>]) -> f64 {
    let pairs: Vec<(f64, f64)> = returns.iter().flatten().copied().zip(values.iter().flatten().copied()).collect();
    let variance = |values: &dyn Fn(&(f64, f64)) -> f64| {
        let mean = pairs.iter().map(values).sum::<f64>() / pairs.len() as f64;
        pairs.iter().map(|p| (values(p) - mean).powi(2)).sum::<f64>() / pairs.len() as f64
    };
    let total = variance(&|p| p.0);
    if total > 0.0 { 1.0 - variance(&|p| p.0 - p.1) / total } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_critic_explains_everything() {
        let values = [vec![1.0, 3.0], vec![2.0]];
        assert_eq!(explained_variance(&values, &values), 1.0);
        assert_eq!(explained_variance(&values, &[vec![2.0, 2.0], vec![2.0]]), 0.0);
    }
}

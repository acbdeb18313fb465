//! Reward model: Bradley–Terry over pairs, K-wise rankings as the mean over their K(K−1)/2 pairs in one batch element.
//!
//! Follows TRL's `RewardTrainer`; rankings after InstructGPT (Ouyang et al. 2022, section 3.5). Scores are read at the last real token.

use burn::tensor::{Device, Tensor};
use evenkeel_kernels::{PairLoss, Rows, gather, pair_loss, total};

use super::forward::{end_scores, floats, mean, read};
use super::maths::bradley_terry;
use super::optimizer::{AdamW, GradientSum, grad_norm, learning_rate};
use super::order::Order;
use super::pending::Pending;
use super::run::Trainer;
use super::state::counter;
use super::trouble::Alone;
use crate::data::batch::Batch;
use crate::data::{Preference, Sequence};
use crate::error::Result;
use crate::event::Metrics;
use crate::model::Model;
use crate::recipe::{Recipe, Reward};

/// Trains a sequence-classification model with one label on preferences.
pub struct RewardTrainer {
    /// The reward model in training.
    pub model: Model,
    optimizer: AdamW,
    data: Vec<Preference>,
    eval: Vec<Preference>,
    order: Order,
    config: Reward,
    recipe: Recipe,
    num_tokens: u64,
}

impl RewardTrainer {
    /// `model` has a score head; `data` must not be empty; nothing is frozen.
    pub fn new(recipe: &Recipe, model: &Model, data: Vec<Preference>, eval: Vec<Preference>) -> Self {
        let model = model.for_training(&recipe.training);
        Self {
            optimizer: AdamW::new(&model, &recipe.training),
            order: Order::new(data.len(), recipe),
            config: recipe.reward.clone().unwrap_or_default(),
            recipe: recipe.clone(),
            model,
            data,
            eval,
            num_tokens: 0,
        }
    }

    /// Adds the gradient of one forward pass, of `rows` rows in the whole step.
    fn backward(&self, preferences: &[&Preference], rows: usize, gradients: &mut GradientSum) -> Forward {
        let batch = Batch::padded(&responses(preferences));
        let pairs = Pairs::new(preferences, rows);
        let placed = pairs.placed(batch.predictions.len(), &self.model.device());
        let scores = end_scores(&self.model, &batch);
        let loss = placed.loss(scores.clone(), &bradley_terry(self.config.center_rewards_coefficient));
        gradients.add(&self.model.params, loss.backward());
        Forward { loss, scores, pairs, tokens: batch.tokens as u64 }
    }
}

struct Forward {
    /// Its part of the step's loss, `[1]`.
    loss: Tensor<1>,
    scores: Tensor<1>,
    pairs: Pairs,
    tokens: u64,
}

/// Every pair of a micro-batch, as indices into its scores.
struct Pairs {
    chosen: Vec<i32>,
    rejected: Vec<i32>,
    margin: Vec<f32>,
    weight: Vec<f32>,
}

impl Pairs {
    /// All ordered pairs of each item's responses; an item's weights sum to 1 / `items`.
    fn new(preferences: &[&Preference], items: usize) -> Self {
        let mut pairs = Self { chosen: vec![], rejected: vec![], margin: vec![], weight: vec![] };
        let mut start = 0;
        for preference in preferences {
            let k = preference.responses.len() as i32;
            let weight = 2.0 / (k * (k - 1)) as f32 / items as f32;
            for better in 0..k {
                for worse in better + 1..k {
                    pairs.chosen.push(start + better);
                    pairs.rejected.push(start + worse);
                    pairs.margin.push(preference.margin);
                    pairs.weight.push(weight);
                }
            }
            start += k;
        }
        pairs
    }

    /// On `device`, for `sequences` scores.
    fn placed(&self, sequences: usize, device: &Device) -> PlacedPairs {
        let both = [self.chosen.as_slice(), &self.rejected].concat();
        let none = vec![0.0; self.margin.len()];
        PlacedPairs {
            base: floats(&[self.margin.as_slice(), &none].concat(), device),
            lengths: floats(&vec![1.0; both.len()], device),
            weight: floats(&self.weight, device),
            rows: Rows::new(&both, sequences, device),
        }
    }

    /// (chosen score, rejected score) of each pair.
    fn scores<'a>(&'a self, scores: &'a [f32]) -> impl Iterator<Item = (f32, f32)> + 'a {
        self.chosen.iter().zip(&self.rejected).map(|(&w, &l)| (scores[w as usize], scores[l as usize]))
    }
}

/// [`Pairs`] on a device: the better sides, then the worse ones.
struct PlacedPairs {
    rows: Rows,
    base: Tensor<1>,
    lengths: Tensor<1>,
    weight: Tensor<1>,
}

impl PlacedPairs {
    /// Σ over pairs of weight · loss, [1], of scores [S].
    fn loss(self, scores: Tensor<1>, loss: &PairLoss) -> Tensor<1> {
        let sides = gather(scores.unsqueeze_dim(1), &self.rows).flatten(0, 1);
        total(pair_loss(sides, self.base, self.lengths, self.weight, loss), 1.0)
    }
}

fn responses<'a>(preferences: &[&'a Preference]) -> Vec<&'a Sequence> {
    preferences.iter().flat_map(|p| &p.responses).collect()
}

impl Trainer for RewardTrainer {
    fn total_steps(&self) -> u64 {
        self.order.total_steps(&self.recipe.training)
    }

    async fn launch(&mut self, step: u64) -> Result<Pending> {
        let rows = self.order.rows(step);
        let lr = learning_rate(&self.recipe.training, step, self.total_steps());
        let rates = self.optimizer.rates(lr);
        let mut gradients = GradientSum::default();
        let (mut wanted, mut all_pairs) = (Vec::new(), Vec::new());
        for chunk in rows.chunks(self.recipe.training.per_device_train_batch_size) {
            let preferences: Vec<&Preference> = chunk.iter().map(|&i| &self.data[i]).collect();
            let forward = self.backward(&preferences, rows.len(), &mut gradients);
            wanted.extend([forward.loss, forward.scores]);
            all_pairs.push(forward.pairs);
            self.num_tokens += forward.tokens;
        }

        wanted.push(self.optimizer.update(&mut self.model.params, gradients, rates));
        let (num_tokens, epoch) = (self.num_tokens as f64, self.order.epoch(step));
        Ok(Pending::new(wanted, move |mut values| {
            let clip = values.pop().expect("the norm was asked for last");
            let norm = grad_norm(&clip, &values, step)?;
            let loss = values.iter().step_by(2).map(|v| f64::from(v[0])).sum();
            let scores = values.iter().skip(1).step_by(2);
            let pairs: Vec<(f32, f32)> = all_pairs.iter().zip(scores).flat_map(|(p, s)| p.scores(s)).collect();
            let mut metrics = pair_metrics("", &pairs);
            metrics.extend([
                ("loss".into(), loss),
                ("grad_norm".into(), norm),
                ("learning_rate".into(), lr),
                ("num_tokens".into(), num_tokens),
                ("epoch".into(), epoch),
            ]);
            Ok(metrics)
        }))
    }

    fn alone(&self, step: u64) -> Vec<Alone<'_>> {
        let row = |row: usize| Alone::new(row, move |gradients| Some(self.backward(&[&self.data[row]], 1, gradients).loss));
        self.order.rows(step).into_iter().map(row).collect()
    }

    async fn evaluate(&mut self) -> Result<Metrics> {
        let rows: Vec<&Preference> = self.eval.iter().collect();
        evaluate(&self.model.frozen(), &rows, self.recipe.training.per_device_eval_batch_size).await
    }

    fn model(&self) -> &Model {
        &self.model
    }

    fn parts(&mut self) -> Vec<(&'static str, &mut Model, &mut AdamW)> {
        vec![("reward", &mut self.model, &mut self.optimizer)]
    }

    fn counters(&self) -> serde_json::Value {
        serde_json::json!({ "num_tokens": self.num_tokens })
    }

    fn restore_counters(&mut self, counters: &serde_json::Value) -> std::result::Result<(), String> {
        self.num_tokens = counter(counters, "num_tokens")?;
        Ok(())
    }

    fn has_eval(&self) -> bool {
        !self.eval.is_empty()
    }
}

/// TRL's names: accuracy (r_w > r_l), margin, and min/mean/max of the rewards of both sides.
fn pair_metrics(prefix: &str, pairs: &[(f32, f32)]) -> Metrics {
    let both: Vec<f32> = pairs.iter().flat_map(|&(w, l)| [w, l]).collect();
    let right: Vec<f32> = pairs.iter().map(|(w, l)| f32::from(w > l)).collect();
    let margins: Vec<f32> = pairs.iter().map(|(w, l)| w - l).collect();
    let name = |metric: &str| format!("{prefix}{metric}");
    Metrics::from([
        (name("accuracy"), mean(&right)),
        (name("margin"), mean(&margins)),
        (name("min_reward"), f64::from(both.iter().copied().fold(f32::INFINITY, f32::min))),
        (name("mean_reward"), mean(&both)),
        (name("max_reward"), f64::from(both.iter().copied().fold(f32::NEG_INFINITY, f32::max))),
    ])
}

/// Bins of the calibration error.
const CALIBRATION_BINS: usize = 10;

/// `eval_loss`, `eval_accuracy`, `eval_margin`, rewards, and `eval_calibration_error`: how far σ(r_w − r_l), read as the probability
/// that the first of a pair in random order is preferred, is from how often it is (expected calibration error, 10 bins; Guo et al. 2017).
///
/// # Errors
/// [`crate::Error::Device`].
pub async fn evaluate(model: &Model, rows: &[&Preference], batch_size: usize) -> Result<Metrics> {
    let (mut pairs, mut loss) = (Vec::new(), 0.0);
    for chunk in rows.chunks(batch_size) {
        let batch = Batch::padded(&responses(chunk));
        let scores = read(vec![end_scores(model, &batch)]).await?.remove(0);
        let indices = Pairs::new(chunk, rows.len());
        for (((w, l), margin), weight) in indices.scores(&scores).zip(&indices.margin).zip(&indices.weight) {
            loss += f64::from(*weight) * f64::from(1.0 + (-(w - l - margin)).exp()).ln();
            pairs.push((w, l));
        }
    }
    let mut metrics = pair_metrics("eval_", &pairs);
    metrics.insert("eval_loss".into(), loss);
    metrics.insert("eval_calibration_error".into(), calibration_error(&pairs));
    Ok(metrics)
}

/// Each pair is read in both orders, so the score distribution is symmetric and the error is that of the confident half.
fn calibration_error(pairs: &[(f32, f32)]) -> f64 {
    let mut bins = [(0.0f64, 0.0f64, 0.0f64); CALIBRATION_BINS];
    for (w, l) in pairs {
        let p = 1.0 / (1.0 + f64::from(l - w).exp());
        for (probability, preferred) in [(p, 1.0), (1.0 - p, 0.0)] {
            let bin = &mut bins[((probability * CALIBRATION_BINS as f64) as usize).min(CALIBRATION_BINS - 1)];
            *bin = (bin.0 + 1.0, bin.1 + probability, bin.2 + preferred);
        }
    }
    let total = 2.0 * pairs.len().max(1) as f64;
    bins.iter().map(|(_, probability, preferred)| (probability - preferred).abs() / total).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(k: usize) -> Preference {
        let answer = Sequence { ids: vec![1, 2], mask: vec![false, true] };
        Preference { responses: vec![answer; k], margin: 0.0 }
    }

    #[test]
    fn a_ranking_weighs_as_much_as_a_pair() {
        let (pair, ranking) = (item(2), item(4));
        let pairs = Pairs::new(&[&pair, &ranking], 2);
        assert_eq!(pairs.chosen, [0, 2, 2, 2, 3, 3, 4]);
        assert_eq!(pairs.rejected, [1, 3, 4, 5, 4, 5, 5]);
        assert!((pairs.weight[0] - 0.5).abs() < 1e-7);
        assert!((pairs.weight[1..].iter().sum::<f32>() - 0.5).abs() < 1e-6);
    }

    #[test]
    fn a_certain_and_right_model_is_calibrated_a_certain_and_wrong_one_is_not() {
        assert!(calibration_error(&[(20.0, -20.0); 8]) < 1e-6);
        assert!(calibration_error(&[(-20.0, 20.0); 8]) > 0.99);
        assert!(calibration_error(&[(0.0, 0.0); 8]) < 1e-6);
    }
}

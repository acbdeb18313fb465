//! DPO: the policy's log-ratios to a frozen reference, chosen against rejected.
//!
//! Follows TRL's `DPOTrainer`; the loss is the mean over the pairs of the whole optimiser step. The reference is a clone of the live
//! weights (or a model of its own) whose digest is checked at the end. Sequences lie [chosen…, rejected…].

use super::forward::{Placed, floats, mean, read, sequence_logprobs};
use super::maths::dpo_loss;
use super::optimizer::{AdamW, GradientSum, grad_norm, learning_rate};
use super::order::Order;
use super::pending::Pending;
use super::run::Trainer;
use super::state::same_reference;
use super::trouble::Alone;
use crate::data::batch::Batch;
use crate::data::{Preference, Sequence};
use crate::error::{Error, Result};
use crate::event::Metrics;
use crate::model::Model;
use crate::recipe::{Dpo, Recipe};
use burn::tensor::Tensor;
use evenkeel_kernels::{pair_loss, total};
use serde::{Deserialize, Serialize};

/// A chosen and a rejected completion, with the reference's summed log-probabilities once they are known.
#[derive(Debug, Clone)]
struct Pair {
    /// The row of the data that it is of.
    row: usize,
    chosen: Sequence,
    rejected: Sequence,
    reference: Option<(f32, f32)>,
}

/// Trains every weight of `model` against a frozen reference.
pub struct DpoTrainer {
    /// The policy in training.
    pub model: Model,
    /// Frozen.
    pub reference: Model,
    reference_digest: String,
    optimizer: AdamW,
    data: Vec<Pair>,
    eval: Vec<Pair>,
    order: Order,
    config: Dpo,
    recipe: Recipe,
    num_tokens: u64,
}

impl DpoTrainer {
    /// Rankings become their pairs. Without a `reference` the live weights of `model` are cloned.
    ///
    /// # Errors
    /// [`Error::Device`] while the reference is read.
    pub async fn new(recipe: &Recipe, model: &Model, reference: Option<Model>, data: &[Preference], eval: &[Preference]) -> Result<Self> {
        let reference = reference.unwrap_or_else(|| model.clone()).frozen();
        let model = model.for_training(&recipe.training);
        let [data, eval] = [data, eval].map(|rows| rows.iter().enumerate().flat_map(pairs).collect::<Vec<Pair>>());
        let mut trainer = Self {
            reference_digest: reference.digest().await?,
            optimizer: AdamW::new(&model, &recipe.training),
            order: Order::new(data.len(), recipe),
            config: recipe.dpo.clone().unwrap_or_default(),
            recipe: recipe.clone(),
            model,
            reference,
            data,
            eval,
            num_tokens: 0,
        };
        if trainer.config.precompute_ref_log_probs {
            trainer.precompute().await?;
        }
        Ok(trainer)
    }

    /// β as it is now.
    pub fn beta(&self) -> f64 {
        self.config.beta
    }

    async fn precompute(&mut self) -> Result<()> {
        let size = self.recipe.training.per_device_train_batch_size;
        for chunk in self.data.chunks_mut(size).chain(self.eval.chunks_mut(size)) {
            let batch = layout(chunk);
            let sums = read(vec![sequence_logprobs(&self.reference, &batch)]).await?.remove(0);
            let (chosen, rejected) = sums.split_at(chunk.len());
            for (pair, (&c, &r)) in chunk.iter_mut().zip(chosen.iter().zip(rejected)) {
                pair.reference = Some((c, r));
            }
        }
        Ok(())
    }

    /// The reference's summed log-probabilities, [2·pairs].
    fn reference_sums(&self, pairs: &[Pair], placed: &Placed) -> Tensor<1> {
        let known: Option<Vec<(f32, f32)>> = pairs.iter().map(|p| p.reference).collect();
        match known {
            Some(sums) => {
                let (chosen, rejected): (Vec<f32>, Vec<f32>) = sums.into_iter().unzip();
                floats(&[chosen, rejected].concat(), &self.reference.device())
            }
            None => placed.sequence_sums(placed.token_stats(&self.reference, 1.0).logprob),
        }
    }

    /// One micro-batch forward: per-pair losses and what the metrics need.
    fn forward(&self, model: &Model, pairs: &[Pair]) -> Forward {
        let device = model.device();
        let batch = layout(pairs);
        let n = pairs.len();
        let lengths = floats(&batch.predictions.iter().map(|&l| l as f32).collect::<Vec<_>>(), &device);
        let weight = floats(&vec![1.0; n], &device);
        let placed = Placed::new(&batch, model);
        let reference = self.reference_sums(pairs, &placed);
        let states = placed.predictors(placed.hidden(model));
        let mean_logits = model.mean_logits(states.clone());
        let stats = placed.stats(model, states, 1.0);
        let policy = placed.sequence_sums(stats.logprob.clone());
        let losses = pair_loss(policy.clone(), reference.clone(), lengths, weight, &dpo_loss(&self.config));
        let chosen_tokens: usize = batch.predictions[..n].iter().sum();
        Forward {
            losses,
            read: vec![policy.inner(), reference.inner(), mean_logits, stats.entropy.inner(), stats.correct.inner()],
            chosen_tokens,
            tokens: batch.tokens as u64,
        }
    }

    /// Adds the gradient of one forward pass, of `of` pairs in the whole step. → its part of the loss `[1]`, and the rest
    fn backward(&self, pairs: &[Pair], of: usize, gradients: &mut GradientSum) -> (Tensor<1>, Forward) {
        let forward = self.forward(&self.model, pairs);
        let loss = total(forward.losses.clone(), 1.0 / of as f64);
        gradients.add(&self.model.params, loss.backward());
        (loss, forward)
    }

    /// Whether the reference still has the weights it started with.
    ///
    /// # Errors
    /// [`Error::Device`], also when the weights changed: that is a defect of evenkeel.
    pub async fn verify_reference(&self) -> Result<()> {
        if self.reference.digest().await? == self.reference_digest {
            Ok(())
        } else {
            Err(Error::Device("the reference model changed during training".into()))
        }
    }
}

/// What a checkpoint holds beside weights and moments.
#[derive(Serialize, Deserialize)]
struct Counters {
    num_tokens: u64,
    #[serde(with = "super::state::exact")]
    beta: f64,
    reference: String,
}

struct Forward {
    losses: Tensor<1>,
    read: Vec<Tensor<1>>,
    chosen_tokens: usize,
    tokens: u64,
}

/// All ordered pairs of a preference's responses.
fn pairs((row, preference): (usize, &Preference)) -> impl Iterator<Item = Pair> + '_ {
    let responses = &preference.responses;
    let pair = move |(i, j): (usize, usize)| Pair { row, chosen: responses[i].clone(), rejected: responses[j].clone(), reference: None };
    (0..responses.len()).flat_map(move |i| (i + 1..responses.len()).map(move |j| pair((i, j))))
}

fn layout(pairs: &[Pair]) -> Batch {
    let sequences: Vec<&Sequence> = pairs.iter().map(|p| &p.chosen).chain(pairs.iter().map(|p| &p.rejected)).collect();
    Batch::padded(&sequences)
}

/// What is read back of a step or an evaluation, gathered over its micro-batches.
#[derive(Default)]
struct Gathered {
    chosen: Vec<f32>,
    rejected: Vec<f32>,
    chosen_reward: Vec<f32>,
    rejected_reward: Vec<f32>,
    chosen_logits: Vec<f32>,
    rejected_logits: Vec<f32>,
    entropy: Vec<f32>,
    chosen_correct: Vec<f32>,
}

impl Gathered {
    /// `values`: policy sums, reference sums, mean logits, entropy, correct; as [`Forward::read`] lists them.
    fn add(&mut self, values: &[Vec<f32>], chosen_tokens: usize, beta: f64) {
        let n = values[0].len() / 2;
        let reward = |i: usize| (beta * f64::from(values[0][i] - values[1][i])) as f32;
        self.chosen.extend(&values[0][..n]);
        self.rejected.extend(&values[0][n..]);
        self.chosen_reward.extend((0..n).map(reward));
        self.rejected_reward.extend((n..2 * n).map(reward));
        self.chosen_logits.extend(&values[2][..chosen_tokens]);
        self.rejected_logits.extend(&values[2][chosen_tokens..]);
        self.entropy.extend(&values[3]);
        self.chosen_correct.extend(&values[4][..chosen_tokens]);
    }

    /// TRL's names.
    fn metrics(&self, prefix: &str) -> Metrics {
        let pairs = || self.chosen_reward.iter().zip(&self.rejected_reward);
        let right: Vec<f32> = pairs().map(|(c, r)| f32::from(c > r)).collect();
        let margins: Vec<f32> = pairs().map(|(c, r)| c - r).collect();
        let list: [(&str, &[f32]); 10] = [
            ("rewards/chosen", &self.chosen_reward),
            ("rewards/rejected", &self.rejected_reward),
            ("rewards/accuracies", &right),
            ("rewards/margins", &margins),
            ("logps/chosen", &self.chosen),
            ("logps/rejected", &self.rejected),
            ("logits/chosen", &self.chosen_logits),
            ("logits/rejected", &self.rejected_logits),
            ("entropy", &self.entropy),
            ("mean_token_accuracy", &self.chosen_correct),
        ];
        list.iter().map(|(name, values)| (format!("{prefix}{name}"), mean(values))).collect()
    }
}

impl Trainer for DpoTrainer {
    fn total_steps(&self) -> u64 {
        self.order.total_steps(&self.recipe.training)
    }

    async fn launch(&mut self, step: u64) -> Result<Pending> {
        let rows = self.order.rows(step);
        let lr = learning_rate(&self.recipe.training, step, self.total_steps());
        let rates = self.optimizer.rates(lr);
        let mut gradients = GradientSum::default();
        let (mut wanted, mut chosen_tokens) = (Vec::new(), Vec::new());
        for chunk in rows.chunks(self.recipe.training.per_device_train_batch_size) {
            let pairs: Vec<Pair> = chunk.iter().map(|&i| self.data[i].clone()).collect();
            let (loss, forward) = self.backward(&pairs, rows.len(), &mut gradients);
            wanted.push(loss);
            wanted.extend(forward.read);
            chosen_tokens.push(forward.chosen_tokens);
            self.num_tokens += forward.tokens;
        }

        wanted.push(self.optimizer.update(&mut self.model.params, gradients, rates));
        let (num_tokens, epoch, beta) = (self.num_tokens as f64, self.order.epoch(step), self.config.beta);
        Ok(Pending::new(wanted, move |mut values| {
            let clip = values.pop().expect("the norm was asked for last");
            let norm = grad_norm(&clip, &values, step)?;
            let mut gathered = Gathered::default();
            for (micro, &chosen) in values.chunks(6).zip(&chosen_tokens) {
                gathered.add(&micro[1..], chosen, beta);
            }
            let mut metrics = gathered.metrics("");
            metrics.extend([
                ("loss".into(), values.iter().step_by(6).map(|v| f64::from(v[0])).sum()),
                ("grad_norm".into(), norm),
                ("learning_rate".into(), lr),
                ("num_tokens".into(), num_tokens),
                ("epoch".into(), epoch),
            ]);
            Ok(metrics)
        }))
    }

    fn alone(&self, step: u64) -> Vec<Alone<'_>> {
        let pair = |pair: &'_ Pair| {
            let pair = pair.clone();
            Alone::new(pair.row, move |gradients| Some(self.backward(std::slice::from_ref(&pair), 1, gradients).0))
        };
        self.order.rows(step).into_iter().map(|i| pair(&self.data[i])).collect()
    }

    async fn evaluate(&mut self) -> Result<Metrics> {
        let model = self.model.frozen();
        let (mut gathered, mut loss) = (Gathered::default(), Vec::new());
        for chunk in self.eval.chunks(self.recipe.training.per_device_eval_batch_size) {
            let forward = self.forward(&model, chunk);
            let mut wanted = forward.read;
            wanted.push(forward.losses);
            let mut values = read(wanted).await?;
            loss.extend(values.pop().expect("the losses were asked for last"));
            gathered.add(&values, forward.chosen_tokens, self.config.beta);
        }
        let mut metrics = gathered.metrics("eval_");
        metrics.insert("eval_loss".into(), mean(&loss));
        Ok(metrics)
    }

    async fn finish(&mut self) -> Result<()> {
        self.verify_reference().await
    }

    fn model(&self) -> &Model {
        &self.model
    }

    fn parts(&mut self) -> Vec<(&'static str, &mut Model, &mut AdamW)> {
        vec![("policy", &mut self.model, &mut self.optimizer)]
    }

    fn counters(&self) -> serde_json::Value {
        let counters = Counters { num_tokens: self.num_tokens, beta: self.config.beta, reference: self.reference_digest.clone() };
        serde_json::to_value(counters).expect("counters are plain data")
    }

    fn restore_counters(&mut self, counters: &serde_json::Value) -> std::result::Result<(), String> {
        let Counters { num_tokens, beta, reference } = Counters::deserialize(counters).map_err(|e| e.to_string())?;
        same_reference(&reference, &self.reference_digest)?;
        (self.num_tokens, self.config.beta) = (num_tokens, beta);
        Ok(())
    }

    fn set(&mut self, path: &str, value: f64) -> bool {
        let fits = value as f32 > 0.0 && (value as f32).is_finite();
        if path != "dpo.beta" || !fits {
            return false;
        }
        self.config.beta = value;
        true
    }

    fn has_eval(&self) -> bool {
        !self.eval.is_empty()
    }
}

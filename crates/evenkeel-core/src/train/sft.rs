//! Supervised fine-tuning: cross-entropy of the trained tokens, averaged over the tokens of the whole optimiser step.
//!
//! Follows TRL's `SFTTrainer` (`nll`): N counts the shifted targets of the accumulation window. Packing keeps documents apart.

use burn::tensor::Tensor;

use super::forward::{mean, read, token_stats};
use super::optimizer::{AdamW, GradientSum, grad_norm, learning_rate};
use super::order::Order;
use super::pending::Pending;
use super::run::Trainer;
use super::state::counter;
use super::trouble::Alone;
use crate::data::Sequence;
use crate::data::batch::Batch;
use crate::error::Result;
use crate::event::Metrics;
use crate::model::Model;
use crate::recipe::{Recipe, Sft};

/// Trains every weight of `model` on `data`.
pub struct SftTrainer {
    /// The model in training.
    pub model: Model,
    optimizer: AdamW,
    data: Vec<Sequence>,
    eval: Vec<Sequence>,
    order: Order,
    config: Sft,
    recipe: Recipe,
    num_tokens: u64,
}

impl SftTrainer {
    /// `data` must not be empty; nothing is frozen.
    pub fn new(recipe: &Recipe, model: &Model, data: Vec<Sequence>, eval: Vec<Sequence>) -> Self {
        let model = model.for_training(&recipe.training);
        Self {
            optimizer: AdamW::new(&model, &recipe.training),
            order: Order::new(data.len(), recipe),
            config: recipe.sft.clone().unwrap_or_default(),
            recipe: recipe.clone(),
            model,
            data,
            eval,
            num_tokens: 0,
        }
    }

    /// The rows of one forward pass, padded or packed.
    fn layout(&self, sequences: &[&Sequence]) -> Batch {
        if self.config.packing { Batch::packed(sequences, self.recipe.data.max_length) } else { Batch::padded(sequences) }
    }

    /// Adds the gradient of one forward pass, of `trained` tokens in the whole step. → its part of the loss `[1]`, entropies and hits
    fn backward(&self, batch: &Batch, trained: usize, gradients: &mut GradientSum) -> [Tensor<1>; 3] {
        let out = token_stats(&self.model, batch, 1.0);
        let loss = out.total_logprob(-1.0 / trained as f64);
        gradients.add(&self.model.params, loss.backward());
        [loss, out.entropy, out.correct]
    }
}

impl Trainer for SftTrainer {
    fn total_steps(&self) -> u64 {
        self.order.total_steps(&self.recipe.training)
    }

    async fn launch(&mut self, step: u64) -> Result<Pending> {
        let rows = self.order.rows(step);
        let batches: Vec<Batch> = rows
            .chunks(self.recipe.training.per_device_train_batch_size)
            .map(|chunk| self.layout(&chunk.iter().map(|&i| &self.data[i]).collect::<Vec<_>>()))
            .collect();
        let trained: usize = batches.iter().map(|b| b.targets.len()).sum();
        self.num_tokens += batches.iter().map(|b| b.tokens as u64).sum::<u64>();

        let lr = learning_rate(&self.recipe.training, step, self.total_steps());
        let rates = self.optimizer.rates(lr);
        let mut gradients = GradientSum::default();
        let mut losses = Vec::new();
        for batch in batches.iter().filter(|b| !b.targets.is_empty()) {
            losses.extend(self.backward(batch, trained, &mut gradients));
        }

        losses.push(self.optimizer.update(&mut self.model.params, gradients, rates));
        let (num_tokens, epoch) = (self.num_tokens as f64, self.order.epoch(step));
        Ok(Pending::new(losses, move |mut values| {
            let clip = values.pop().expect("the norm was asked for last");
            let norm = grad_norm(&clip, &values, step)?;
            let total = |k: usize| values.iter().skip(k).step_by(3).flatten().map(|&v| f64::from(v)).sum::<f64>();
            Ok(Metrics::from([
                ("loss".into(), total(0)),
                ("grad_norm".into(), norm),
                ("learning_rate".into(), lr),
                ("entropy".into(), total(1) / trained.max(1) as f64),
                ("mean_token_accuracy".into(), total(2) / trained.max(1) as f64),
                ("num_tokens".into(), num_tokens),
                ("epoch".into(), epoch),
            ]))
        }))
    }

    fn alone(&self, step: u64) -> Vec<Alone<'_>> {
        let row = |row: usize| {
            Alone::new(row, move |gradients| {
                let batch = self.layout(&[&self.data[row]]);
                let trained = batch.targets.len();
                (trained > 0).then(|| self.backward(&batch, trained, gradients)[0].clone())
            })
        };
        self.order.rows(step).into_iter().map(row).collect()
    }

    async fn evaluate(&mut self) -> Result<Metrics> {
        let model = self.model.frozen();
        let rows: Vec<&Sequence> = self.eval.iter().collect();
        evaluate(&model, &rows, self.recipe.training.per_device_eval_batch_size).await
    }

    fn model(&self) -> &Model {
        &self.model
    }

    fn parts(&mut self) -> Vec<(&'static str, &mut Model, &mut AdamW)> {
        vec![("policy", &mut self.model, &mut self.optimizer)]
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

/// `eval_loss` (mean negative log-likelihood per trained token), `eval_perplexity`, `eval_mean_token_accuracy`, `eval_entropy`.
///
/// # Errors
/// [`crate::Error::Device`].
pub async fn evaluate(model: &Model, rows: &[&Sequence], batch_size: usize) -> Result<Metrics> {
    let (mut nll, mut entropy, mut correct) = (Vec::new(), Vec::new(), Vec::new());
    for chunk in rows.chunks(batch_size) {
        let batch = Batch::padded(chunk);
        if batch.targets.is_empty() {
            continue;
        }
        let stats = token_stats(model, &batch, 1.0);
        let mut values = read(vec![-stats.logprob, stats.entropy, stats.correct]).await?.into_iter();
        for all in [&mut nll, &mut entropy, &mut correct] {
            all.extend(values.next().expect("three tensors were read"));
        }
    }
    Ok(Metrics::from([
        ("eval_loss".into(), mean(&nll)),
        ("eval_perplexity".into(), mean(&nll).exp()),
        ("eval_mean_token_accuracy".into(), mean(&correct)),
        ("eval_entropy".into(), mean(&entropy)),
    ]))
}

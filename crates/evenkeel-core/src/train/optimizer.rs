//! AdamW, summed gradients, global-norm clipping and the learning-rate schedule.

use burn::tensor::{Gradients, Tensor};
use evenkeel_kernels::AdamW as AdamWConfig;

use super::forward::{floats, read};
use crate::error::{Error, Result};
use crate::model::{Model, Params};
use crate::recipe::{SchedulerType, Training};

/// Gradients of every parameter, summed over the micro-batches of one optimiser step.
#[derive(Debug, Default)]
pub struct GradientSum {
    sums: Vec<Option<Tensor<1>>>,
}

impl GradientSum {
    /// Adds what one backward pass left for `params`.
    pub fn add(&mut self, params: &Params, gradients: Gradients) {
        Self::add_all([self], [params], gradients);
    }

    /// Adds what one backward pass left for several parameter sets, such as an actor and its critic.
    pub fn add_all<const K: usize>(sums: [&mut Self; K], params: [&Params; K], mut gradients: Gradients) {
        for (sum, params) in sums.into_iter().zip(params) {
            sum.sums.resize(params.len(), None);
            for (total, param) in sum.sums.iter_mut().zip(params.iter()) {
                let Some(gradient) = param.value.grad_remove(&mut gradients) else { continue };
                *total = Some(match total.take() {
                    Some(so_far) => so_far + gradient,
                    None => gradient,
                });
            }
        }
    }

    /// Global L2 norm over all parameters, `[1]`, on the device; `None` without any gradient.
    pub fn norm(&self) -> Option<Tensor<1>> {
        let squares: Vec<Tensor<1>> = self.sums.iter().flatten().map(|g| g.clone().square().sum()).collect();
        (!squares.is_empty()).then(|| Tensor::cat(squares, 0).sum().sqrt())
    }
}

/// AdamW (Loshchilov & Hutter 2019), decoupled decay as in PyTorch, over one model's parameters.
#[derive(Debug, Clone)]
pub struct AdamW {
    /// Updates so far.
    pub step: u64,
    /// First moments, one per parameter in the model's order, flat.
    pub first: Vec<Tensor<1>>,
    /// Second moments.
    pub second: Vec<Tensor<1>>,
    config: AdamWConfig,
    max_grad_norm: f64,
}

impl AdamW {
    /// Zero moments for every parameter of `model`.
    pub fn new(model: &Model, training: &Training) -> Self {
        let zeros = || model.params.iter().map(|p| Tensor::zeros([p.value.dims()[0]], &p.value.device().inner())).collect();
        Self {
            step: 0,
            first: zeros(),
            second: zeros(),
            config: AdamWConfig {
                beta1: training.adam_beta1 as f32,
                beta2: training.adam_beta2 as f32,
                eps: training.adam_epsilon as f32,
                weight_decay: training.weight_decay as f32,
            },
            max_grad_norm: training.max_grad_norm,
        }
    }

    /// Reads `extra` and the gradient norm back, refuses what is not finite, then updates `params`.
    ///
    /// Returns the norm before clipping and the values of `extra`. Parameters without a gradient stay as they are.
    ///
    /// # Errors
    /// [`Error::NonFinite`] before anything is changed; [`Error::Device`].
    pub async fn update(
        &mut self,
        params: &mut Params,
        gradients: GradientSum,
        lr: f64,
        extra: Vec<Tensor<1>>,
    ) -> Result<(f64, Vec<Vec<f32>>)> {
        let mut wanted = extra;
        let norm = gradients.norm();
        wanted.extend(norm.clone());
        let mut values = read(wanted).await?;
        let norm = if norm.is_some() { f64::from(values.pop().expect("the norm was asked for last")[0]) } else { 0.0 };
        let finite = |what: &str, ok: bool| if ok { Ok(()) } else { Err(Error::NonFinite { step: self.step + 1, what: what.into() }) };
        finite("loss", values.iter().flatten().all(|v| v.is_finite()))?;
        finite("grad_norm", norm.is_finite())?;
        self.apply(params, gradients, lr, self.clip_factor(norm));
        Ok((norm, values))
    }

    /// PyTorch's `clip_grad_norm_`: max_norm / (norm + 1e-6), at most 1.
    fn clip_factor(&self, norm: f64) -> f64 {
        if self.max_grad_norm > 0.0 { (self.max_grad_norm / (norm + 1e-6)).min(1.0) } else { 1.0 }
    }

    fn apply(&mut self, params: &mut Params, gradients: GradientSum, lr: f64, factor: f64) {
        self.step += 1;
        let Some(device) = gradients.sums.iter().flatten().next().map(Tensor::device) else { return };
        let scale = floats(&[factor as f32], &device);
        for (i, (param, gradient)) in params.iter_mut().zip(gradients.sums).enumerate() {
            let Some(gradient) = gradient else { continue };
            let config = if param.decay { self.config } else { AdamWConfig { weight_decay: 0.0, ..self.config } };
            let value = param.value.clone().inner();
            let (first, second) = (self.first[i].clone(), self.second[i].clone());
            let (value, first, second) = evenkeel_kernels::adamw(value, gradient, first, second, scale.clone(), lr, self.step, &config);
            param.value = value.autodiff().require_grad();
            (self.first[i], self.second[i]) = (first, second);
        }
    }
}

/// Learning rate of optimiser step `step` (from 1) of `total`, as transformers' schedulers give it.
pub fn learning_rate(training: &Training, step: u64, total: u64) -> f64 {
    let done = step.saturating_sub(1) as f64;
    let warmup = match training.warmup_steps {
        0 => (training.warmup_ratio * total as f64).ceil(),
        steps => steps as f64,
    };
    if done < warmup {
        return training.learning_rate * done / warmup.max(1.0);
    }
    let progress = ((done - warmup) / (total as f64 - warmup).max(1.0)).min(1.0);
    training.learning_rate
        * match training.lr_scheduler_type {
            SchedulerType::Constant => 1.0,
            SchedulerType::Linear => 1.0 - progress,
            SchedulerType::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Recipe, Stage};

    #[test]
    fn schedules_match_transformers() {
        let mut training = Recipe::default_for(Stage::Sft).training;
        training.learning_rate = 1e-3;
        assert_eq!(learning_rate(&training, 1, 20), 1e-3);
        assert!((learning_rate(&training, 2, 20) - 9.5e-4).abs() < 1e-15);
        training.warmup_steps = 2;
        assert_eq!(learning_rate(&training, 1, 20), 0.0);
        assert_eq!(learning_rate(&training, 2, 20), 5e-4);
        assert_eq!(learning_rate(&training, 3, 20), 1e-3);
        training.lr_scheduler_type = SchedulerType::Cosine;
        assert!((learning_rate(&training, 12, 20) - 5e-4).abs() < 1e-12);
    }
}

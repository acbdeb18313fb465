//! AdamW, summed gradients, global-norm clipping and the learning-rate schedule. Nothing here waits for the device.

use burn::tensor::{Gradients, Tensor};
use evenkeel_kernels::AdamW as AdamWConfig;

use crate::error::{Error, Result};
use crate::model::{Model, Params};
use crate::recipe::{SchedulerType, Training};

/// Gradients of every segment of parameters, summed over the micro-batches of one optimiser step.
#[derive(Debug, Default)]
pub struct GradientSum {
    sums: Vec<Option<Tensor<1>>>,
}

impl GradientSum {
    /// The sum of every segment of the parameters, where there is one.
    pub fn segments(&self) -> &[Option<Tensor<1>>] {
        &self.sums
    }

    /// Adds what one backward pass left for `params`.
    pub fn add(&mut self, params: &Params, gradients: Gradients) {
        Self::add_all([self], [params], gradients);
    }

    /// Adds what one backward pass left for several parameter sets, such as an actor and its critic.
    pub fn add_all<const K: usize>(sums: [&mut Self; K], params: [&Params; K], mut gradients: Gradients) {
        for (sum, params) in sums.into_iter().zip(params) {
            sum.sums.resize(params.segments().len(), None);
            for (total, segment) in sum.sums.iter_mut().zip(params.segments()) {
                let Some(gradient) = segment.value.grad_remove(&mut gradients) else { continue };
                *total = Some(match total.take() {
                    Some(so_far) => so_far + gradient,
                    None => gradient,
                });
            }
        }
    }
}

/// AdamW (Loshchilov & Hutter 2019), decoupled decay as in PyTorch, over one model's parameters.
#[derive(Debug, Clone)]
pub struct AdamW {
    /// Updates so far.
    pub step: u64,
    /// First moments, one tensor for each of the model's segments.
    pub first: Vec<Tensor<1>>,
    /// Second moments.
    pub second: Vec<Tensor<1>>,
    config: AdamWConfig,
    max_grad_norm: f64,
    /// Whether an update that is not finite is passed over; else it stops all that follow.
    skips: bool,
    /// Norm and scale of the last update.
    last: Option<Tensor<1>>,
}

impl AdamW {
    /// Zero moments for every parameter of `model`.
    pub fn new(model: &Model, training: &Training) -> Self {
        let zeros = || model.params.segments().iter().map(|s| Tensor::zeros(s.value.dims(), &s.value.device().inner())).collect();
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
            skips: training.skip_nan_grad,
            last: None,
        }
    }

    /// What the next update takes of the host, sent to the device. Asked for before a step's first launch it interrupts none: a write
    /// waits for everything before it to be submitted.
    pub fn rates(&self, lr: f64) -> Tensor<1> {
        let device = self.first.first().expect("a model has parameters").device();
        self.config.rates(lr, self.step + 1, &device)
    }

    /// Clips the gradients and updates `params` with [`AdamW::rates`], all on the device. Parameters without a gradient stay as they are; with a norm that is
    /// not finite all do, then and, unless such updates are to be passed over, in every later one.
    ///
    /// Returns the gradients' norm before clipping and the factor that clipped them, `[2]`, to be read with [`grad_norm`].
    pub fn update(&mut self, params: &mut Params, gradients: GradientSum, rates: Tensor<1>) -> Tensor<1> {
        self.step += 1;
        let present: Vec<Tensor<1>> = gradients.sums.iter().flatten().cloned().collect();
        if present.is_empty() {
            let device = params.segments().first().expect("a model has parameters").value.device().inner();
            return Tensor::zeros([2], &device);
        }
        let clip = evenkeel_kernels::clip(&present, self.max_grad_norm as f32, self.last.take());
        drop(present);
        self.last = (!self.skips).then(|| clip.clone());
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((segment, gradient), (first, second)) in params.segments_mut().iter_mut().zip(gradients.sums).zip(moments) {
            let Some(gradient) = gradient else { continue };
            // What is taken here has one owner, and is updated in place.
            let take = |tensor: &mut Tensor<1>| std::mem::replace(tensor, clip.clone());
            let (value, m, v) = (take(&mut segment.value).inner(), take(first), take(second));
            let (value, m, v) = evenkeel_kernels::adamw(value, gradient, m, v, clip.clone(), rates.clone(), segment.decayed, &self.config);
            (segment.value, *first, *second) = (value.autodiff().require_grad(), m, v);
        }
        clip
    }
}

/// The gradients' norm of optimiser step `step`, of what [`AdamW::update`] left; `losses` are the step's other numbers.
///
/// # Errors
/// [`Error::NonFinite`], which says what is not finite.
pub fn grad_norm(clip: &[f32], losses: &[Vec<f32>], step: u64) -> Result<f64> {
    let norm = clip[0];
    let what = match losses.iter().flatten().all(|value| value.is_finite()) {
        false => "the loss",
        true if norm.is_finite() => return Ok(f64::from(norm)),
        true => "the gradient's norm",
    };
    Err(Error::NonFinite { step, what: what.into(), rows: vec![], moved: norm.is_finite() })
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

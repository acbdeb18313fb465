//! DPO with the sigmoid loss: the rows as pairs, even rows chosen and odd ones rejected; the reference is asked anew in every step, as
//! evenkeel's default does.
//!
//! Source: Rafailov et al. 2023, eq. 7. Every token after the first belongs to the completion.

use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Device, Int, Tensor};

use crate::model::{Model, Shape};
use crate::optimizer::{Trained, read_scalar};

const LEARNING_RATE: f64 = 1e-6;
const BETA: f64 = 0.1;

pub struct Dpo {
    policy: Trained,
    reference: Model,
    /// Chosen rows, then rejected ones.
    ids: Tensor<2, Int>,
}

impl Dpo {
    pub fn new(shape: Shape, device: &Device) -> Self {
        let reference = Model::new(shape, device);
        let rows: Vec<i32> = (0..shape.rows as i32).step_by(2).chain((1..shape.rows as i32).step_by(2)).collect();
        let ids = shape.ids(shape.rows, shape.time, device).select(0, Tensor::from_data(rows.as_slice(), device));
        Self { policy: Trained::new(&reference, LEARNING_RATE), reference, ids }
    }

    /// → the loss before the update.
    ///
    /// # Errors
    /// What the device says.
    pub async fn step(&mut self) -> Result<f64, String> {
        let sums = |model: &Model| model.log_probs(self.ids.clone(), 1, 1.0).sum_dim(1);
        let ratios = sums(&self.policy.model) - sums(&self.reference);
        let pairs = ratios.dims()[0] / 2;
        let delta = ratios.clone().narrow(0, 0, pairs) - ratios.narrow(0, pairs, pairs);
        let loss = log_sigmoid(delta * BETA).mean().neg();
        self.policy.update(&mut loss.backward());
        read_scalar(loss).await
    }
}

//! Supervised fine-tuning: cross-entropy of every token after the first.

use burn::tensor::{Device, Int, Tensor};

use crate::model::{Model, Shape};
use crate::optimizer::{Trained, read_scalar};

const LEARNING_RATE: f64 = 2e-5;

pub struct Sft {
    trained: Trained,
    ids: Tensor<2, Int>,
}

impl Sft {
    pub fn new(shape: Shape, device: &Device) -> Self {
        let trained = Trained::new(&Model::new(shape, device), LEARNING_RATE);
        Self { trained, ids: shape.ids(shape.rows, shape.time, device) }
    }

    /// → the loss before the update.
    ///
    /// # Errors
    /// What the device says.
    pub async fn step(&mut self) -> Result<f64, String> {
        let loss = self.trained.model.log_probs(self.ids.clone(), 1, 1.0).mean().neg();
        self.trained.update(&mut loss.backward());
        read_scalar(loss).await
    }
}

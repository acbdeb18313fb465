//! AdamW behind a clip of the gradients' global norm, and the read that ends a step.

use burn::tensor::{Gradients, Tensor, Transaction};

use crate::model::Model;

/// A model, the moments of its gradients and its learning rate.
pub struct Trained {
    pub model: Model,
    moments: Vec<(Tensor<2>, Tensor<2>)>,
    rate: f64,
    step: i32,
}

impl Trained {
    pub fn new(model: &Model, rate: f64) -> Self {
        let zeros = |p: &Tensor<2>| p.clone().inner().zeros_like();
        Self { moments: model.params.iter().map(|p| (zeros(p), zeros(p))).collect(), model: model.trainable(), rate, step: 0 }
    }

    /// Takes this model's gradients out of `all`, clips their norm to 1 and steps.
    pub fn update(&mut self, all: &mut Gradients) {
        let gradients: Vec<Tensor<2>> = self.model.params.iter().map(|p| p.grad_remove(all).expect("a gradient")).collect();
        let squares = gradients.iter().map(|g| g.clone().powi_scalar(2).sum()).reduce(|a, b| a + b).expect("parameters");
        let scale = squares.sqrt().add_scalar(1e-6).recip().clamp_max(1.0);
        self.step += 1;
        for ((param, (m, v)), grad) in self.model.params.iter_mut().zip(&mut self.moments).zip(gradients) {
            let updated = adamw(param.clone().inner(), m, v, grad * scale.clone().unsqueeze(), self.rate, self.step);
            *param = updated.autodiff().require_grad();
        }
    }
}

fn adamw(param: Tensor<2>, m: &mut Tensor<2>, v: &mut Tensor<2>, grad: Tensor<2>, rate: f64, step: i32) -> Tensor<2> {
    *m = m.clone() * 0.9 + grad.clone() * 0.1;
    *v = v.clone() * 0.999 + grad.powi_scalar(2) * 0.001;
    let (bias1, bias2) = (1.0 - 0.9f64.powi(step), 1.0 - 0.999f64.powi(step));
    param - m.clone() / bias1 / ((v.clone() / bias2).sqrt() + 1e-8) * rate
}

/// Reads tensors back in one transaction. Everything asked of the device before is then done too: fusion runs its whole queue before a
/// read, and the device works in order.
///
/// # Errors
/// What the device says.
pub async fn read(tensors: Vec<Tensor<1>>) -> Result<Vec<Vec<f32>>, String> {
    let transaction = tensors.into_iter().fold(Transaction::default(), |all, tensor| all.register(tensor.inner()));
    let data = transaction.execute_async().await.map_err(|e| e.to_string())?;
    data.into_iter().map(|d| d.try_into_vec::<f32>().map_err(|e| format!("{e:?}"))).collect()
}

/// As [`read`], of one number.
///
/// # Errors
/// As [`read`].
pub async fn read_scalar(tensor: Tensor<1>) -> Result<f64, String> {
    Ok(f64::from(read(vec![tensor]).await?[0][0]))
}

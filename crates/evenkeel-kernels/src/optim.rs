//! AdamW as one kernel per parameter.  Twin: `reference/optim.rs`.
//!
//! N numbers of a flattened parameter.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use crate::backend::Updates;
use crate::reference::optim::Update;
use crate::shapes::check;

/// Constants of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    /// Decoupled: param ← param − lr · `weight_decay` · param.
    pub weight_decay: f32,
}

impl AdamW {
    /// The numbers of update `step`, worked out in f64.
    fn update(&self, lr: f64, step: u64) -> Update {
        let [beta1, beta2] = [self.beta1, self.beta2].map(f64::from);
        let bias = |beta: f64| (1.0 - beta.powf(step as f64)) as f32;
        Update {
            lr: lr as f32,
            decay: (lr * f64::from(self.weight_decay)) as f32,
            beta1: self.beta1,
            one_minus_beta1: (1.0 - beta1) as f32,
            beta2: self.beta2,
            one_minus_beta2: (1.0 - beta2) as f32,
            eps: self.eps,
            bias1: bias(beta1),
            bias2: bias(beta2),
        }
    }
}

/// One update: decoupled decay, bias correction from `step` ≥ 1, the gradient times `grad_scale` on the device.
///
/// param, grad, m, v `[N]`, grad_scale `[1]` → (param, m, v), each `[N]`, without autodiff. On the GPU a tensor that nobody else
/// holds is updated in place.
///
/// # Panics
/// When a dimension disagrees or `step` is 0.
///
/// Source: Loshchilov and Hutter 2019, algorithm 2.
#[expect(clippy::too_many_arguments, reason = "the operands of the equation")]
pub fn adamw(
    param: Tensor<1>,
    grad: Tensor<1>,
    m: Tensor<1>,
    v: Tensor<1>,
    grad_scale: Tensor<1>,
    lr: f64,
    step: u64,
    cfg: &AdamW,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    let [n] = param.dims();
    for (name, tensor) in [("param", &param), ("grad", &grad), ("m", &m), ("v", &v)] {
        check("adamw", name, tensor, [("N", n)]);
    }
    check("adamw", "grad_scale", &grad_scale, [("1", 1)]);
    assert!(step > 0, "adamw: steps count from 1");
    let [param, grad, m, v, grad_scale] = [param, grad, m, v, grad_scale].map(|x| x.inner().into_dispatch());
    let (param, m, v) = Dispatch::adamw(param, grad, m, v, grad_scale, cfg.update(lr, step));
    (Tensor::from_dispatch(param), Tensor::from_dispatch(m), Tensor::from_dispatch(v))
}

//! AdamW and the clipping of its gradients, without a readback.  Twin: `reference/optim.rs`.
//!
//! N numbers of a flat segment of parameters.

use burn::backend::Dispatch;
use burn::tensor::{Device, Tensor};

use crate::backend::Untracked;
use crate::reference::optim::{Rates, Update};
use crate::shapes::check;

/// Numbers that one binding of a kernel here holds at most: half of WebGPU's default limit of 128 MiB.
pub(crate) const MOST_BOUND: usize = 1 << 24;
/// Parts in which the squares of one binding are summed at most, and numbers that make a part of their own worth while.
const MOST_PARTS: usize = 256;
const PART: usize = 2048;
/// Tensors whose squares are summed in one launch: with the sums and the parameters eight bindings, WebGPU's default limit.
pub(crate) const TOGETHER: usize = 6;

/// In how many parts the squares of `numbers` are summed; every binding's by themselves.
pub(crate) fn square_parts(numbers: usize) -> usize {
    let of_one = |numbers: usize| numbers.div_ceil(PART).min(MOST_PARTS);
    numbers / MOST_BOUND * of_one(MOST_BOUND) + of_one(numbers % MOST_BOUND)
}

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
    /// The numbers of update `step` ≥ 1 that differ from step to step, worked out in f64 and sent to the device, where they are written
    /// after everything that was launched before. → `[4]`
    ///
    /// # Panics
    /// When `step` is 0.
    pub fn rates(&self, lr: f64, step: u64, device: &Device) -> Tensor<1> {
        assert!(step > 0, "adamw: steps count from 1");
        let bias = |beta: f32| (1.0 - f64::from(beta).powf(step as f64)) as f32;
        let decay = (lr * f64::from(self.weight_decay)) as f32;
        let rates = Rates { lr: lr as f32, decay, bias1: bias(self.beta1), bias2: bias(self.beta2) };
        Tensor::from_data(rates.to_array(), &device.clone().inner())
    }

    fn update(&self, decayed: usize) -> Update {
        let rest = |beta: f32| (1.0 - f64::from(beta)) as f32;
        Update {
            decayed,
            beta1: self.beta1,
            one_minus_beta1: rest(self.beta1),
            beta2: self.beta2,
            one_minus_beta2: rest(self.beta2),
            eps: self.eps,
        }
    }
}

/// Norm of all gradients together and the factor that clips it: `[norm, scale]` on the device.
///
/// scale = min(1, max_norm / (norm + 1e-6)), 1 where `max_norm` is 0, and −1 where the norm is not finite, at which [`adamw`]
/// leaves everything as it is. After a `last` clip of −1 it is −1 too: steps that were on their way when it happened change nothing.
/// grads: flat segments of any size → `[2]`
///
/// # Panics
/// When there is no gradient.
///
/// Source: PyTorch's `clip_grad_norm_`.
pub fn clip(grads: &[Tensor<1>], max_norm: f32, last: Option<Tensor<1>>) -> Tensor<1> {
    let parts: Vec<usize> = grads.iter().map(|grad| square_parts(grad.dims()[0])).collect();
    let device = grads.first().expect("a gradient to clip").device().inner();
    let (mut partial, mut at) = (Tensor::<1>::empty([parts.iter().sum::<usize>()], &device).into_dispatch(), 0);
    for (some, parts) in grads.chunks(TOGETHER).zip(parts.chunks(TOGETHER)) {
        let [a, b, c, d, e, f] = std::array::from_fn(|i| some[i.min(some.len() - 1)].clone().inner().into_dispatch());
        partial = Dispatch::sum_squares(a, b, c, d, e, f, some.len(), partial, at);
        at += parts.iter().sum::<usize>();
    }
    let last = last.unwrap_or_else(|| Tensor::ones([2], &device));
    Tensor::from_dispatch(Dispatch::clip(partial, last.into_dispatch(), max_norm))
}

/// One update: decoupled decay of the first `decayed` numbers, rate and bias correction of `rates` ([`AdamW::rates`]), the gradient times
/// the scale of `clip` ([`clip()`]) on the device.
///
/// param, grad, m, v `[N]`, clip `[2]`, rates `[4]` → (param, m, v), each `[N]`, without autodiff. On the GPU a tensor that nobody
/// else holds is updated in place.
///
/// # Panics
/// When a dimension disagrees.
///
/// Source: Loshchilov and Hutter 2019, algorithm 2.
#[expect(clippy::too_many_arguments, reason = "the operands of the equation")]
pub fn adamw(
    param: Tensor<1>,
    grad: Tensor<1>,
    m: Tensor<1>,
    v: Tensor<1>,
    clip: Tensor<1>,
    rates: Tensor<1>,
    decayed: usize,
    cfg: &AdamW,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    let [n] = param.dims();
    for (name, tensor) in [("param", &param), ("grad", &grad), ("m", &m), ("v", &v)] {
        check("adamw", name, tensor, [("N", n)]);
    }
    check("adamw", "clip", &clip, [("2", 2)]);
    check("adamw", "rates", &rates, [("4", Rates::COUNT)]);
    let [param, grad, m, v, clip, rates] = [param, grad, m, v, clip, rates].map(|x| x.inner().into_dispatch());
    let (param, m, v) = Dispatch::adamw(param, grad, m, v, clip, rates, cfg.update(decayed));
    (Tensor::from_dispatch(param), Tensor::from_dispatch(m), Tensor::from_dispatch(v))
}

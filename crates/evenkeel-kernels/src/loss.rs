//! PPO's clipped losses, the losses of pairs, and totals: the public functions and their place in autodiff.  Twin: `reference/loss.rs`.
//!
//! N tokens or steps, P pairs.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Dispatch, TensorMetadata};
use burn::tensor::{Shape, Tensor};

use crate::backend::{Kernels, RawKernels};
pub use crate::reference::loss::{PairKind, PairLoss};
use crate::shapes::check;

/// Which loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PpoLoss {
    Policy,
    Value,
}

/// PPO's clipped surrogate per token, max(−A·r, −A·clip(r, 1 ± ε)) with r = π/π_old; differentiable in `logprobs`.
///
/// All `[N]` → `[N]`. Log-ratios are cut at ±20 before the exponential.
///
/// # Panics
/// When a dimension disagrees.
///
/// Source: Schulman et al. 2017, equation 7.
pub fn ppo_policy_loss(logprobs: Tensor<1>, old_logprobs: Tensor<1>, advantages: Tensor<1>, cliprange: f64) -> Tensor<1> {
    clipped_loss(PpoLoss::Policy, logprobs, old_logprobs, advantages, cliprange)
}

/// PPO's clipped value loss per step, ½·max((V − R)², (clip(V, V_old ± ε) − R)²); differentiable in `values`.
///
/// All `[N]` → `[N]`
///
/// # Panics
/// When a dimension disagrees.
///
/// Source: Stiennon et al. 2020; the N implementation details of RLHF with PPO, 19.
pub fn ppo_value_loss(values: Tensor<1>, old_values: Tensor<1>, returns: Tensor<1>, cliprange: f64) -> Tensor<1> {
    clipped_loss(PpoLoss::Value, values, old_values, returns, cliprange)
}

fn clipped_loss(loss: PpoLoss, x: Tensor<1>, old: Tensor<1>, target: Tensor<1>, cliprange: f64) -> Tensor<1> {
    let [n] = x.dims();
    for (name, tensor) in [("the new numbers", &x), ("the old numbers", &old), ("the third operand", &target)] {
        check("ppo loss", name, tensor, [("N", n)]);
    }
    let (x, old, target) = (x.into_dispatch(), old.into_dispatch(), target.into_dispatch());
    Tensor::from_dispatch(Dispatch::clipped_loss(x, old, target, loss, cliprange as f32))
}

#[derive(Debug)]
struct ClippedLossBackward;

impl<B: RawKernels> Backward<B, 1> for ClippedLossBackward {
    /// The slope of every loss [N].
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, B::float_mul(ops.state, grad));
        }
    }
}

/// `Kernels::clipped_loss` under autodiff; old numbers and targets take no gradient.
pub(crate) fn differentiable<B: RawKernels, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    old: FloatTensor<Autodiff<B, C>>,
    target: FloatTensor<Autodiff<B, C>>,
    loss: PpoLoss,
    cliprange: f32,
) -> FloatTensor<Autodiff<B, C>> {
    let (old, target) = (old.into_primitive(), target.into_primitive());
    match ClippedLossBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (loss, slope) = B::clipped_loss_forward(x.into_primitive(), old, target, loss, cliprange);
            prep.finish(slope, loss)
        }
        OpsKind::UnTracked(prep) => prep.finish(B::clipped_loss_forward(x.into_primitive(), old, target, loss, cliprange).0),
    }
}

/// The loss of every pair, differentiable in `x`: the halves of `x` are compared, the better ones first.
///
/// x, base and lengths `[2P]`, weight `[P]` → `[P]`. Bradley–Terry: x scores, base the margins and zeros. DPO: x the policy's summed
/// log-probabilities, base the reference's.
///
/// # Panics
/// When a dimension disagrees.
///
/// Source: Ouyang et al. 2022, equation 1; Rafailov et al. 2023, equation 7; and see [`PairKind`].
pub fn pair_loss(x: Tensor<1>, base: Tensor<1>, lengths: Tensor<1>, weight: Tensor<1>, loss: &PairLoss) -> Tensor<1> {
    let [p] = weight.dims();
    for (name, tensor) in [("x", &x), ("base", &base), ("lengths", &lengths)] {
        check("pair_loss", name, tensor, [("2P", 2 * p)]);
    }
    let (x, base) = (x.into_dispatch(), base.into_dispatch());
    Tensor::from_dispatch(Dispatch::pair_loss(x, base, lengths.into_dispatch(), weight.into_dispatch(), *loss))
}

/// factor Σ x, differentiable; summed in the same order every time.  x `[N]` → `[1]`
pub fn total(x: Tensor<1>, factor: f64) -> Tensor<1> {
    let [n] = x.dims();
    Tensor::from_dispatch(Dispatch::total(x.into_dispatch(), n, factor as f32))
}

#[derive(Debug)]
struct PairLossBackward;

impl<B: RawKernels> Backward<B, 1> for PairLossBackward {
    /// The slope in x [2P].
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, B::pair_loss_backward(ops.state, grad));
        }
    }
}

/// `Kernels::pair_loss` under autodiff; only x takes a gradient.
pub(crate) fn differentiable_pair<B: RawKernels, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    fixed: [FloatTensor<Autodiff<B, C>>; 3],
    loss: PairLoss,
) -> FloatTensor<Autodiff<B, C>> {
    let fixed = fixed.map(|tensor| tensor.into_primitive());
    match PairLossBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (losses, slope) = B::pair_loss_forward(x.into_primitive(), fixed, loss);
            prep.finish(slope, losses)
        }
        OpsKind::UnTracked(prep) => prep.finish(B::pair_loss_forward(x.into_primitive(), fixed, loss).0),
    }
}

#[derive(Debug)]
struct TotalBackward;

impl<B: RawKernels> Backward<B, 1> for TotalBackward {
    /// Shape of x, how many of its numbers are summed, factor.
    type State = (Shape, usize, f32);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            let (shape, count, factor) = ops.state;
            let dx = B::spread(grad, factor, count, shape.num_elements());
            grads.register::<B>(parent.id, B::float_reshape(dx, shape));
        }
    }
}

/// `Kernels::total` under autodiff.
pub(crate) fn differentiable_total<B: RawKernels, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    count: usize,
    factor: f32,
) -> FloatTensor<Autodiff<B, C>> {
    match TotalBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let x = x.into_primitive();
            prep.finish((x.shape(), count, factor), B::total_forward(x, count, factor))
        }
        OpsKind::UnTracked(prep) => prep.finish(B::total_forward(x.into_primitive(), count, factor)),
    }
}

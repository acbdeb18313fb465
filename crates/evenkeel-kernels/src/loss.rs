//! Weighted cross-entropy: the public function and its place in autodiff.  Twin: `reference/loss.rs`.
//!
//! N rows (tokens), V vocabulary.

use burn::backend::Dispatch;
use burn::backend::TensorMetadata;
use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::tensor::{Int, Shape, Slice, Tensor};

use crate::backend::{Kernels, RawKernels};
use crate::logprob::rows;
use crate::shapes::check;

/// What [`cross_entropy`] says of each row; all `[N]`.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// −weight · log p(target); differentiable.
    pub loss: Tensor<1>,
    /// Entropy of the row's distribution in nats; not differentiable.
    pub entropy: Tensor<1>,
    /// 1.0 where the target is the argmax (the first of equals), else 0.0; not differentiable.
    pub correct: Tensor<1>,
}

/// Cross-entropy whose forward pass already makes weight · (p − onehot); the backward pass only scales it.
///
/// Weights are constants (a mask, 1 / number of tokens, …); the sum of `loss` is the loss. For a gradient through the
/// entropy use [`crate::token_logprob`].
///
/// logits `[N,V]`, targets `[N]`, weights `[N]` → all `[N]`
///
/// # Panics
/// When a dimension disagrees. A target outside V is a bug of the caller: it is clamped (CPU debug builds panic).
///
/// Source: the fused classifier of llm.c, per-token weights added.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>, weights: Tensor<1>) -> CrossEntropy {
    let [n, v] = logits.dims();
    check("cross_entropy", "logits", &logits, [("N", n), ("V", v)]);
    check("cross_entropy", "targets", &targets, [("N", n)]);
    check("cross_entropy", "weights", &weights, [("N", n)]);
    let stats_3n =
        Tensor::<2>::from_dispatch(Dispatch::cross_entropy(logits.into_dispatch(), targets.into_dispatch(), weights.into_dispatch()));
    let [loss, entropy, correct] = rows(stats_3n);
    CrossEntropy { loss, entropy: entropy.detach(), correct: correct.detach() }
}

/// The statistics alone, where no gradient is wanted: the log-prob kernel, scaled.  → stats [3,N]
pub(crate) fn weighted_nll<B: RawKernels>(logits: FloatTensor<B>, targets: IntTensor<B>, weights: FloatTensor<B>) -> FloatTensor<B> {
    let n = weights.shape()[0];
    let (stats, _) = B::logprob_forward(logits, targets, 1.0);
    let row = [Slice::from(0..1), Slice::from(0..n)];
    let logprob = B::float_slice(stats.clone(), &row);
    let nll = B::float_neg(B::float_mul(logprob, B::float_reshape(weights, Shape::new([1, n]))));
    B::float_slice_assign(stats, &row, nll)
}

#[derive(Debug)]
struct CrossEntropyBackward;

impl<B: RawKernels> Backward<B, 1> for CrossEntropyBackward {
    /// weight · (p − onehot) [N,V].
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            let n = grad.shape()[1];
            let loss_row = B::float_slice(grad, &[Slice::from(0..1), Slice::from(0..n)]);
            let scale_n1 = B::float_reshape(loss_row, Shape::new([n, 1]));
            grads.register::<B>(parent.id, B::float_mul(ops.state, scale_n1));
        }
    }
}

/// `Kernels::cross_entropy` under autodiff; the weights take no gradient.
pub(crate) fn differentiable<B: RawKernels, C: CheckpointStrategy>(
    logits: FloatTensor<Autodiff<B, C>>,
    targets: IntTensor<B>,
    weights: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    let weights = weights.into_primitive();
    match CrossEntropyBackward.prepare::<C>([logits.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (stats, dlogits) = B::cross_entropy_forward(logits.into_primitive(), targets, weights);
            prep.finish(dlogits, stats)
        }
        OpsKind::UnTracked(prep) => prep.finish(weighted_nll::<B>(logits.into_primitive(), targets, weights)),
    }
}

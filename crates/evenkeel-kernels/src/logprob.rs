//! Token log-probabilities: the public function and its place in autodiff.  Twin: `reference/logprob.rs`.
//!
//! N rows (tokens), V vocabulary.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::autodiff::{Autodiff, NodeId};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Dispatch, TensorMetadata};
use burn::tensor::{Int, Shape, Tensor};

use crate::backend::{Kernels, RawKernels};
use crate::shapes::check;

/// What [`token_logprob`] says of each row; all `[N]`.
#[derive(Clone, Debug)]
pub struct TokenStats {
    /// log p(target); differentiable.
    pub logprob: Tensor<1>,
    /// Entropy of the row's distribution in nats; differentiable.
    pub entropy: Tensor<1>,
    /// 1.0 where the target is the argmax (the first of equals), else 0.0; not differentiable.
    pub correct: Tensor<1>,
    /// All three, [3,N].
    stats: Tensor<2>,
}

impl TokenStats {
    /// Of the rows of `stats` [3,N].
    pub(crate) fn new(stats: Tensor<2>) -> Self {
        let n = stats.dims()[1];
        let [logprob, entropy, correct] = [0, 1, 2].map(|row| stats.clone().slice([row..row + 1, 0..n]).reshape([n]));
        Self { logprob, entropy, correct: correct.detach(), stats }
    }

    /// factor Σ log p, differentiable: [`crate::total`] of `logprob` in fewer launches.  → `[1]`
    pub fn total_logprob(&self, factor: f64) -> Tensor<1> {
        let n = self.stats.dims()[1];
        Tensor::from_dispatch(Dispatch::total(self.stats.clone().into_dispatch(), n, factor as f32))
    }
}

/// log p(target) and entropy of softmax(logits / temperature), without a matrix of probabilities.
///
/// logits `[N,V]`, targets `[N]` → all `[N]`
///
/// # Panics
/// When a dimension disagrees or the temperature is not positive. A target outside V is a bug of the caller: it is
/// clamped (CPU debug builds panic).
pub fn token_logprob(logits: Tensor<2>, targets: Tensor<1, Int>, temperature: f32) -> TokenStats {
    let [n, v] = logits.dims();
    check("token_logprob", "logits", &logits, [("N", n), ("V", v)]);
    check("token_logprob", "targets", &targets, [("N", n)]);
    assert!(temperature > 0.0, "token_logprob: temperature = {temperature} must be positive");
    let stats_3n =
        Tensor::<2>::from_dispatch(Dispatch::token_logprob(logits.into_dispatch(), targets.into_dispatch(), temperature.recip()));
    TokenStats::new(stats_3n)
}

/// Statistics of all rows at once. → stats [3,N], lse [N]
pub(crate) fn forward<B: RawKernels>(
    logits: &FloatTensor<B>,
    targets: IntTensor<B>,
    inv_temperature: f32,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let [n, v] = logits.shape().dims();
    let (mut stats, mut lse) = empty_stats::<B>(logits, n);
    B::logprob_forward_into(logits.clone(), v, targets, inv_temperature, &mut stats, &mut lse, 0);
    (stats, lse)
}

/// stats [3,N] and lse [N], to be written.
pub(crate) fn empty_stats<B: RawKernels>(like: &FloatTensor<B>, n: usize) -> (FloatTensor<B>, FloatTensor<B>) {
    (B::float_reshape(B::segment(like, 3 * n, true), Shape::new([3, n])), B::segment(like, n, true))
}

#[derive(Debug)]
struct LogprobBackward;

impl<B: RawKernels> Backward<B, 1> for LogprobBackward {
    /// Node of logits; targets, lse, stats, 1 / temperature.
    type State = (NodeId, IntTensor<B>, FloatTensor<B>, FloatTensor<B>, f32);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (node, targets, lse, stats, inv_temperature) = ops.state;
        let logits = checkpointer.retrieve_node_output::<FloatTensor<B>>(node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            let v = logits.shape()[1];
            let dlogits = B::logprob_backward(logits, v, targets, [lse, stats, grad], inv_temperature, 0);
            grads.register::<B>(parent.id, dlogits);
        }
    }
}

/// `Kernels::token_logprob` under autodiff.
pub(crate) fn differentiable<B: RawKernels, C: CheckpointStrategy>(
    logits: FloatTensor<Autodiff<B, C>>,
    targets: IntTensor<B>,
    inv_temperature: f32,
) -> FloatTensor<Autodiff<B, C>> {
    match LogprobBackward.prepare::<C>([logits.node()]).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let node = prep.checkpoint(&logits);
            let (stats, lse) = forward::<B>(&logits.into_primitive(), targets.clone(), inv_temperature);
            prep.finish((node, targets, lse, stats.clone(), inv_temperature), stats)
        }
        OpsKind::UnTracked(prep) => prep.finish(forward::<B>(&logits.into_primitive(), targets, inv_temperature).0),
    }
}

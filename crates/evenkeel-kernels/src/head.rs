//! Token log-probabilities straight from hidden states: the logits exist a stretch of rows at a time, if that.  Twin: `linear`
//! and `token_logprob`, composed.
//!
//! N rows (tokens), D model dimension, V vocabulary.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::autodiff::{Autodiff, NodeId};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Dispatch, TensorMetadata};
use burn::tensor::{Int, Shape, Tensor};

use crate::backend::{Kernels, RawKernels};
use crate::block::ALIGN;
use crate::logprob::{TokenStats, empty_stats};
use crate::shapes::check;

/// Logits that exist at once, in numbers: 16 MiB. As many are kept for the gradient; of more each stretch is computed again.
const MOST_LOGITS: usize = 1 << 22;

/// [`crate::token_logprob`] of hidden · weightᵀ without a matrix of all logits; differentiable in hidden and weight.
///
/// hidden `[N,D]`, weight `[V,D]` (also a tied embedding), targets `[N]` → all `[N]`
///
/// # Panics
/// As [`crate::token_logprob`].
///
/// Source: Wijmans et al. 2024 (Cut Cross-Entropy), with stretches of rows in place of tiles.
pub fn head_logprob(hidden: Tensor<2>, weight: Tensor<2>, targets: Tensor<1, Int>, temperature: f32) -> TokenStats {
    let ([n, d], [v, _]) = (hidden.dims(), weight.dims());
    check("head_logprob", "hidden", &hidden, [("N", n), ("D", d)]);
    check("head_logprob", "weight", &weight, [("V", v), ("D", d)]);
    check("head_logprob", "targets", &targets, [("N", n)]);
    assert!(temperature > 0.0, "head_logprob: temperature = {temperature} must be positive");
    let (hidden, weight, targets) = (hidden.into_dispatch(), weight.into_dispatch(), targets.into_dispatch());
    TokenStats::new(Tensor::from_dispatch(Dispatch::head_logprob(hidden, weight, targets, temperature.recip())))
}

/// First row and number of rows of each stretch; each begins where a binding may.
fn stretches(n: usize, v: usize) -> impl Iterator<Item = (usize, usize)> {
    let most = if n * v <= MOST_LOGITS { n } else { (MOST_LOGITS / v / ALIGN * ALIGN).max(ALIGN) };
    (0..n).step_by(most).map(move |first| (first, most.min(n - first)))
}

/// What the forward pass leaves.
pub(crate) struct Pass<B: RawKernels> {
    /// [3,N]
    pub stats: FloatTensor<B>,
    lse: FloatTensor<B>,
    /// [N,≥V], where there is only one stretch.
    logits: Option<FloatTensor<B>>,
}

/// The rows of a stretch of [N,D].
fn part<B: RawKernels>(x: &FloatTensor<B>, first: usize, rows: usize) -> FloatTensor<B> {
    let d = x.shape()[1];
    B::view(x, first * d, Shape::new([rows, d]))
}

/// `Kernels::head_logprob` without autodiff.
pub(crate) fn forward<B: RawKernels>(
    hidden: &FloatTensor<B>,
    weight: &FloatTensor<B>,
    targets: IntTensor<B>,
    inv_temperature: f32,
) -> Pass<B> {
    let (n, v) = (hidden.shape()[0], weight.shape()[0]);
    let (mut stats, mut lse) = empty_stats::<B>(hidden, n);
    let mut whole = None;
    for (first, rows) in stretches(n, v) {
        let logits = B::head_logits(part::<B>(hidden, first, rows), weight.clone());
        B::logprob_forward_into(logits.clone(), v, targets.clone(), inv_temperature, &mut stats, &mut lse, first);
        whole = (rows == n).then_some(logits);
    }
    Pass { stats, lse, logits: whole }
}

#[derive(Debug)]
struct HeadBackward;

impl<B: RawKernels> Backward<B, 2> for HeadBackward {
    /// Nodes of hidden and weight; targets; lse and stats; the logits where they were kept; 1 / temperature.
    type State = ([NodeId; 2], IntTensor<B>, [FloatTensor<B>; 2], Option<FloatTensor<B>>, f32);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (nodes, targets, [lse, stats], mut kept, inv_temperature) = ops.state;
        let [hidden, weight] = nodes.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
        let [hidden_node, weight_node] = ops.parents.map(|parent| parent.map(|p| p.id));
        let (shape, v) = (hidden.shape(), weight.shape()[0]);
        let mut d_hidden = B::segment(&hidden, shape.num_elements(), true);
        let mut d_weight = None;
        for (first, rows) in stretches(shape[0], v) {
            let states = part::<B>(&hidden, first, rows);
            let logits = kept.take().unwrap_or_else(|| B::head_logits(states.clone(), weight.clone()));
            let facts = [lse.clone(), stats.clone(), grad.clone()];
            let d_logits = B::logprob_backward(logits, v, targets.clone(), facts, inv_temperature, first);
            if hidden_node.is_some() {
                B::head_d_hidden_into(d_logits.clone(), weight.clone(), &mut d_hidden, first * shape[1]);
            }
            if weight_node.is_some() {
                d_weight = Some(B::head_d_weight(d_logits, states, v, d_weight));
            }
        }
        if let Some(id) = hidden_node {
            grads.register::<B>(id, B::float_reshape(d_hidden, shape));
        }
        if let (Some(id), Some(d_weight)) = (weight_node, d_weight) {
            grads.register::<B>(id, d_weight);
        }
    }
}

/// `Kernels::head_logprob` under autodiff.
pub(crate) fn differentiable<B: RawKernels, C: CheckpointStrategy>(
    hidden: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    targets: IntTensor<B>,
    inv_temperature: f32,
) -> FloatTensor<Autodiff<B, C>> {
    match HeadBackward.prepare::<C>([hidden.node(), weight.node()]).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let nodes = [prep.checkpoint(&hidden), prep.checkpoint(&weight)];
            let pass = forward::<B>(&hidden.into_primitive(), &weight.into_primitive(), targets.clone(), inv_temperature);
            prep.finish((nodes, targets, [pass.lse, pass.stats.clone()], pass.logits, inv_temperature), pass.stats)
        }
        OpsKind::UnTracked(prep) => {
            prep.finish(forward::<B>(&hidden.into_primitive(), &weight.into_primitive(), targets, inv_temperature).stats)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_cover_every_row_once_and_begin_where_a_binding_may() {
        assert_eq!(stretches(1024, 512).collect::<Vec<_>>(), [(0, 1024)]);
        assert_eq!(stretches(150, 50_257).collect::<Vec<_>>(), [(0, 64), (64, 64), (128, 22)]);
        assert_eq!(stretches(70, 10_000_000).collect::<Vec<_>>(), [(0, 64), (64, 6)]);
    }
}

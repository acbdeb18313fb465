//! RMS normalisation: the public function and its place in autodiff.  Twin: `reference/norm.rs`.
//!
//! N rows, D model dimension.

use burn::backend::Dispatch;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::autodiff::{Autodiff, NodeId};
use burn::backend::tensor::FloatTensor;
use burn::tensor::Tensor;

use crate::backend::{Kernels, RawKernels};
use crate::shapes::check;

/// x / √(mean(x²) + eps) · weight over each row; differentiable in both.  x `[N,D]`, weight `[D]` → `[N,D]`
///
/// # Panics
/// When a dimension disagrees.
///
/// Source: Zhang and Sennrich 2019.
pub fn rms_norm(x: Tensor<2>, weight: Tensor<1>, eps: f32) -> Tensor<2> {
    let [n, d] = x.dims();
    check("rms_norm", "x", &x, [("N", n), ("D", d)]);
    check("rms_norm", "weight", &weight, [("D", d)]);
    Tensor::from_dispatch(Dispatch::rms_norm(x.into_dispatch(), weight.into_dispatch(), eps))
}

#[derive(Debug)]
struct RmsNormBackward;

impl<B: RawKernels> Backward<B, 2> for RmsNormBackward {
    /// Nodes of x and weight; r [N].
    type State = ([NodeId; 2], FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let (nodes, r) = ops.state;
        let [x, weight] = nodes.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
        let [x_parent, weight_parent] = ops.parents;
        if let Some(parent) = weight_parent {
            let d_weight = B::rms_norm_backward_weight(x.clone(), r.clone(), dy.clone());
            grads.register::<B>(parent.id, d_weight);
        }
        if let Some(parent) = x_parent {
            grads.register::<B>(parent.id, B::rms_norm_backward_x(x, weight, r, dy));
        }
    }
}

/// `Kernels::rms_norm` under autodiff.
pub(crate) fn differentiable<B: RawKernels, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    eps: f32,
) -> FloatTensor<Autodiff<B, C>> {
    match RmsNormBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let nodes = [prep.checkpoint(&x), prep.checkpoint(&weight)];
            let (y, r) = B::rms_norm_forward(x.into_primitive(), weight.into_primitive(), eps);
            prep.finish((nodes, r), y)
        }
        OpsKind::UnTracked(prep) => prep.finish(B::rms_norm_forward(x.into_primitive(), weight.into_primitive(), eps).0),
    }
}

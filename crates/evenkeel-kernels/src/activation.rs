//! SwiGLU: the public function and its place in autodiff.  Twin: `reference/activation.rs`.
//!
//! N rows, F feed-forward dimension.

use burn::backend::Dispatch;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::autodiff::{Autodiff, NodeId};
use burn::backend::tensor::FloatTensor;
use burn::tensor::Tensor;

use crate::backend::{Kernels, RawKernels};
use crate::shapes::check;

/// gate · sigmoid(gate) · up; differentiable in both.  gate and up `[N,F]` → `[N,F]`
///
/// # Panics
/// When a dimension disagrees.
///
/// Source: Shazeer 2020.
pub fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    let [n, f] = gate.dims();
    check("swiglu", "gate", &gate, [("N", n), ("F", f)]);
    check("swiglu", "up", &up, [("N", n), ("F", f)]);
    Tensor::from_dispatch(Dispatch::swiglu(gate.into_dispatch(), up.into_dispatch()))
}

#[derive(Debug)]
struct SwigluBackward;

impl<B: RawKernels> Backward<B, 2> for SwigluBackward {
    /// Nodes of gate and up.
    type State = [NodeId; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let dout = grads.consume::<B>(&ops.node);
        let [gate, up] = ops.state.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
        let (d_gate, d_up) = B::swiglu_backward(gate, up, dout);
        for (parent, grad) in ops.parents.into_iter().zip([d_gate, d_up]) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, grad);
            }
        }
    }
}

/// `Kernels::swiglu` under autodiff.
pub(crate) fn differentiable<B: RawKernels, C: CheckpointStrategy>(
    gate: FloatTensor<Autodiff<B, C>>,
    up: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    match SwigluBackward.prepare::<C>([gate.node(), up.node()]).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let nodes = [prep.checkpoint(&gate), prep.checkpoint(&up)];
            prep.finish(nodes, B::swiglu_forward(gate.into_primitive(), up.into_primitive()))
        }
        OpsKind::UnTracked(prep) => prep.finish(B::swiglu_forward(gate.into_primitive(), up.into_primitive())),
    }
}

//! Activations of feed-forward blocks: the public functions and their place in autodiff.  Twin: `reference/activation.rs`.
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

/// gate · sigmoid(gate) · up; differentiable.  gate_up `[N,2F]` (gate, then up, in every row) → `[N,F]`
///
/// # Panics
/// When the rows cannot be halved.
///
/// Source: Shazeer 2020.
pub fn swiglu(gate_up: Tensor<2>) -> Tensor<2> {
    let [n, width] = gate_up.dims();
    check("swiglu", "gate_up", &gate_up, [("N", n), ("2F", width / 2 * 2)]);
    Tensor::from_dispatch(Dispatch::swiglu(gate_up.into_dispatch()))
}

/// x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2; differentiable.  x `[N,F]` → `[N,F]`
///
/// Source: Hendrycks and Gimpel 2016, in the tanh form of GPT-2.
pub fn gelu(x: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::gelu(x.into_dispatch()))
}

/// Which function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Activation {
    Swiglu,
    Gelu,
}

impl Activation {
    pub(crate) fn forward<B: RawKernels>(self, x: FloatTensor<B>) -> FloatTensor<B> {
        match self {
            Self::Swiglu => B::swiglu_forward(x),
            Self::Gelu => B::gelu_forward(x),
        }
    }

    pub(crate) fn backward<B: RawKernels>(self, x: FloatTensor<B>, dout: FloatTensor<B>) -> FloatTensor<B> {
        match self {
            Self::Swiglu => B::swiglu_backward(x, dout),
            Self::Gelu => <B as RawKernels>::gelu_backward(x, dout),
        }
    }
}

#[derive(Debug)]
struct ActivationBackward;

impl<B: RawKernels> Backward<B, 1> for ActivationBackward {
    /// Node of the input.
    type State = (NodeId, Activation);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let dout = grads.consume::<B>(&ops.node);
        let (node, activation) = ops.state;
        let x = checkpointer.retrieve_node_output::<FloatTensor<B>>(node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, activation.backward::<B>(x, dout));
        }
    }
}

/// `Kernels::swiglu` and `Kernels::gelu` under autodiff.
pub(crate) fn differentiable<B: RawKernels, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    activation: Activation,
) -> FloatTensor<Autodiff<B, C>> {
    match ActivationBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let node = prep.checkpoint(&x);
            prep.finish((node, activation), activation.forward::<B>(x.into_primitive()))
        }
        OpsKind::UnTracked(prep) => prep.finish(activation.forward::<B>(x.into_primitive())),
    }
}

//! Rotary position embedding: the public function and its place in autodiff.  Twin: `reference/rope.rs`.
//!
//! B batch, T time, H heads, D head dimension.

use burn::backend::Dispatch;
use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::tensor::Tensor;

use crate::backend::{Kernels, RawKernels};
use crate::shapes::check;

/// The sign of the angle: forwards, and back for the gradient.
pub(crate) const ROTATE: f32 = 1.0;
pub(crate) const ROTATE_BACK: f32 = -1.0;

/// Rotates the pairs `(x[j], x[j + D/2])` by the angles of which cos and sin are given; differentiable in x.
///
/// The rotate-half order of Llama and Hugging Face.  x `[B,T,H,D]`, cos and sin `[B,T,D/2]` → `[B,T,H,D]`
///
/// # Panics
/// When a dimension disagrees or D is odd.
///
/// Source: Su et al. 2021.
pub fn rope(x: Tensor<4>, cos: Tensor<3>, sin: Tensor<3>) -> Tensor<4> {
    let [b, t, h, d] = x.dims();
    assert!(d % 2 == 0, "rope: D = {d} must be even");
    check("rope", "x", &x, [("B", b), ("T", t), ("H", h), ("D", d)]);
    check("rope", "cos", &cos, [("B", b), ("T", t), ("D/2", d / 2)]);
    check("rope", "sin", &sin, [("B", b), ("T", t), ("D/2", d / 2)]);
    Tensor::from_dispatch(Dispatch::rope(x.into_dispatch(), cos.into_dispatch(), sin.into_dispatch()))
}

/// `RawKernels::rope_rotate` forwards.
pub(crate) fn forward<B: RawKernels>(x: FloatTensor<B>, cos: FloatTensor<B>, sin: FloatTensor<B>) -> FloatTensor<B> {
    B::rope_rotate(x, cos, sin, ROTATE)
}

#[derive(Debug)]
struct RopeBackward;

impl<B: RawKernels> Backward<B, 1> for RopeBackward {
    /// cos and sin.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dout = grads.consume::<B>(&ops.node);
        let (cos, sin) = ops.state;
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, B::rope_rotate(dout, cos, sin, ROTATE_BACK));
        }
    }
}

/// `Kernels::rope` under autodiff; cos and sin take no gradient.
pub(crate) fn differentiable<B: RawKernels, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    cos: FloatTensor<Autodiff<B, C>>,
    sin: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    let (cos, sin) = (cos.into_primitive(), sin.into_primitive());
    match RopeBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let out = forward::<B>(x.into_primitive(), cos.clone(), sin.clone());
            prep.finish((cos, sin), out)
        }
        OpsKind::UnTracked(prep) => prep.finish(forward::<B>(x.into_primitive(), cos, sin)),
    }
}

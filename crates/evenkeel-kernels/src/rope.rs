//! Rotary position embedding: the public function and its place in autodiff.  Twin: `reference/rope.rs`.
//!
//! B batch, T time, H heads, D head dimension.

use burn::backend::Dispatch;
use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::tensor::{Int, Tensor};

use crate::backend::{Angles, Kernels, RawKernels};
use crate::shapes::check;

/// The sign of the angle: forwards, and back for the gradient.
pub(crate) const ROTATE: f32 = 1.0;
pub(crate) const ROTATE_BACK: f32 = -1.0;

/// Rotates the pairs `(x[j], x[j + D/2])` by the angles of each token's position; differentiable in x.
///
/// The rotate-half order of Llama and Hugging Face.  x `[B,T,H,D]`, turns `[P,D]` (of every position D/2 cosines, then as many sines),
/// positions `[B,T]` → `[B,T,H,D]`
///
/// # Panics
/// When a dimension disagrees or D is odd. A position outside P is a bug of the caller.
///
/// Source: Su et al. 2021.
pub fn rope(x: Tensor<4>, turns: Tensor<2>, positions: Tensor<2, Int>) -> Tensor<4> {
    let [b, t, h, d] = x.dims();
    assert!(d % 2 == 0, "rope: D = {d} must be even");
    check("rope", "x", &x, [("B", b), ("T", t), ("H", h), ("D", d)]);
    check("rope", "turns", &turns, [("P", turns.dims()[0]), ("D", d)]);
    check("rope", "positions", &positions, [("B", b), ("T", t)]);
    Tensor::from_dispatch(Dispatch::rope(x.into_dispatch(), turns.into_dispatch(), positions.into_dispatch()))
}

/// `RawKernels::rope_rotate` forwards.
pub(crate) fn forward<B: RawKernels>(x: FloatTensor<B>, angles: Angles<B>) -> FloatTensor<B> {
    B::rope_rotate(x, angles, ROTATE)
}

#[derive(Debug)]
struct RopeBackward;

impl<B: RawKernels> Backward<B, 1> for RopeBackward {
    type State = Angles<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dout = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, B::rope_rotate(dout, ops.state, ROTATE_BACK));
        }
    }
}

/// `Kernels::rope` under autodiff; the angles take no gradient.
pub(crate) fn differentiable<B: RawKernels, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    turns: FloatTensor<Autodiff<B, C>>,
    positions: IntTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    let angles = (turns.into_primitive(), positions);
    match RopeBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let out = forward::<B>(x.into_primitive(), angles.clone());
            prep.finish(angles, out)
        }
        OpsKind::UnTracked(prep) => prep.finish(forward::<B>(x.into_primitive(), angles)),
    }
}

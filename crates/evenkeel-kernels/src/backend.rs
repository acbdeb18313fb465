//! The two backend traits: `RawKernels` computes (GPU or CPU), `Kernels` is what burn's dispatch and autodiff route.
//!
//! Two, because every method of a trait routed through `Autodiff` needs an implementation there, and forward and
//! backward passes by themselves want none (burn 0.22.1, `backend_extension`).

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::wgpu::CubeBackend;
use burn::backend::{Backend, Flex, backend_extension};

use crate::reference::optim::Update;

/// Forward and backward passes without autodiff; shapes as in `reference`.
pub trait RawKernels: Backend {
    /// → out [B,T,H,D], lse [B,T,H]
    fn attention_forward(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        first: IntTensor<Self>,
        last: IntTensor<Self>,
        scale: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// → dq [B,T,H,D], dk and dv [B,S,K,D]
    #[expect(clippy::too_many_arguments, reason = "the operands of the equation")]
    fn attention_backward(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        first: IntTensor<Self>,
        last: IntTensor<Self>,
        out: FloatTensor<Self>,
        lse: FloatTensor<Self>,
        dout: FloatTensor<Self>,
        scale: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// → stats [3,N], lse [N]
    fn logprob_forward(logits: FloatTensor<Self>, targets: IntTensor<Self>, inv_temperature: f32)
    -> (FloatTensor<Self>, FloatTensor<Self>);

    /// → dlogits [N,V]
    fn logprob_backward(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        lse: FloatTensor<Self>,
        stats: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        inv_temperature: f32,
    ) -> FloatTensor<Self>;

    /// → stats [3,N], dlogits [N,V]
    fn cross_entropy_forward(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// → out [M,N] = a b (+ extra: a bias [N] or a matrix [M,N]); a [M,K] or, where `form` says so, [K,M]; b [K,N] or [N,K]
    fn matmul(a: FloatTensor<Self>, b: FloatTensor<Self>, extra: Option<FloatTensor<Self>>, form: Form) -> FloatTensor<Self>;

    /// → y [N,D], r [N]
    fn rms_norm_forward(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// → dx [N,D]
    fn rms_norm_backward_x(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        r: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// → dweight [D]
    fn rms_norm_backward_weight(x: FloatTensor<Self>, r: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self>;

    /// → out, as gate
    fn swiglu_forward(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;

    /// → dgate, dup
    fn swiglu_backward(gate: FloatTensor<Self>, up: FloatTensor<Self>, dout: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// → out [B,T,H,D]; `direction` 1 or −1
    fn rope_rotate(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>, direction: f32) -> FloatTensor<Self>;
}

/// Which operands of a product are stored transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub a_transposed: bool,
    pub b_transposed: bool,
}

impl Form {
    pub const NN: Self = Self { a_transposed: false, b_transposed: false };
    pub const NT: Self = Self { a_transposed: false, b_transposed: true };
    pub const TN: Self = Self { a_transposed: true, b_transposed: false };
}

/// The differentiable operations, one per public function.
#[backend_extension(Cube, Flex, Autodiff)]
pub trait Kernels: Backend {
    /// See [`crate::attention`].
    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        first: IntTensor<Self>,
        last: IntTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self>;

    /// See [`crate::token_logprob`]; → stats [3,N].
    fn token_logprob(logits: FloatTensor<Self>, targets: IntTensor<Self>, inv_temperature: f32) -> FloatTensor<Self>;

    /// See [`crate::cross_entropy`]; → stats [3,N].
    fn cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>, weights: FloatTensor<Self>) -> FloatTensor<Self>;

    /// See [`crate::linear`]; the weight is [O,I] where `transposed`, else [I,O].
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, transposed: bool) -> FloatTensor<Self>;

    /// As `linear`, plus a bias [O] or a matrix [N,O].
    fn linear_add(x: FloatTensor<Self>, weight: FloatTensor<Self>, extra: FloatTensor<Self>, transposed: bool) -> FloatTensor<Self>;

    /// See [`crate::rms_norm`].
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self>;

    /// See [`crate::swiglu`].
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;

    /// See [`crate::rope`].
    fn rope(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Updates outside autodiff.
#[backend_extension(Cube, Flex)]
pub trait Updates: Backend {
    /// See [`crate::adamw`]; → param, m, v.
    fn adamw(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        m: FloatTensor<Self>,
        v: FloatTensor<Self>,
        grad_scale: FloatTensor<Self>,
        update: Update,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// Without autodiff the differentiable operation is its forward pass.
macro_rules! forward_only {
    ($($backend:ty),*) => {$(
        impl Kernels for $backend {
            fn attention(
                q: FloatTensor<Self>,
                k: FloatTensor<Self>,
                v: FloatTensor<Self>,
                first: IntTensor<Self>,
                last: IntTensor<Self>,
                scale: f32,
            ) -> FloatTensor<Self> {
                Self::attention_forward(q, k, v, first, last, scale).0
            }

            fn token_logprob(
                logits: FloatTensor<Self>,
                targets: IntTensor<Self>,
                inv_temperature: f32,
            ) -> FloatTensor<Self> {
                Self::logprob_forward(logits, targets, inv_temperature).0
            }

            fn cross_entropy(
                logits: FloatTensor<Self>,
                targets: IntTensor<Self>,
                weights: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                crate::loss::weighted_nll::<Self>(logits, targets, weights)
            }

            fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, transposed: bool) -> FloatTensor<Self> {
                crate::linear::forward::<Self>(x, weight, None, transposed)
            }

            fn linear_add(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                extra: FloatTensor<Self>,
                transposed: bool,
            ) -> FloatTensor<Self> {
                crate::linear::forward::<Self>(x, weight, Some(extra), transposed)
            }

            fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self> {
                Self::rms_norm_forward(x, weight, eps).0
            }

            fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
                Self::swiglu_forward(gate, up)
            }

            fn rope(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
                crate::rope::forward::<Self>(x, cos, sin)
            }
        }
    )*};
}

forward_only!(CubeBackend, Flex);

impl<B: RawKernels, C: CheckpointStrategy> Kernels for Autodiff<B, C> {
    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        first: IntTensor<Self>,
        last: IntTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        crate::attention::differentiable::<B, C>(q, k, v, first, last, scale)
    }

    fn token_logprob(logits: FloatTensor<Self>, targets: IntTensor<Self>, inv_temperature: f32) -> FloatTensor<Self> {
        crate::logprob::differentiable::<B, C>(logits, targets, inv_temperature)
    }

    fn cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>, weights: FloatTensor<Self>) -> FloatTensor<Self> {
        crate::loss::differentiable::<B, C>(logits, targets, weights)
    }

    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, transposed: bool) -> FloatTensor<Self> {
        crate::linear::differentiable::<B, C>(x, weight, transposed)
    }

    fn linear_add(x: FloatTensor<Self>, weight: FloatTensor<Self>, extra: FloatTensor<Self>, transposed: bool) -> FloatTensor<Self> {
        crate::linear::differentiable_add::<B, C>(x, weight, extra, transposed)
    }

    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self> {
        crate::norm::differentiable::<B, C>(x, weight, eps)
    }

    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        crate::activation::differentiable::<B, C>(gate, up)
    }

    fn rope(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        crate::rope::differentiable::<B, C>(x, cos, sin)
    }
}

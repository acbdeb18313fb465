//! Who computes a differentiable operation: the forward pass alone, or a node of autodiff around it.

use burn::backend::Flex;
use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::wgpu::CubeBackend;

use super::{Kernels, RawKernels};
use crate::activation::Activation;
use crate::block::Block;
use crate::loss::{PairLoss, PpoLoss};

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
                crate::logprob::forward::<Self>(&logits, targets, inv_temperature).0
            }

            fn head_logprob(
                hidden: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                targets: IntTensor<Self>,
                inv_temperature: f32,
            ) -> FloatTensor<Self> {
                crate::head::forward::<Self>(&hidden, &weight, targets, inv_temperature).stats
            }

            fn gather(x: FloatTensor<Self>, rows: IntTensor<Self>, _: IntTensor<Self>, _: IntTensor<Self>) -> FloatTensor<Self> {
                Self::gather_forward(x, rows)
            }

            fn scatter_sum(x: FloatTensor<Self>, _: IntTensor<Self>, order: IntTensor<Self>, starts: IntTensor<Self>) -> FloatTensor<Self> {
                Self::gather_backward(x, order, starts)
            }

            fn clipped_loss(
                x: FloatTensor<Self>,
                old: FloatTensor<Self>,
                target: FloatTensor<Self>,
                loss: PpoLoss,
                cliprange: f32,
            ) -> FloatTensor<Self> {
                Self::clipped_loss_forward(x, old, target, loss, cliprange).0
            }

            fn pair_loss(
                x: FloatTensor<Self>,
                base: FloatTensor<Self>,
                lengths: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                loss: PairLoss,
            ) -> FloatTensor<Self> {
                Self::pair_loss_forward(x, [base, lengths, weight], loss).0
            }

            fn total(x: FloatTensor<Self>, count: usize, factor: f32) -> FloatTensor<Self> {
                Self::total_forward(x, count, factor)
            }

            fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, transposed: bool) -> FloatTensor<Self> {
                crate::linear::forward::<Self>(x, weight, None, None, transposed)
            }

            fn linear_add(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                extra: FloatTensor<Self>,
                transposed: bool,
            ) -> FloatTensor<Self> {
                crate::linear::forward_add::<Self>(x, weight, extra, transposed)
            }

            fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self> {
                Self::norm_forward(x, weight, None, eps).0
            }

            fn layer_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>, eps: f32) -> FloatTensor<Self> {
                Self::norm_forward(x, weight, Some(bias), eps).0
            }

            fn swiglu(gate_up: FloatTensor<Self>) -> FloatTensor<Self> {
                Self::swiglu_forward(gate_up)
            }

            fn gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
                Self::gelu_forward(x)
            }

            fn rope(x: FloatTensor<Self>, turns: FloatTensor<Self>, positions: IntTensor<Self>) -> FloatTensor<Self> {
                crate::rope::forward::<Self>(x, (turns, positions))
            }

            fn block(
                x: FloatTensor<Self>,
                weights: FloatTensor<Self>,
                turns: FloatTensor<Self>,
                positions: IntTensor<Self>,
                first: IntTensor<Self>,
                last: IntTensor<Self>,
                block: Block,
                _: bool,
            ) -> FloatTensor<Self> {
                crate::block::forward::<Self>(x, &crate::block::Operands { weights, angles: (turns, positions), first, last, block })
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

    fn head_logprob(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
        inv_temperature: f32,
    ) -> FloatTensor<Self> {
        crate::head::differentiable::<B, C>(hidden, weight, targets, inv_temperature)
    }

    fn gather(x: FloatTensor<Self>, rows: IntTensor<Self>, order: IntTensor<Self>, starts: IntTensor<Self>) -> FloatTensor<Self> {
        crate::gather::differentiable::<B, C>(x, rows, order, starts)
    }

    fn scatter_sum(x: FloatTensor<Self>, rows: IntTensor<Self>, order: IntTensor<Self>, starts: IntTensor<Self>) -> FloatTensor<Self> {
        crate::gather::differentiable_sum::<B, C>(x, rows, order, starts)
    }

    fn clipped_loss(
        x: FloatTensor<Self>,
        old: FloatTensor<Self>,
        target: FloatTensor<Self>,
        loss: PpoLoss,
        cliprange: f32,
    ) -> FloatTensor<Self> {
        crate::loss::differentiable::<B, C>(x, old, target, loss, cliprange)
    }

    fn pair_loss(
        x: FloatTensor<Self>,
        base: FloatTensor<Self>,
        lengths: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        loss: PairLoss,
    ) -> FloatTensor<Self> {
        crate::loss::differentiable_pair::<B, C>(x, [base, lengths, weight], loss)
    }

    fn total(x: FloatTensor<Self>, count: usize, factor: f32) -> FloatTensor<Self> {
        crate::loss::differentiable_total::<B, C>(x, count, factor)
    }

    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, transposed: bool) -> FloatTensor<Self> {
        crate::linear::differentiable::<B, C>(x, weight, transposed)
    }

    fn linear_add(x: FloatTensor<Self>, weight: FloatTensor<Self>, extra: FloatTensor<Self>, transposed: bool) -> FloatTensor<Self> {
        crate::linear::differentiable_add::<B, C>(x, weight, extra, transposed)
    }

    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self> {
        crate::norm::differentiable_rms::<B, C>(x, weight, eps)
    }

    fn layer_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>, eps: f32) -> FloatTensor<Self> {
        crate::norm::differentiable_layer::<B, C>(x, weight, bias, eps)
    }

    fn swiglu(gate_up: FloatTensor<Self>) -> FloatTensor<Self> {
        crate::activation::differentiable::<B, C>(gate_up, Activation::Swiglu)
    }

    fn gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        crate::activation::differentiable::<B, C>(x, Activation::Gelu)
    }

    fn rope(x: FloatTensor<Self>, turns: FloatTensor<Self>, positions: IntTensor<Self>) -> FloatTensor<Self> {
        crate::rope::differentiable::<B, C>(x, turns, positions)
    }

    fn block(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        turns: FloatTensor<Self>,
        positions: IntTensor<Self>,
        first: IntTensor<Self>,
        last: IntTensor<Self>,
        block: Block,
        recompute: bool,
    ) -> FloatTensor<Self> {
        crate::block::differentiable::<B, C>(x, weights, (turns, positions), [first, last], block, recompute)
    }
}

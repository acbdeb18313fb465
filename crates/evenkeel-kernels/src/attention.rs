//! Attention: the public function and its place in autodiff.  Twin: `reference/attention.rs`.
//!
//! B batch, T queries, S keys, H query heads, K key/value heads, D head dimension.

use burn::backend::Dispatch;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::autodiff::{Autodiff, NodeId};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::tensor::{Int, Tensor};

use crate::backend::{Kernels, RawKernels};
use crate::shapes::check;

/// Largest head dimension: the shaders keep two tiles of rows in 16 KiB of workgroup memory.
pub const MAX_HEAD_DIM: usize = 128;

/// Softmax attention in which query (b,i) sees the keys `first[b,i] ..= last[b,i]`.
///
/// One rule for causality (`last = i`), left and right padding, packed documents (`first` = start of the document) and a
/// KV cache (S > T). A query that sees nothing (`last < first` or `last < 0`) gives 0 and takes no gradient.
///
/// q `[B,T,H,D]`, k and v `[B,S,K,D]` with H % K == 0, first and last `[B,T]` indices into S → `[B,T,H,D]`
///
/// # Panics
/// When a dimension disagrees, H is no multiple of K, or D > 128.
///
/// Source: Dao et al. 2022 (FlashAttention), Dao 2023 (gradient from the log-sum-exp).
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, first: Tensor<2, Int>, last: Tensor<2, Int>, scale: f32) -> Tensor<4> {
    let [b, t, h, d] = q.dims();
    let [_, s, kv, _] = k.dims();
    check("attention", "q", &q, [("B", b), ("T", t), ("H", h), ("D", d)]);
    check("attention", "k", &k, [("B", b), ("S", s), ("K", kv), ("D", d)]);
    check("attention", "v", &v, [("B", b), ("S", s), ("K", kv), ("D", d)]);
    check("attention", "first", &first, [("B", b), ("T", t)]);
    check("attention", "last", &last, [("B", b), ("T", t)]);
    assert!(h % kv == 0, "attention: H = {h} query heads must be a multiple of K = {kv} key/value heads");
    assert!(d <= MAX_HEAD_DIM, "attention: D = {d} is over the largest head dimension, {MAX_HEAD_DIM}");
    Tensor::from_dispatch(Dispatch::attention(
        q.into_dispatch(),
        k.into_dispatch(),
        v.into_dispatch(),
        first.into_dispatch(),
        last.into_dispatch(),
        scale,
    ))
}

#[derive(Debug)]
struct AttentionBackward;

impl<B: RawKernels> Backward<B, 3> for AttentionBackward {
    /// Nodes of q, k, v; first, last; out, lse; scale.
    type State = ([NodeId; 3], IntTensor<B>, IntTensor<B>, FloatTensor<B>, FloatTensor<B>, f32);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let dout = grads.consume::<B>(&ops.node);
        let (nodes, first, last, out, lse, scale) = ops.state;
        let [q, k, v] = nodes.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
        let (dq, dk, dv) = B::attention_backward(q, k, v, first, last, out, lse, dout, scale);
        for (parent, grad) in ops.parents.into_iter().zip([dq, dk, dv]) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, grad);
            }
        }
    }
}

/// `Kernels::attention` under autodiff.
pub(crate) fn differentiable<B: RawKernels, C: CheckpointStrategy>(
    q: FloatTensor<Autodiff<B, C>>,
    k: FloatTensor<Autodiff<B, C>>,
    v: FloatTensor<Autodiff<B, C>>,
    first: IntTensor<B>,
    last: IntTensor<B>,
    scale: f32,
) -> FloatTensor<Autodiff<B, C>> {
    match AttentionBackward.prepare::<C>([q.node(), k.node(), v.node()]).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let nodes = [&q, &k, &v].map(|x| prep.checkpoint(x));
            let [q, k, v] = [q, k, v].map(|x| x.into_primitive());
            let (out, lse) = B::attention_forward(q, k, v, first.clone(), last.clone(), scale);
            prep.finish((nodes, first, last, out.clone(), lse, scale), out)
        }
        OpsKind::UnTracked(prep) => {
            let [q, k, v] = [q, k, v].map(|x| x.into_primitive());
            prep.finish(B::attention_forward(q, k, v, first, last, scale).0)
        }
    }
}

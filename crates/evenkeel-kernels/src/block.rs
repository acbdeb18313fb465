//! A whole transformer block as one differentiable operation on one flat tensor of weights.
//!
//! One operation instead of a dozen: joint projections (q, k, v and gate, up), the sums of gradients folded into the kernels
//! that make them, and one gradient for all weights of the block, written in place, so that an optimiser has one tensor to go
//! through. Twin: the public operations of this crate, composed (`tests/suite/transformer_cases.rs`).
//!
//! B batch, T time, N = B·T, D model dimension, H query heads, K key/value heads, E head dimension, F feed-forward dimension,
//! P numbers of the weights' segment.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::autodiff::{Autodiff, NodeId};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Dispatch, TensorMetadata};
use burn::tensor::{Int, Shape, Tensor};

use crate::activation::Activation;
use crate::backend::{Affine, Angles, Cache, Heads, Kept, Kernels, RawKernels, Untracked};
use crate::cache::KeysValues;
use crate::linear;
use crate::rope::{ROTATE, ROTATE_BACK};
use crate::shapes::check;

/// Numbers to a multiple of which every place in a segment is rounded up: 256 bytes, at which WebGPU lets a binding begin.
pub const ALIGN: usize = 64;

/// `numbers` rounded up to [`ALIGN`].
pub fn aligned(numbers: usize) -> usize {
    numbers.next_multiple_of(ALIGN)
}

/// What a block is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// RMS norm, rotary positions, SwiGLU; weights `[O,I]`. With `head_norms` (Qwen3) an RMS norm of every query and key.
    Llama { head_norms: bool },
    /// Layer norm, GELU, positions learned elsewhere; weights `[I,O]`.
    Gpt2,
}

/// Sizes of a block and which biases it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    pub family: Family,
    pub hidden_size: usize,
    pub num_heads: usize,
    pub num_kv_heads: usize,
    pub head_dim: usize,
    pub intermediate_size: usize,
    pub qkv_bias: bool,
    pub out_bias: bool,
    pub mlp_bias: bool,
    pub eps: f32,
}

/// Where the weights of a block lie in its segment, in numbers: what decays first, then biases and norms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// q, k and v beside each other: `[(H+2K)·E, D]`, biases likewise; GPT-2: `[D, 3D]`.
    pub qkv: Affine,
    /// `[D, H·E]`; GPT-2: `[H·E, D]`.
    pub out: Affine,
    /// gate and up beside each other: `[2F, D]`; GPT-2: `[D, F]`.
    pub up: Affine,
    /// `[D, F]`; GPT-2: `[F, D]`.
    pub down: Affine,
    pub attention_norm: Affine,
    pub mlp_norm: Affine,
    /// `[E]` each.
    pub head_norms: Option<[usize; 2]>,
    /// How many numbers, from the first on, take weight decay.
    pub decayed: usize,
    /// P.
    pub len: usize,
    /// Whether no number is padding.
    pub dense: bool,
}

impl Block {
    fn is_llama(&self) -> bool {
        self.family != Family::Gpt2
    }

    /// Width of the joint projection.
    fn qkv_width(&self) -> usize {
        (self.num_heads + 2 * self.num_kv_heads) * self.head_dim
    }

    fn attention_width(&self) -> usize {
        self.num_heads * self.head_dim
    }

    /// Outputs of the projection before the activation.
    fn up_width(&self) -> usize {
        if self.is_llama() { 2 * self.intermediate_size } else { self.intermediate_size }
    }

    fn activation(&self) -> Activation {
        if self.is_llama() { Activation::Swiglu } else { Activation::Gelu }
    }

    /// See [`Places`].
    pub fn places(&self) -> Places {
        let (d, f) = (self.hidden_size, self.intermediate_size);
        let (mut len, mut numbers) = (0, 0);
        let mut place = |size: usize| {
            let at = len;
            len += aligned(size);
            numbers += size;
            at
        };
        let weights = [self.qkv_width() * d, self.attention_width() * d, self.up_width() * d, f * d].map(&mut place);
        let decayed = weights[3] + aligned(f * d);
        let biases = [
            self.qkv_bias.then(|| place(self.qkv_width())),
            self.out_bias.then(|| place(d)),
            self.mlp_bias.then(|| place(self.up_width())),
            self.mlp_bias.then(|| place(d)),
        ];
        let [qkv, out, up, down] = std::array::from_fn(|i| Affine { weight: weights[i], bias: biases[i] });
        let [attention_norm, mlp_norm] = [(); 2].map(|()| Affine { weight: place(d), bias: (!self.is_llama()).then(|| place(d)) });
        let has_head_norms = self.family == Family::Llama { head_norms: true };
        let head_norms = has_head_norms.then(|| [(); 2].map(|()| place(self.head_dim)));
        Places { qkv, out, up, down, attention_norm, mlp_norm, head_norms, decayed, len, dense: len == numbers }
    }
}

/// What a query sees and the angles of its position.
#[derive(Clone, Debug)]
pub struct Positions {
    /// Of every position E/2 cosines and as many sines `[P,E]`; not read by GPT-2.
    pub turns: Tensor<2>,
    /// The position of each query `[B,T]`; not read by GPT-2.
    pub at: Tensor<2, Int>,
    /// First and last key of each query `[B,T]`, see [`crate::attention`].
    pub first: Tensor<2, Int>,
    pub last: Tensor<2, Int>,
}

/// One block, differentiable in `x` and `weights`.  x `[N,D]`, weights `[P]` → `[N,D]`
///
/// With `recompute` the gradient pass computes the block once more instead of keeping its activations (gradient
/// checkpointing, Chen et al. 2016).
///
/// # Panics
/// When a dimension disagrees.
///
/// Source: Touvron et al. 2023 (Llama), Radford et al. 2019 (GPT-2).
pub fn block(x: Tensor<2>, weights: Tensor<1>, positions: &Positions, block: &Block, recompute: bool) -> Tensor<2> {
    check_operands(&x, &weights, positions, block);
    let Positions { turns, at, first, last } = positions.clone();
    Tensor::from_dispatch(Dispatch::block(
        x.into_dispatch(),
        weights.into_dispatch(),
        turns.into_dispatch(),
        at.into_dispatch(),
        first.into_dispatch(),
        last.into_dispatch(),
        *block,
        recompute,
    ))
}

/// One block of tokens that follow those whose keys and values are given; not differentiable.
///
/// x `[N,D]`, weights `[P]`, keys and values `[B,S,K,E]`, of which the T columns from `start` on are written (in place where
/// nobody else holds them) → y `[N,D]`, keys and values. A single token (T = 1) sees the keys from `first` on up to its own,
/// whatever `last` says.
///
/// # Panics
/// When a dimension disagrees or the columns do not fit.
pub fn block_cached(
    x: Tensor<2>,
    weights: Tensor<1>,
    positions: &Positions,
    kept: KeysValues,
    start: usize,
    block: &Block,
) -> (Tensor<2>, KeysValues) {
    check_operands(&x, &weights, positions, block);
    let [b, t] = positions.first.dims();
    let [_, s, ..] = kept.dims();
    assert!(
        kept.dims() == [b, s, block.num_kv_heads, block.head_dim],
        "block_cached: keys and values are {:?}, not [B {b}, S, K {}, E {}]",
        kept.dims(),
        block.num_kv_heads,
        block.head_dim
    );
    assert!(start + t <= s, "block_cached: columns {start} + {t} do not fit S = {s}");
    let Positions { turns, at, first, last } = positions.clone();
    let [x, weights, turns] = [x.inner().into_dispatch(), weights.inner().into_dispatch(), turns.inner().into_dispatch()];
    let [at, first, last] = [at, first, last].map(|x| x.inner().into_dispatch());
    match kept {
        KeysValues::Float32(kept) => {
            let [keys, values] = kept.map(Tensor::into_dispatch);
            let (y, keys, values) = Dispatch::block_cached(x, weights, turns, at, first, last, keys, values, start, *block);
            (Tensor::from_dispatch(y), KeysValues::Float32([keys, values].map(Tensor::from_dispatch)))
        }
        KeysValues::Float16(kept) => {
            let [keys, values] = kept.map(Tensor::into_dispatch);
            let (y, keys, values) = Dispatch::block_cached_half(x, weights, turns, at, first, last, keys, values, start, *block);
            (Tensor::from_dispatch(y), KeysValues::Float16([keys, values].map(Tensor::from_dispatch)))
        }
    }
}

fn check_operands(x: &Tensor<2>, weights: &Tensor<1>, positions: &Positions, block: &Block) {
    let [b, t] = positions.first.dims();
    check("block", "x", x, [("N", b * t), ("D", block.hidden_size)]);
    check("block", "weights", weights, [("P", block.places().len)]);
    check("block", "last", &positions.last, [("B", b), ("T", t)]);
    if block.is_llama() {
        assert!(block.head_dim.is_multiple_of(2), "block: E = {} must be even to be rotated", block.head_dim);
        check("block", "turns", &positions.turns, [("P", positions.turns.dims()[0]), ("E", block.head_dim)]);
        check("block", "at", &positions.at, [("B", b), ("T", t)]);
    }
    assert!(block.num_heads.is_multiple_of(block.num_kv_heads), "block: H must be a multiple of K");
    assert!(block.head_dim <= crate::attention::MAX_HEAD_DIM, "block: E = {} is over the largest head dimension", block.head_dim);
}

/// What both passes read besides x.
#[derive(Clone, Debug)]
pub(crate) struct Operands<B: RawKernels> {
    pub weights: FloatTensor<B>,
    pub angles: Angles<B>,
    pub first: IntTensor<B>,
    pub last: IntTensor<B>,
    pub block: Block,
}

/// Queries and keys before their norms, and the norms' statistics.
#[derive(Clone, Debug)]
struct HeadNorms<B: RawKernels> {
    inputs: [FloatTensor<B>; 2],
    stats: [FloatTensor<B>; 2],
}

/// What the gradient pass needs of the forward pass.
#[derive(Clone, Debug)]
struct Activations<B: RawKernels> {
    attention_stats: FloatTensor<B>,
    attention_in: FloatTensor<B>,
    head_norms: Option<HeadNorms<B>>,
    q: FloatTensor<B>,
    k: FloatTensor<B>,
    v: FloatTensor<B>,
    mixed: FloatTensor<B>,
    /// None where a cache was read: there is no gradient.
    lse: Option<FloatTensor<B>>,
    /// The residual stream between attention and feed-forward.
    middle: FloatTensor<B>,
    mlp_stats: FloatTensor<B>,
    mlp_in: FloatTensor<B>,
    raised: FloatTensor<B>,
    active: FloatTensor<B>,
}

impl<B: RawKernels> Operands<B> {
    fn vector(&self, at: usize, size: usize) -> FloatTensor<B> {
        B::view(&self.weights, at, Shape::new([size]))
    }

    /// The matrix at `at` as it is stored.
    fn matrix(&self, at: usize, inputs: usize, outputs: usize) -> FloatTensor<B> {
        let shape = if self.block.is_llama() { [outputs, inputs] } else { [inputs, outputs] };
        B::view(&self.weights, at, Shape::new(shape))
    }

    fn heads(&self) -> Heads {
        let [batch, time] = self.first.shape().dims();
        Heads { batch, time, queries: self.block.num_heads, keys: self.block.num_kv_heads, dim: self.block.head_dim }
    }

    fn scale(&self) -> f32 {
        (1.0 / (self.block.head_dim as f64).sqrt()) as f32
    }

    /// Angles, where the split itself is to rotate.
    fn split_angles(&self) -> Option<Angles<B>> {
        (self.block.family == Family::Llama { head_norms: false }).then(|| self.angles.clone())
    }

    /// → y [N,D], stats [N,2]
    fn norm(&self, x: FloatTensor<B>, at: Affine) -> (FloatTensor<B>, FloatTensor<B>) {
        let d = self.block.hidden_size;
        B::norm_forward(x, self.vector(at.weight, d), at.bias.map(|at| self.vector(at, d)), self.block.eps)
    }

    /// x [N,I] → [N,O]
    fn project(&self, x: FloatTensor<B>, at: Affine, outputs: usize, residual: Option<FloatTensor<B>>) -> FloatTensor<B> {
        let inputs = x.shape()[1];
        let bias = at.bias.map(|at| self.vector(at, outputs));
        linear::forward::<B>(x, self.matrix(at.weight, inputs, outputs), bias, residual, self.block.is_llama())
    }

    /// Norm of every head by itself. x [B,T,H,E] → as x, stats [B·T·H,2]
    fn head_norm(&self, x: FloatTensor<B>, at: usize) -> (FloatTensor<B>, FloatTensor<B>) {
        let (shape, e) = (x.shape(), self.block.head_dim);
        let rows = B::float_reshape(x, Shape::new([shape.num_elements() / e, e]));
        let (y, stats) = B::norm_forward(rows, self.vector(at, e), None, self.block.eps);
        (B::float_reshape(y, shape), stats)
    }

    fn rotated(&self, x: FloatTensor<B>, direction: f32) -> FloatTensor<B> {
        B::rope_rotate(x, self.angles.clone(), direction)
    }

    /// Queries, and keys and values or the whole cache with them in it.
    fn queries_keys_values(&self, x: FloatTensor<B>, cache: Option<Cache<B>>) -> ([FloatTensor<B>; 3], Option<HeadNorms<B>>) {
        let qkv = self.project(x, self.block.places().qkv, self.block.qkv_width(), None);
        let Some(at) = self.block.places().head_norms else {
            return (B::split(qkv, self.split_angles(), self.heads(), cache), None);
        };
        let [q, k, v] = B::split(qkv, None, self.heads(), None);
        let (normed_q, q_stats) = self.head_norm(q.clone(), at[0]);
        let (normed_k, k_stats) = self.head_norm(k.clone(), at[1]);
        let (q_out, k_out) = (self.rotated(normed_q, ROTATE), self.rotated(normed_k, ROTATE));
        let [k_out, v] = match cache {
            Some(Cache { keys, values, start }) => [write::<B>(keys, k_out, start), write::<B>(values, v, start)],
            None => [k_out, v],
        };
        ([q_out, k_out, v], Some(HeadNorms { inputs: [q, k], stats: [q_stats, k_stats] }))
    }

    /// The block up to its output. → y, activations
    fn run(&self, x: FloatTensor<B>, cache: Option<Cache<B>>) -> (FloatTensor<B>, Activations<B>) {
        let column = cache.as_ref().map(|cache| cache.start);
        self.run_around(x, cache, |[q, k, v]| match column {
            // A single query in this column sees the keys from `first` on up to its own.
            Some(column) if self.heads().time == 1 => (self.decode(q, Kept::Float32([k, v]), column), None),
            _ => self.attend([q, k, v]),
        })
    }

    /// The same around another attention. → y, activations
    fn run_around(
        &self,
        x: FloatTensor<B>,
        cache: Option<Cache<B>>,
        attend: impl FnOnce([FloatTensor<B>; 3]) -> (FloatTensor<B>, Option<FloatTensor<B>>),
    ) -> (FloatTensor<B>, Activations<B>) {
        let (places, d) = (self.block.places(), self.block.hidden_size);
        let (attention_in, attention_stats) = self.norm(x.clone(), places.attention_norm);
        let ([q, k, v], head_norms) = self.queries_keys_values(attention_in.clone(), cache);
        let (mixed, lse) = attend([q.clone(), k.clone(), v.clone()]);
        let middle = self.project(self.flat(mixed.clone()), places.out, d, Some(x));
        let (mlp_in, mlp_stats) = self.norm(middle.clone(), places.mlp_norm);
        let raised = self.project(mlp_in.clone(), places.up, self.block.up_width(), None);
        let active = self.block.activation().forward::<B>(raised.clone());
        let y = self.project(active.clone(), places.down, d, Some(middle.clone()));
        let kept =
            Activations { attention_stats, attention_in, head_norms, q, k, v, mixed, lse, middle, mlp_stats, mlp_in, raised, active };
        (y, kept)
    }

    fn attend(&self, [q, k, v]: [FloatTensor<B>; 3]) -> (FloatTensor<B>, Option<FloatTensor<B>>) {
        let (mixed, lse) = B::attention_forward(q, k, v, self.first.clone(), self.last.clone(), self.scale());
        (mixed, Some(lse))
    }

    fn decode(&self, q: FloatTensor<B>, kept: Kept<B>, column: usize) -> FloatTensor<B> {
        B::attention_decode(q, kept, self.first.clone(), column, self.scale())
    }

    /// [B,T,H,E] → [N,H·E]
    fn flat(&self, x: FloatTensor<B>) -> FloatTensor<B> {
        let [b, t, h, e] = x.shape().dims();
        B::float_reshape(x, Shape::new([b * t, h * e]))
    }

    /// The gradient of a projection: its weights' written to `segment`, its input's returned.
    fn project_back(&self, x: FloatTensor<B>, dy: FloatTensor<B>, at: Affine, segment: &mut FloatTensor<B>) -> FloatTensor<B> {
        let (inputs, outputs) = (x.shape()[1], dy.shape()[1]);
        let transposed = self.block.is_llama();
        if let Some(at) = at.bias {
            B::sum_rows_into(dy.clone(), segment, at);
        }
        linear::backward_weight_into::<B>(x, dy.clone(), transposed, segment, at.weight);
        linear::backward_x::<B>(dy, self.matrix(at.weight, inputs, outputs), transposed)
    }

    /// The gradient of a norm, likewise, plus the gradient that goes past it.
    fn norm_back(&self, [x, stats, dy, past]: [FloatTensor<B>; 4], at: Affine, segment: &mut FloatTensor<B>) -> FloatTensor<B> {
        B::norm_backward_weight_into(x.clone(), stats.clone(), dy.clone(), segment, at);
        B::norm_backward_x(x, self.vector(at.weight, self.block.hidden_size), stats, dy, Some(past), at.bias.is_some())
    }

    /// The gradient of [`Operands::head_norm`] after its rotation.
    fn head_norm_back(
        &self,
        x: FloatTensor<B>,
        stats: FloatTensor<B>,
        dy: FloatTensor<B>,
        at: usize,
        segment: &mut FloatTensor<B>,
    ) -> FloatTensor<B> {
        let (shape, e) = (x.shape(), self.block.head_dim);
        let rows = |x| B::float_reshape(x, Shape::new([shape.num_elements() / e, e]));
        let (x, dy) = (rows(x), rows(self.rotated(dy, ROTATE_BACK)));
        B::norm_backward_weight_into(x.clone(), stats.clone(), dy.clone(), segment, Affine { weight: at, bias: None });
        B::float_reshape(B::norm_backward_x(x, self.vector(at, e), stats, dy, None, false), shape)
    }

    /// → dx [N,D], dweights [P]
    fn run_back(&self, x: FloatTensor<B>, kept: Activations<B>, dy: FloatTensor<B>) -> (FloatTensor<B>, FloatTensor<B>) {
        let places = self.block.places();
        let mut segment = B::segment(&dy, places.len, places.dense);
        let into = &mut segment;
        let d_active = self.project_back(kept.active, dy.clone(), places.down, into);
        let d_raised = self.block.activation().backward::<B>(kept.raised, d_active);
        let d_mlp_in = self.project_back(kept.mlp_in, d_raised, places.up, into);
        let d_middle = self.norm_back([kept.middle, kept.mlp_stats, d_mlp_in, dy], places.mlp_norm, into);

        let d_mixed = self.project_back(self.flat(kept.mixed.clone()), d_middle.clone(), places.out, into);
        let d_mixed = B::float_reshape(d_mixed, kept.mixed.shape());
        let (first, last) = (self.first.clone(), self.last.clone());
        let lse = kept.lse.expect("a forward pass with a gradient reads no cache");
        let (mut dq, mut dk, dv) = B::attention_backward(kept.q, kept.k, kept.v, first, last, kept.mixed, lse, d_mixed, self.scale());
        if let (Some(HeadNorms { inputs: [q, k], stats: [q_stats, k_stats] }), Some(at)) = (kept.head_norms, places.head_norms) {
            dq = self.head_norm_back(q, q_stats, dq, at[0], into);
            dk = self.head_norm_back(k, k_stats, dk, at[1], into);
        }
        let d_qkv = B::merge(dq, dk, dv, self.split_angles(), self.heads());
        let d_attention_in = self.project_back(kept.attention_in, d_qkv, places.qkv, into);
        let dx = self.norm_back([x, kept.attention_stats, d_attention_in, d_middle], places.attention_norm, into);
        (dx, segment)
    }
}

/// `new` [B,T,K,E] over the columns of `all` [B,S,K,E] from `start` on.
pub(crate) fn write<B: RawKernels>(all: FloatTensor<B>, new: FloatTensor<B>, start: usize) -> FloatTensor<B> {
    let [b, t, k, e] = new.shape().dims();
    B::float_slice_assign(all, &[(0..b).into(), (start..start + t).into(), (0..k).into(), (0..e).into()], new)
}

/// `Kernels::block` without autodiff.
pub(crate) fn forward<B: RawKernels>(x: FloatTensor<B>, operands: &Operands<B>) -> FloatTensor<B> {
    operands.run(x, None).0
}

/// `Untracked::block_cached`.
pub(crate) fn forward_cached<B: RawKernels>(
    x: FloatTensor<B>,
    operands: &Operands<B>,
    [keys, values]: [FloatTensor<B>; 2],
    start: usize,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let (y, kept) = operands.run(x, Some(Cache { keys, values, start }));
    (y, kept.k, kept.v)
}

/// `Untracked::block_cached_half`.
pub(crate) fn forward_cached_half<B: RawKernels>(
    x: FloatTensor<B>,
    operands: &Operands<B>,
    kept: [IntTensor<B>; 2],
    start: usize,
) -> (FloatTensor<B>, IntTensor<B>, IntTensor<B>) {
    let mut packed = None;
    let (y, _) = operands.run_around(x, None, |[q, k, v]| {
        let kept = packed.insert(B::pack(k, v, kept, start)).clone();
        match operands.heads().time {
            1 => (operands.decode(q, Kept::Float16(kept), start), None),
            _ => {
                let [k, v] = B::unpack(kept);
                operands.attend([q, k, v])
            }
        }
    });
    let [keys, values] = packed.expect("the block attends once");
    (y, keys, values)
}

#[derive(Debug)]
struct BlockBackward;

/// What the gradient pass finds: the nodes of x and of the weights, the other operands, and the activations unless they are to
/// be computed again.
#[derive(Clone, Debug)]
struct State<B: RawKernels> {
    nodes: [NodeId; 2],
    operands: Operands<B>,
    kept: Option<Activations<B>>,
}

impl<B: RawKernels> Backward<B, 2> for BlockBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let State { nodes, operands, kept } = ops.state;
        let [x, weights] = nodes.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
        let operands = Operands { weights, ..operands };
        let kept = kept.unwrap_or_else(|| operands.run(x.clone(), None).1);
        let (dx, d_weights) = operands.run_back(x, kept, dy);
        for (parent, grad) in ops.parents.into_iter().zip([dx, d_weights]) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, grad);
            }
        }
    }
}

/// `Kernels::block` under autodiff; positions take no gradient.
pub(crate) fn differentiable<B: RawKernels, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weights: FloatTensor<Autodiff<B, C>>,
    (turns, positions): (FloatTensor<Autodiff<B, C>>, IntTensor<B>),
    [first, last]: [IntTensor<B>; 2],
    block: Block,
    recompute: bool,
) -> FloatTensor<Autodiff<B, C>> {
    let operands = |weights| Operands::<B> { weights, angles: (turns.into_primitive(), positions), first, last, block };
    match BlockBackward.prepare::<C>([x.node(), weights.node()]).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let nodes = [prep.checkpoint(&x), prep.checkpoint(&weights)];
            let operands = operands(weights.into_primitive());
            let (y, kept) = operands.run(x.into_primitive(), None);
            prep.finish(State { nodes, operands, kept: (!recompute).then_some(kept) }, y)
        }
        OpsKind::UnTracked(prep) => prep.finish(forward::<B>(x.into_primitive(), &operands(weights.into_primitive()))),
    }
}

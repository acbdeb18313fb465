//! The two backend traits: `RawKernels` computes (GPU or CPU), `Kernels` is what burn's dispatch and autodiff route.
//!
//! Two, because every method of a trait routed through `Autodiff` needs an implementation there, and forward and
//! backward passes by themselves want none (burn 0.22.1, `backend_extension`).

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, backend_extension};
use burn::tensor::Shape;

use crate::block::Block;
use crate::loss::{PairLoss, PpoLoss};
use crate::reference::advantage::Kl;
use crate::reference::optim::Update;
use crate::reference::sampling::Settings;

mod differentiable;

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

    /// One query per row that sees the keys `first ..= last`. q [B,1,H,D], kept [B,S,K,D], first [B,1] → out [B,1,H,D]
    fn attention_decode(q: FloatTensor<Self>, kept: Kept<Self>, first: IntTensor<Self>, last: usize, scale: f32) -> FloatTensor<Self>;

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

    /// x [R,D], rows [N] → [N,D]
    fn gather_forward(x: FloatTensor<Self>, rows: IntTensor<Self>) -> FloatTensor<Self>;

    /// dy [N,D], order [N], starts [R+1] → dx [R,D]
    fn gather_backward(dy: FloatTensor<Self>, order: IntTensor<Self>, starts: IntTensor<Self>) -> FloatTensor<Self>;

    /// Logits [R,≥V] of the rows from `first` on; writes their part of stats [3,N] and lse [N].
    fn logprob_forward_into(
        logits: FloatTensor<Self>,
        v: usize,
        targets: IntTensor<Self>,
        inv_temperature: f32,
        stats: &mut FloatTensor<Self>,
        lse: &mut FloatTensor<Self>,
        first: usize,
    );

    /// Logits [R,≥V] of the rows from `first` on; targets [N]; facts: lse [N], stats and grad [3,N] → dlogits, as logits, 0 beyond V
    fn logprob_backward(
        logits: FloatTensor<Self>,
        v: usize,
        targets: IntTensor<Self>,
        facts: [FloatTensor<Self>; 3],
        inv_temperature: f32,
        first: usize,
    ) -> FloatTensor<Self>;

    /// All [N] → loss and its slope in x, [N] each
    fn clipped_loss_forward(
        x: FloatTensor<Self>,
        old: FloatTensor<Self>,
        target: FloatTensor<Self>,
        loss: PpoLoss,
        cliprange: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// x [2P]; base and lengths [2P], weight [P] → loss [P] and its slope in x [2P]
    fn pair_loss_forward(x: FloatTensor<Self>, fixed: [FloatTensor<Self>; 3], loss: PairLoss) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// slope [2P], grad [P] → dx [2P]
    fn pair_loss_backward(slope: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self>;

    /// factor Σ of the first `count` numbers of x.  x [N] → [1]
    fn total_forward(x: FloatTensor<Self>, count: usize, factor: f32) -> FloatTensor<Self>;

    /// g [1] → factor g, `count` times, and zeros [n]
    fn spread(g: FloatTensor<Self>, factor: f32, count: usize, n: usize) -> FloatTensor<Self>;

    /// → out [M,N] = a b (+ bias [N]) (+ residual [M,N]); a [M,K] or, where `form` says so, [K,M]; b [K,N] or [N,K]
    fn matmul(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
        residual: Option<FloatTensor<Self>>,
        form: Form,
    ) -> FloatTensor<Self>;

    /// a b, written to the numbers of `segment` [P] from `at` on.
    fn matmul_into(a: FloatTensor<Self>, b: FloatTensor<Self>, form: Form, segment: &mut FloatTensor<Self>, at: usize);

    /// hidden [R,D], weight [V,D] → logits [R,≥V]: a row may be longer, so that the next one begins where the device likes it
    fn head_logits(hidden: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// d_logits [R,≥V], 0 beyond V, weight [V,D] → d_hidden [R,D], written to the numbers of `segment` from `at` on.
    fn head_d_hidden_into(d_logits: FloatTensor<Self>, weight: FloatTensor<Self>, segment: &mut FloatTensor<Self>, at: usize);

    /// d_logits [R,≥V], hidden [R,D] → d_weight [V,D] (+ `so_far` [V,D])
    fn head_d_weight(
        d_logits: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        v: usize,
        so_far: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self>;

    /// The sum of the rows of x [N,D], written to the D numbers of `segment` [P] from `at` on.
    fn sum_rows_into(x: FloatTensor<Self>, segment: &mut FloatTensor<Self>, at: usize);

    /// Layer norm where there is a bias, else RMS norm. → y [N,D], stats [N,2]
    fn norm_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
        eps: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// → dx [N,D] (+ residual [N,D])
    fn norm_backward_x(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stats: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        residual: Option<FloatTensor<Self>>,
        centred: bool,
    ) -> FloatTensor<Self>;

    /// dweight [D] and, of a layer norm, dbias [D], written to `segment` [P].
    fn norm_backward_weight_into(
        x: FloatTensor<Self>,
        stats: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        segment: &mut FloatTensor<Self>,
        at: Affine,
    );

    /// gate_up [N,2F] → out [N,F]
    fn swiglu_forward(gate_up: FloatTensor<Self>) -> FloatTensor<Self>;

    /// gate_up [N,2F], dout [N,F] → dgate_up [N,2F]
    fn swiglu_backward(gate_up: FloatTensor<Self>, dout: FloatTensor<Self>) -> FloatTensor<Self>;

    /// → out, as x
    fn gelu_forward(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// → dx, as x
    fn gelu_backward(x: FloatTensor<Self>, dout: FloatTensor<Self>) -> FloatTensor<Self>;

    /// → out [B,T,H,D]; `direction` 1 or −1
    fn rope_rotate(x: FloatTensor<Self>, angles: Angles<Self>, direction: f32) -> FloatTensor<Self>;

    /// qkv [B·T,(H+2K)·D] → q [B,T,H,D], k and v [B,T,K,D], or, with a cache, its keys and values [B,S,K,D] with them in it.
    fn split(qkv: FloatTensor<Self>, angles: Option<Angles<Self>>, heads: Heads, cache: Option<Cache<Self>>) -> [FloatTensor<Self>; 3];

    /// dq [B,T,H,D], dk and dv [B,T,K,D] → dqkv [B·T,(H+2K)·D]
    fn merge(
        dq: FloatTensor<Self>,
        dk: FloatTensor<Self>,
        dv: FloatTensor<Self>,
        angles: Option<Angles<Self>>,
        heads: Heads,
    ) -> FloatTensor<Self>;

    /// k and v [B,T,K,D] into the columns of what is kept in half precision [B,S,K,D/2] from `start` on.
    fn pack(k: FloatTensor<Self>, v: FloatTensor<Self>, kept: [IntTensor<Self>; 2], start: usize) -> [IntTensor<Self>; 2];

    /// The keys and values of [`RawKernels::pack`] → [B,S,K,D] each.
    fn unpack(kept: [IntTensor<Self>; 2]) -> [FloatTensor<Self>; 2];

    /// The numbers of `segment` [P] from `at` on, without a copy; `at` is a multiple of [`crate::ALIGN`].
    fn view(segment: &FloatTensor<Self>, at: usize, shape: Shape) -> FloatTensor<Self>;

    /// A segment to write gradients to: `len` numbers beside `like`, zeros unless every one of them will be written.
    fn segment(like: &FloatTensor<Self>, len: usize, all_written: bool) -> FloatTensor<Self>;
}

/// Of every position cos and sin of its angles [P,D], D/2 numbers each, and the position of every token [B,T].
pub type Angles<B> = (FloatTensor<B>, IntTensor<B>);

/// The keys and values of a cache.
#[derive(Clone, Debug)]
pub enum Kept<B: Backend> {
    /// [B,S,K,D]
    Float32([FloatTensor<B>; 2]),
    /// [B,S,K,D/2], two numbers in a word.
    Float16([IntTensor<B>; 2]),
}

/// Where keys and values [B,S,K,D] are kept, and the first of the columns to write.
pub struct Cache<B: Backend> {
    pub keys: FloatTensor<B>,
    pub values: FloatTensor<B>,
    pub start: usize,
}

/// Sizes of the parts of a joint projection.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    pub batch: usize,
    pub time: usize,
    pub queries: usize,
    pub keys: usize,
    pub dim: usize,
}

/// Places of a weight and of its bias in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affine {
    pub weight: usize,
    pub bias: Option<usize>,
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
#[allow(clippy::too_many_arguments, reason = "the operands of a block; the macro copies the attribute to where nothing is to be expected")]
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

    /// See [`crate::head_logprob`]; → stats [3,N].
    fn head_logprob(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
        inv_temperature: f32,
    ) -> FloatTensor<Self>;

    /// See [`crate::gather()`].
    fn gather(x: FloatTensor<Self>, rows: IntTensor<Self>, order: IntTensor<Self>, starts: IntTensor<Self>) -> FloatTensor<Self>;

    /// See [`crate::scatter_sum`].
    fn scatter_sum(x: FloatTensor<Self>, rows: IntTensor<Self>, order: IntTensor<Self>, starts: IntTensor<Self>) -> FloatTensor<Self>;

    /// See [`crate::ppo_policy_loss`] and [`crate::ppo_value_loss`].
    fn clipped_loss(
        x: FloatTensor<Self>,
        old: FloatTensor<Self>,
        target: FloatTensor<Self>,
        loss: PpoLoss,
        cliprange: f32,
    ) -> FloatTensor<Self>;

    /// See [`crate::pair_loss`].
    fn pair_loss(
        x: FloatTensor<Self>,
        base: FloatTensor<Self>,
        lengths: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        loss: PairLoss,
    ) -> FloatTensor<Self>;

    /// See [`crate::total`]: of the first `count` numbers of x, of any shape.
    fn total(x: FloatTensor<Self>, count: usize, factor: f32) -> FloatTensor<Self>;

    /// See [`crate::linear`]; the weight is [O,I] where `transposed`, else [I,O].
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, transposed: bool) -> FloatTensor<Self>;

    /// As `linear`, plus a bias [O] or a matrix [N,O].
    fn linear_add(x: FloatTensor<Self>, weight: FloatTensor<Self>, extra: FloatTensor<Self>, transposed: bool) -> FloatTensor<Self>;

    /// See [`crate::rms_norm`].
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self>;

    /// See [`crate::layer_norm`].
    fn layer_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>, eps: f32) -> FloatTensor<Self>;

    /// See [`crate::swiglu`].
    fn swiglu(gate_up: FloatTensor<Self>) -> FloatTensor<Self>;

    /// See [`crate::gelu`].
    fn gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// See [`crate::rope`].
    fn rope(x: FloatTensor<Self>, turns: FloatTensor<Self>, positions: IntTensor<Self>) -> FloatTensor<Self>;

    /// See [`crate::block()`].
    fn block(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        turns: FloatTensor<Self>,
        positions: IntTensor<Self>,
        first: IntTensor<Self>,
        last: IntTensor<Self>,
        block: Block,
        recompute: bool,
    ) -> FloatTensor<Self>;
}

/// Operations outside autodiff.
#[backend_extension(Cube, Flex)]
#[allow(clippy::too_many_arguments, clippy::type_complexity, reason = "as for `Kernels`")]
pub trait Untracked: Backend {
    /// See [`crate::ceiling::copy`].
    fn copy(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// See [`crate::ceiling::fma`].
    fn fma(x: FloatTensor<Self>, rounds: usize, s: f32, t: f32) -> FloatTensor<Self>;

    /// See [`crate::adamw`]; → param, m, v.
    fn adamw(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        m: FloatTensor<Self>,
        v: FloatTensor<Self>,
        clip: FloatTensor<Self>,
        rates: FloatTensor<Self>,
        update: Update,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Parts of Σ x² of the first `count` tensors, written to `partial` [P] from `at` on, one tensor's after another's; of each as many as
    /// [`crate::optim::square_parts`] says.
    fn sum_squares(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        count: usize,
        partial: FloatTensor<Self>,
        at: usize,
    ) -> FloatTensor<Self>;

    /// partial [P], last [2] → norm and scale [2]
    fn clip(partial: FloatTensor<Self>, last: FloatTensor<Self>, max_norm: f32) -> FloatTensor<Self>;

    /// See [`crate::rewards()`]; begins [2,B+1], M steps → kl [N], rewards [M]
    fn rewards(
        logprobs: FloatTensor<Self>,
        ref_logprobs: FloatTensor<Self>,
        scores: FloatTensor<Self>,
        begins: IntTensor<Self>,
        m: usize,
        kl: Kl,
        beta: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// See [`crate::gae`]; begins [2,B+1], N tokens → advantages [N], returns [M]
    fn gae(
        rewards: FloatTensor<Self>,
        values: FloatTensor<Self>,
        begins: IntTensor<Self>,
        n: usize,
        gamma: f32,
        lambda: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// See [`crate::whiten`].
    fn whiten(x: FloatTensor<Self>, keep_mean: bool) -> FloatTensor<Self>;

    /// See [`crate::block_cached`]; → y, keys, values.
    fn block_cached(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        turns: FloatTensor<Self>,
        positions: IntTensor<Self>,
        first: IntTensor<Self>,
        last: IntTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        start: usize,
        block: Block,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// As `block_cached`, with keys and values in half precision.
    fn block_cached_half(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        turns: FloatTensor<Self>,
        positions: IntTensor<Self>,
        first: IntTensor<Self>,
        last: IntTensor<Self>,
        keys: IntTensor<Self>,
        values: IntTensor<Self>,
        start: usize,
        block: Block,
    ) -> (FloatTensor<Self>, IntTensor<Self>, IntTensor<Self>);

    /// See [`crate::draw`]; → facts, seen, tokens, ids, positions, begins.
    fn draw(
        logits: FloatTensor<Self>,
        facts: IntTensor<Self>,
        seen: IntTensor<Self>,
        tokens: IntTensor<Self>,
        ids: IntTensor<Self>,
        positions: IntTensor<Self>,
        begins: IntTensor<Self>,
        step: usize,
        settings: Settings,
    ) -> (IntTensor<Self>, IntTensor<Self>, IntTensor<Self>, IntTensor<Self>, IntTensor<Self>, IntTensor<Self>);
}

//! The kernels on the GPU backend: contiguous inputs, fresh outputs, one launch per shader. Here those of models; `untracked` has what no
//! gradient goes through, `product` the products of matrices.

use burn::backend::Scalar;
use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};
use burn::tensor::{DType, FloatDType, IntDType, Shape};

use crate::backend::{Affine, Angles, Cache, Form, Heads, Kept, RawKernels};
use crate::block::ALIGN;
use crate::launch::{
    ACTIVATION_GELU_BACKWARD, ACTIVATION_GELU_FORWARD, ACTIVATION_SWIGLU_BACKWARD, ACTIVATION_SWIGLU_FORWARD, ATTENTION_BACKWARD_KV,
    ATTENTION_BACKWARD_KV_SUBGROUP, ATTENTION_BACKWARD_Q, ATTENTION_BACKWARD_Q_SUBGROUP, ATTENTION_BACKWARD_ROWS, ATTENTION_DECODE,
    ATTENTION_DECODE_SUBGROUP, ATTENTION_FORWARD, ATTENTION_FORWARD_SUBGROUP, CACHE_PACK, CACHE_UNPACK, GATHER_BACKWARD, GATHER_FORWARD,
    Kernel, LOGPROB_BACKWARD, LOGPROB_FORWARD, LOSS_PAIR, LOSS_PAIR_BACKWARD, LOSS_PPO_POLICY, LOSS_PPO_VALUE, LOSS_SPREAD, LOSS_TOTAL,
    MATMUL_SUM_ROWS, NORM_BACKWARD_WEIGHT, NORM_BACKWARD_X, NORM_FORWARD, POISONED, ROPE_MERGE, ROPE_ROTATE, ROPE_SPLIT, Specialised,
    Variant, WIDE, launch, poisoned, variant, width,
};
use crate::loss::{PairLoss, PpoLoss};

mod product;
mod untracked;

use product::{Added, Product};
use untracked::own_ints;

/// Numbers in half precision of a word.
const PAIR: usize = 2;
/// Lanes of a workgroup where the work is plenty: WebGPU's default limit.
const MOST_LANES: u32 = 256;
/// Lanes of a workgroup whose lanes own one small item each.
const ITEM_LANES: u32 = 64;
/// Words of columns that one workgroup of a sum over rows owns.
const SUM_COLUMNS: usize = 16;
/// Largest head dimension of attention's subgroup forms: the rows of a lane are variables, and a driver's compiler takes
/// a minute over more of them.
const SUBGROUP_HEAD_DIM: usize = 64;
/// Queries or keys that a lane of attention's subgroup forms owns.
const SUBGROUP_BLOCK: usize = 4;
/// Numbers of its row that a lane should have before the tree over the lanes costs less than they do.
const NUMBERS_PER_LANE: usize = 8;
/// Largest head dimension at which three tiles of 16 rows fit 16 KiB of workgroup memory; above it tiles have 8 rows.
const WIDE_BLOCK_HEAD_DIM: usize = 64;

fn floats(tensor: CubeTensor) -> CubeTensor {
    assert_eq!(tensor.dtype, DType::F32, "evenkeel's kernels take f32 tensors");
    into_contiguous(tensor)
}

fn ints(tensor: CubeTensor) -> CubeTensor {
    let tensor = match tensor.dtype {
        DType::I32 => tensor,
        _ => CubeBackend::int_cast(tensor, IntDType::I32),
    };
    into_contiguous(tensor)
}

/// An uninitialised f32 tensor beside `like`.
fn empty(like: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    let shape = shape.into();
    if poisoned() {
        return CubeBackend::float_full(shape, Scalar::Float(POISONED.into()), &like.device, FloatDType::F32);
    }
    let handle = like.client.empty(shape.num_elements() * size_of::<f32>());
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, DType::F32)
}

/// Sizes of an attention call, tiles and parameters; letters as in `attention.rs`.
struct Plan {
    b: usize,
    t: usize,
    s: usize,
    h: usize,
    k: usize,
    d: usize,
    block: usize,
    variant: Variant,
    scale: f32,
}

impl Plan {
    fn new(q: &CubeTensor, k: &CubeTensor, scale: f32) -> Self {
        let [b, t, h, d] = q.meta.shape().dims();
        let [_, s, k, _] = k.meta.shape().dims();
        let variant = if d <= SUBGROUP_HEAD_DIM && width(&[d]) == WIDE { variant() } else { Variant::Default };
        let block = match variant.subgroup_lanes() {
            Some(lanes) => SUBGROUP_BLOCK * lanes as usize,
            None if d <= WIDE_BLOCK_HEAD_DIM => 16,
            None => 8,
        };
        Self { b, t, s, h, k, d, block, variant, scale }
    }

    /// The form of a kernel that this plan is made for.
    fn kernel(&self, default: &Kernel, subgroup: &Kernel) -> Specialised {
        let head_dim = ("HEAD_DIM", self.d as u32);
        match self.variant.subgroup_lanes() {
            None => Specialised::new(default, &[("BLOCK", self.block as u32), head_dim]),
            Some(lanes) => Specialised::new(subgroup, &[("LANES", lanes), head_dim]),
        }
    }

    /// (workgroups, parameters) for one workgroup per `block` of `length` rows of each of `heads` heads.
    fn tiles(&self, length: usize, heads: usize) -> (usize, [u32; 7]) {
        let tiles = length.div_ceil(self.block);
        let groups = self.b * heads * tiles;
        let sizes = [self.t, self.s, self.h, self.k, tiles, groups].map(|x| x as u32);
        let [t, s, h, k, tiles, count] = sizes;
        (groups, [t, s, h, k, tiles, count, self.scale.to_bits()])
    }
}

impl RawKernels for CubeBackend {
    fn attention_forward(
        q: CubeTensor,
        k: CubeTensor,
        v: CubeTensor,
        first: CubeTensor,
        last: CubeTensor,
        scale: f32,
    ) -> (CubeTensor, CubeTensor) {
        let [q, k, v] = [q, k, v].map(floats);
        let [first, last] = [first, last].map(ints);
        let plan = Plan::new(&q, &k, scale);
        let out = empty(&q, [plan.b, plan.t, plan.h, plan.d]);
        let lse = empty(&q, [plan.b, plan.t, plan.h]);
        let (groups, params) = plan.tiles(plan.t, plan.h);
        let kernel = plan.kernel(&ATTENTION_FORWARD, &ATTENTION_FORWARD_SUBGROUP);
        launch(kernel, groups, &[&q, &k, &v, &first, &last, &out, &lse], &params);
        (out, lse)
    }

    fn attention_decode(q: CubeTensor, kept: Kept<Self>, first: CubeTensor, last: usize, scale: f32) -> CubeTensor {
        let (q, first) = (floats(q), ints(first));
        let ([k, v], halved) = match kept {
            Kept::Float32(kept) => (kept.map(floats), false),
            Kept::Float16(kept) => (kept.map(ints), true),
        };
        let [b, t, h, d] = q.meta.shape().dims();
        let [_, s, kv, _] = k.meta.shape().dims();
        let out = empty(&q, [b, t, h, d]);
        let head_dim = ("HEAD_DIM", d as u32);
        let kernel = match variant().subgroup_lanes().filter(|_| width(&[d]) == WIDE) {
            None => Specialised::new(&ATTENTION_DECODE, &[("WG", ITEM_LANES), head_dim]),
            Some(lanes) => Specialised::new(&ATTENTION_DECODE_SUBGROUP, &[("LANES", lanes), head_dim]),
        };
        let params = [&[b * h, s, h, kv, last].map(|x| x as u32), [scale.to_bits()].as_slice()].concat();
        launch(kernel.halved(halved), b * h, &[&q, &k, &v, &first, &out], &params);
        out
    }

    fn attention_backward(
        q: CubeTensor,
        k: CubeTensor,
        v: CubeTensor,
        first: CubeTensor,
        last: CubeTensor,
        out: CubeTensor,
        lse: CubeTensor,
        dout: CubeTensor,
        scale: f32,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [q, k, v, out, lse, dout] = [q, k, v, out, lse, dout].map(floats);
        let [first, last] = [first, last].map(ints);
        let plan = Plan::new(&q, &k, scale);
        let Plan { b, t, s, h, k: kv, d, .. } = plan;

        let rows = empty(&q, [b, h, t, 4]);
        let count = b * t * h;
        let consts = [("WG", ITEM_LANES), ("HEAD_DIM", d as u32)];
        launch(
            Specialised::new(&ATTENTION_BACKWARD_ROWS, &consts).with_words_of(width(&[d])),
            count.div_ceil(ITEM_LANES as usize),
            &[&out, &dout, &lse, &first, &last, &rows],
            &[count, t, s, h].map(|x| x as u32),
        );

        let dq = empty(&q, [b, t, h, d]);
        let (groups, params) = plan.tiles(t, h);
        let kernel = plan.kernel(&ATTENTION_BACKWARD_Q, &ATTENTION_BACKWARD_Q_SUBGROUP);
        launch(kernel, groups, &[&q, &k, &v, &dout, &rows, &dq], &params);

        let dk = empty(&q, [b, s, kv, d]);
        let dv = empty(&q, [b, s, kv, d]);
        let (groups, params) = plan.tiles(s, kv);
        let kernel = plan.kernel(&ATTENTION_BACKWARD_KV, &ATTENTION_BACKWARD_KV_SUBGROUP);
        launch(kernel, groups, &[&q, &k, &v, &dout, &rows, &dk, &dv], &params);
        (dq, dk, dv)
    }

    fn gather_forward(x: CubeTensor, rows: CubeTensor) -> CubeTensor {
        let (x, rows) = (floats(x), ints(rows));
        let ([r, d], n) = (x.meta.shape().dims(), rows.meta.num_elements());
        let out = empty(&x, [n, d]);
        let width = width(&[d]);
        launch_words(&GATHER_FORWARD, width, &[], &[&x, &rows, &out], n * d, &[(d / width) as u32, r as u32]);
        out
    }

    fn gather_backward(dy: CubeTensor, order: CubeTensor, starts: CubeTensor) -> CubeTensor {
        let dy = floats(dy);
        let [order, starts] = [order, starts].map(ints);
        let ([_, d], r) = (dy.meta.shape().dims(), starts.meta.num_elements() - 1);
        let dx = empty(&dy, [r, d]);
        let width = width(&[d]);
        launch_words(&GATHER_BACKWARD, width, &[], &[&dy, &order, &starts, &dx], r * d, &[(d / width) as u32]);
        dx
    }

    fn logprob_forward_into(
        logits: CubeTensor,
        v: usize,
        targets: CubeTensor,
        inv_temperature: f32,
        stats: &mut CubeTensor,
        lse: &mut CubeTensor,
        first: usize,
    ) {
        let (logits, targets) = (floats(logits), ints(targets));
        let n = lse.meta.num_elements();
        let (kernel, rows, params) = logprob_launch(&LOGPROB_FORWARD, &logits, v, inv_temperature, n, first);
        launch(kernel, rows, &[&logits, &targets, stats, lse], &params);
    }

    fn logprob_backward(
        logits: CubeTensor,
        v: usize,
        targets: CubeTensor,
        [lse, stats, grad]: [CubeTensor; 3],
        inv_temperature: f32,
        first: usize,
    ) -> CubeTensor {
        let [logits, lse, stats, grad] = [logits, lse, stats, grad].map(floats);
        let targets = ints(targets);
        let n = lse.meta.num_elements();
        let dlogits = empty(&logits, logits.meta.shape().clone());
        let (kernel, rows, params) = logprob_launch(&LOGPROB_BACKWARD, &logits, v, inv_temperature, n, first);
        launch(kernel, rows, &[&logits, &targets, &lse, &stats, &grad, &dlogits], &params);
        dlogits
    }

    fn clipped_loss_forward(x: CubeTensor, old: CubeTensor, target: CubeTensor, loss: PpoLoss, cliprange: f32) -> (CubeTensor, CubeTensor) {
        let [x, old, target] = [x, old, target].map(floats);
        let n = x.meta.num_elements();
        let [out, slope] = [(); 2].map(|()| empty(&x, [n]));
        let kernel = match loss {
            PpoLoss::Policy => &LOSS_PPO_POLICY,
            PpoLoss::Value => &LOSS_PPO_VALUE,
        };
        launch_words(kernel, 1, &[], &[&x, &old, &target, &out, &slope], n, &[cliprange.to_bits()]);
        (out, slope)
    }

    fn pair_loss_forward(x: CubeTensor, fixed: [CubeTensor; 3], loss: PairLoss) -> (CubeTensor, CubeTensor) {
        let (x, [base, lengths, weight]) = (floats(x), fixed.map(floats));
        let pairs = weight.meta.num_elements();
        let (out, slope) = (empty(&x, [pairs]), empty(&x, [2 * pairs]));
        let consts = [("WG", ITEM_LANES), ("KIND", loss.kind as u32), ("NORMALISED", u32::from(loss.normalised))];
        let numbers = [loss.beta, loss.label_smoothing, loss.centring, loss.nll].map(f32::to_bits);
        let groups = pairs.div_ceil(ITEM_LANES as usize);
        let params = [&[pairs as u32], numbers.as_slice()].concat();
        launch(Specialised::new(&LOSS_PAIR, &consts), groups, &[&x, &base, &lengths, &weight, &out, &slope], &params);
        (out, slope)
    }

    fn pair_loss_backward(slope: CubeTensor, grad: CubeTensor) -> CubeTensor {
        let [slope, grad] = [slope, grad].map(floats);
        let (n, pairs) = (slope.meta.num_elements(), grad.meta.num_elements());
        let dx = empty(&slope, [n]);
        launch_words(&LOSS_PAIR_BACKWARD, 1, &[], &[&slope, &grad, &dx], n, &[pairs as u32]);
        dx
    }

    fn total_forward(x: CubeTensor, count: usize, factor: f32) -> CubeTensor {
        let x = floats(x);
        let out = empty(&x, [1]);
        let kernel = Specialised::new(&LOSS_TOTAL, &[("WG", MOST_LANES)]);
        launch(kernel, 1, &[&x, &out], &[count as u32, factor.to_bits()]);
        out
    }

    fn spread(g: CubeTensor, factor: f32, count: usize, n: usize) -> CubeTensor {
        let g = floats(g);
        let dx = empty(&g, [n]);
        launch_words(&LOSS_SPREAD, 1, &[], &[&g, &dx], n, &[factor.to_bits(), count as u32]);
        dx
    }

    fn matmul(a: CubeTensor, b: CubeTensor, bias: Option<CubeTensor>, residual: Option<CubeTensor>, form: Form) -> CubeTensor {
        let [a, b] = [a, b].map(floats);
        let product = Product::of(&a, &b, form);
        let out = empty(&a, [product.m, product.n]);
        product.launch(&a, &b, bias, residual.map_or(Added::Nothing, Added::Matrix), &out);
        out
    }

    fn matmul_into(a: CubeTensor, b: CubeTensor, form: Form, segment: &mut CubeTensor, at: usize) {
        let [a, b] = [a, b].map(floats);
        let product = Product::of(&a, &b, form);
        let out = Self::view(segment, at, Shape::new([product.m, product.n]));
        product.launch(&a, &b, None, Added::Nothing, &out);
    }

    fn head_logits(hidden: CubeTensor, weight: CubeTensor) -> CubeTensor {
        let [hidden, weight] = [hidden, weight].map(floats);
        let product = Product::of(&hidden, &weight, Form::NT);
        let pitch = product.n.next_multiple_of(WIDE);
        let logits = empty(&hidden, [product.m, pitch]);
        Product { pitch, ..product }.launch(&hidden, &weight, None, Added::Nothing, &logits);
        logits
    }

    fn head_d_hidden_into(d_logits: CubeTensor, weight: CubeTensor, segment: &mut CubeTensor, at: usize) {
        let [d_logits, weight] = [d_logits, weight].map(floats);
        let [v, _] = weight.meta.shape().dims();
        let product = Product { k: v, ..Product::of(&d_logits, &weight, Form::NN) };
        let out = Self::view(segment, at, Shape::new([product.m, product.n]));
        product.launch(&d_logits, &weight, None, Added::Nothing, &out);
    }

    fn head_d_weight(d_logits: CubeTensor, hidden: CubeTensor, v: usize, so_far: Option<CubeTensor>) -> CubeTensor {
        let [d_logits, hidden] = [d_logits, hidden].map(floats);
        let product = Product { m: v, ..Product::of(&d_logits, &hidden, Form::TN) };
        // Added where it lies: as many numbers again as the head has would be much.
        let (out, added) = match so_far {
            Some(out) => (own(out), Added::Out),
            None => (empty(&hidden, [v, product.n]), Added::Nothing),
        };
        product.launch(&d_logits, &hidden, None, added, &out);
        out
    }

    fn sum_rows_into(x: CubeTensor, segment: &mut CubeTensor, at: usize) {
        let x = floats(x);
        let [n, d] = x.meta.shape().dims();
        let out = Self::view(segment, at, Shape::new([d]));
        let width = width(&[d]);
        let kernel = Specialised::new(&MATMUL_SUM_ROWS, &[("COLUMNS", SUM_COLUMNS as u32)]).with_words_of(width);
        launch(kernel, (d / width).div_ceil(SUM_COLUMNS), &[&x, &out], &[n as u32, (d / width) as u32]);
    }

    fn norm_forward(x: CubeTensor, weight: CubeTensor, bias: Option<CubeTensor>, eps: f32) -> (CubeTensor, CubeTensor) {
        let [x, weight] = [x, weight].map(floats);
        let [n, d] = x.meta.shape().dims();
        let (y, stats) = (empty(&x, [n, d]), empty(&x, [n, 2]));
        let centred = u32::from(bias.is_some());
        let bias = or_unread(bias, &x);
        let width = width(&[d]);
        let kernel = Specialised::new(&NORM_FORWARD, &[("WG", row_lanes(d)), ("CENTRED", centred)]).with_words_of(width);
        launch(kernel, n, &[&x, &weight, &bias, &y, &stats], &[n as u32, (d / width) as u32, eps.to_bits(), d as u32]);
        (y, stats)
    }

    fn norm_backward_x(
        x: CubeTensor,
        weight: CubeTensor,
        stats: CubeTensor,
        dy: CubeTensor,
        residual: Option<CubeTensor>,
        centred: bool,
    ) -> CubeTensor {
        let [x, weight, stats, dy] = [x, weight, stats, dy].map(floats);
        let [n, d] = x.meta.shape().dims();
        let dx = empty(&x, [n, d]);
        let has_residual = u32::from(residual.is_some());
        let residual = or_unread(residual, &x);
        let width = width(&[d]);
        let consts = [("WG", row_lanes(d)), ("CENTRED", u32::from(centred))];
        let kernel = Specialised::new(&NORM_BACKWARD_X, &consts).with_words_of(width);
        launch(kernel, n, &[&x, &weight, &stats, &dy, &residual, &dx], &[n as u32, (d / width) as u32, has_residual, d as u32]);
        dx
    }

    fn norm_backward_weight_into(x: CubeTensor, stats: CubeTensor, dy: CubeTensor, segment: &mut CubeTensor, at: Affine) {
        let [x, stats, dy] = [x, stats, dy].map(floats);
        let [n, d] = x.meta.shape().dims();
        let part = |at| Self::view(segment, at, Shape::new([d]));
        let (dweight, dbias) = (part(at.weight), or_unread(at.bias.map(part), &x));
        let consts = [("COLUMNS", SUM_COLUMNS as u32), ("CENTRED", u32::from(at.bias.is_some()))];
        let width = width(&[d]);
        let kernel = Specialised::new(&NORM_BACKWARD_WEIGHT, &consts).with_words_of(width);
        let words = d / width;
        launch(kernel, words.div_ceil(SUM_COLUMNS), &[&x, &stats, &dy, &dweight, &dbias], &[n as u32, words as u32]);
    }

    fn swiglu_forward(gate_up: CubeTensor) -> CubeTensor {
        let gate_up = floats(gate_up);
        let [n, both] = gate_up.meta.shape().dims();
        let (f, width) = (both / 2, width(&[both / 2]));
        let out = empty(&gate_up, [n, f]);
        launch_words(&ACTIVATION_SWIGLU_FORWARD, width, &[], &[&gate_up, &out], n * f, &[(f / width) as u32]);
        out
    }

    fn swiglu_backward(gate_up: CubeTensor, dout: CubeTensor) -> CubeTensor {
        let [gate_up, dout] = [gate_up, dout].map(floats);
        let [n, both] = gate_up.meta.shape().dims();
        let (f, width) = (both / 2, width(&[both / 2]));
        let d_gate_up = empty(&gate_up, [n, both]);
        launch_words(&ACTIVATION_SWIGLU_BACKWARD, width, &[], &[&gate_up, &dout, &d_gate_up], n * f, &[(f / width) as u32]);
        d_gate_up
    }

    fn gelu_forward(x: CubeTensor) -> CubeTensor {
        let x = floats(x);
        let out = empty(&x, x.meta.shape().clone());
        let n = x.meta.num_elements();
        launch_words(&ACTIVATION_GELU_FORWARD, width(&[n]), &[], &[&x, &out], n, &[]);
        out
    }

    fn gelu_backward(x: CubeTensor, dout: CubeTensor) -> CubeTensor {
        let [x, dout] = [x, dout].map(floats);
        let dx = empty(&x, x.meta.shape().clone());
        let n = x.meta.num_elements();
        launch_words(&ACTIVATION_GELU_BACKWARD, width(&[n]), &[], &[&x, &dout, &dx], n, &[]);
        dx
    }

    fn rope_rotate(x: CubeTensor, (turns, positions): Angles<Self>, direction: f32) -> CubeTensor {
        let ([x, turns], positions) = ([x, turns].map(floats), ints(positions));
        let [b, t, h, d] = x.meta.shape().dims();
        let out = empty(&x, [b, t, h, d]);
        let (half, width) = (d / 2, width(&[d / 2]));
        let rest = [h as u32, (half / width) as u32, direction.to_bits()];
        launch_words(&ROPE_ROTATE, width, &[], &[&x, &turns, &positions, &out], b * t * h * half, &rest);
        out
    }

    fn split(qkv: CubeTensor, angles: Option<Angles<Self>>, heads: Heads, cache: Option<Cache<Self>>) -> [CubeTensor; 3] {
        let qkv = floats(qkv);
        let Heads { batch, time, queries, keys: kv, dim } = heads;
        let q = empty(&qkv, [batch, time, queries, dim]);
        let (k, v, start) = match cache {
            Some(Cache { keys, values, start }) => (own(keys), own(values), start),
            None => (empty(&qkv, [batch, time, kv, dim]), empty(&qkv, [batch, time, kv, dim]), 0),
        };
        let [_, columns, _, _] = k.meta.shape().dims();
        let (rotated, [turns, positions]) = or_none(angles, &qkv);
        let width = head_width(dim, rotated);
        let rest = [time, queries, kv, dim / width, columns, start].map(|x| x as u32);
        launch_words(&ROPE_SPLIT, width, &[rotated], &[&qkv, &turns, &positions, &q, &k, &v], qkv.meta.num_elements(), &rest);
        [q, k, v]
    }

    fn merge(dq: CubeTensor, dk: CubeTensor, dv: CubeTensor, angles: Option<Angles<Self>>, heads: Heads) -> CubeTensor {
        let [dq, dk, dv] = [dq, dk, dv].map(floats);
        let Heads { batch, time, queries, keys: kv, dim } = heads;
        let d_qkv = empty(&dq, [batch * time, (queries + 2 * kv) * dim]);
        let (rotated, [turns, positions]) = or_none(angles, &dq);
        let width = head_width(dim, rotated);
        let rest = [queries, kv, dim / width].map(|x| x as u32);
        launch_words(&ROPE_MERGE, width, &[rotated], &[&dq, &dk, &dv, &turns, &positions, &d_qkv], d_qkv.meta.num_elements(), &rest);
        d_qkv
    }

    fn pack(k: CubeTensor, v: CubeTensor, kept: [CubeTensor; 2], start: usize) -> [CubeTensor; 2] {
        let ([k, v], [keys, values]) = ([k, v].map(floats), kept.map(own_ints));
        let ([_, t, kv, d], [_, s, _, _]) = (k.meta.shape().dims(), keys.meta.shape().dims());
        let rest = [t, kv * d / PAIR, s, start].map(|x| x as u32);
        launch_words(&CACHE_PACK, PAIR, &[], &[&k, &v, &keys, &values], k.meta.num_elements(), &rest);
        [keys, values]
    }

    fn unpack(kept: [CubeTensor; 2]) -> [CubeTensor; 2] {
        let [keys, values] = kept.map(ints);
        let ([b, s, kv, half], words) = (keys.meta.shape().dims(), keys.meta.num_elements());
        let [k, v] = [(); 2].map(|()| empty(&keys, [b, s, kv, PAIR * half]));
        launch_words(&CACHE_UNPACK, 1, &[], &[&keys, &values, &k, &v], words, &[]);
        [k, v]
    }

    fn view(segment: &CubeTensor, at: usize, shape: Shape) -> CubeTensor {
        let numbers = shape.num_elements();
        let total = segment.meta.num_elements();
        assert!(at.is_multiple_of(ALIGN), "a view begins at a multiple of {ALIGN} numbers, not at {at}");
        assert!(
            segment.is_contiguous() && at + numbers <= total,
            "a view of {numbers} numbers at {at} does not lie in a segment of {total}"
        );
        let bytes = |numbers: usize| (numbers * size_of::<f32>()) as u64;
        let handle = segment.handle.clone().offset_start(bytes(at)).offset_end(bytes(total - at - numbers));
        CubeTensor::new_contiguous(segment.client.clone(), segment.device.clone(), shape, handle, DType::F32)
    }

    fn segment(like: &CubeTensor, len: usize, all_written: bool) -> CubeTensor {
        match all_written {
            true => empty(like, [len]),
            false => CubeBackend::float_zeros(Shape::new([len]), &like.device, FloatDType::F32),
        }
    }
}

/// Kernel, workgroups and parameters of either pass over logits [R,PITCH].
fn logprob_launch(
    kernel: &Kernel,
    logits: &CubeTensor,
    v: usize,
    inv_temperature: f32,
    n: usize,
    first: usize,
) -> (Specialised, usize, [u32; 6]) {
    let [rows, pitch] = logits.meta.shape().dims();
    let width = width(&[pitch]);
    let kernel = Specialised::new(kernel, &[("WG", row_lanes(v))]).with_words_of(width);
    (kernel, rows, [rows as u32, v as u32, inv_temperature.to_bits(), n as u32, first as u32, (pitch / width) as u32])
}

/// Numbers of a word of heads of `dim` numbers, whose halves are turned against each other where `rotated`.
fn head_width(dim: usize, (_, rotated): (&str, u32)) -> usize {
    width(&[if rotated == 1 { dim / 2 } else { dim }])
}

/// A binding must be there even where the shader does not read it.
fn or_unread(tensor: Option<CubeTensor>, like: &CubeTensor) -> CubeTensor {
    tensor.map_or_else(|| empty(like, [WIDE]), floats)
}

/// The value of `ROTATED`, and its angles.
fn or_none(angles: Option<Angles<CubeBackend>>, like: &CubeTensor) -> ((&'static str, u32), [CubeTensor; 2]) {
    match angles {
        Some((turns, positions)) => (("ROTATED", 1), [floats(turns), ints(positions)]),
        None => (("ROTATED", 0), [(); 2].map(|()| empty(like, [WIDE]))),
    }
}

/// Lanes of a workgroup that owns one row of `width` numbers: a power of two, no smaller than the subgroups of most GPUs. On an
/// adapter that computes on the CPU a barrier between subgroups costs more than their lanes save.
fn row_lanes(width: usize) -> u32 {
    let (fewest, most) = match variant() {
        Variant::Default => (32, MOST_LANES),
        Variant::Subgroup4 => (4, 4),
        Variant::Subgroup8 => (8, 8),
    };
    ((width / NUMBERS_PER_LANE) as u32).next_power_of_two().clamp(fewest, most)
}

/// A tensor that may be written: itself where nobody else holds it, else a copy.
fn own(tensor: CubeTensor) -> CubeTensor {
    let tensor = floats(tensor);
    if tensor.handle.can_mut() { tensor } else { CubeBackend::float_mul_scalar(tensor, Scalar::Float(1.0)) }
}

/// Launches one lane for each word of `numbers`; parameters are the number of words, then `rest`.
fn launch_words(kernel: &Kernel, width: usize, consts: &[(&'static str, u32)], tensors: &[&CubeTensor], numbers: usize, rest: &[u32]) {
    let words = numbers / width;
    let consts = [consts, &[("WG", MOST_LANES)]].concat();
    let kernel = Specialised::new(kernel, &consts).with_words_of(width);
    launch(kernel, words.div_ceil(MOST_LANES as usize), tensors, &[&[words as u32], rest].concat());
}

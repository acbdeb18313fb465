//! The kernels on burn's CPU backend: tensors to slices, the twin in `reference`, slices to tensors.

use burn::backend::flex::FlexTensor;
use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::{DType, Shape, TensorData};

use crate::backend::{Affine, Angles, Cache, Form, Heads, Kept, RawKernels, Untracked};
use crate::block::{Block, Operands, forward_cached, forward_cached_half, write};
use crate::loss::{PairLoss, PpoLoss};
use crate::optim::square_parts;
use crate::reference::advantage::Kl;
use crate::reference::optim::{Rates, Update};
use crate::reference::sampling::{ROW, Rows, Settings};
use crate::reference::{activation, advantage, attention, cache, ceiling, gather, logprob, loss, matmul, norm, optim, rope, sampling};

/// Contiguous f32 view: `.get()` borrows the slice.
struct Floats(FlexTensor);

impl Floats {
    fn new(tensor: FlexTensor) -> Self {
        assert_eq!(tensor.dtype(), DType::F32, "evenkeel's kernels take f32 tensors");
        Self(tensor.to_contiguous())
    }

    fn get(&self) -> &[f32] {
        self.0.as_slice().expect("to_contiguous made an f32 slice")
    }
}

/// burn's CPU backend makes i64 integers by default and i32 when asked.
fn ints(tensor: FlexTensor) -> Vec<i32> {
    let tensor = tensor.to_contiguous();
    match tensor.dtype() {
        DType::I32 => tensor.as_slice::<i32>().expect("contiguous i32").to_vec(),
        DType::I64 => tensor.as_slice::<i64>().expect("contiguous i64").iter().map(|&x| x as i32).collect(),
        other => panic!("evenkeel's kernels take i32 or i64 indices, not {other:?}"),
    }
}

fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

/// Sizes from q [B,T,H,D] and k [B,S,K,D].
fn attention_dims(q: &FlexTensor, k: &FlexTensor) -> attention::Dims {
    let (q, k) = (q.shape(), k.shape());
    attention::Dims { b: q[0], t: q[1], s: k[1], h: q[2], k: k[2], d: q[3] }
}

impl RawKernels for Flex {
    fn attention_forward(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        first: FlexTensor,
        last: FlexTensor,
        scale: f32,
    ) -> (FlexTensor, FlexTensor) {
        let dims = attention_dims(&q, &k);
        let (q, k, v) = (Floats::new(q), Floats::new(k), Floats::new(v));
        let (out, lse) = attention::forward(q.get(), k.get(), v.get(), &ints(first), &ints(last), scale, dims);
        (tensor(out, [dims.b, dims.t, dims.h, dims.d]), tensor(lse, [dims.b, dims.t, dims.h]))
    }

    fn attention_decode(q: FlexTensor, kept: Kept<Self>, first: FlexTensor, last: usize, scale: f32) -> FlexTensor {
        let [k, v] = match kept {
            Kept::Float32(kept) => kept,
            Kept::Float16(kept) => Self::unpack(kept),
        };
        let (dims, shape) = (attention_dims(&q, &k), q.shape());
        let (q, k, v) = (Floats::new(q), Floats::new(k), Floats::new(v));
        tensor(attention::decode(q.get(), k.get(), v.get(), &ints(first), last, scale, dims), shape)
    }

    fn attention_backward(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        first: FlexTensor,
        last: FlexTensor,
        out: FlexTensor,
        lse: FlexTensor,
        dout: FlexTensor,
        scale: f32,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let dims = attention_dims(&q, &k);
        let (q_shape, k_shape) = (q.shape(), k.shape());
        let [q, k, v, out, lse, dout] = [q, k, v, out, lse, dout].map(Floats::new);
        let (dq, dk, dv) =
            attention::backward(q.get(), k.get(), v.get(), &ints(first), &ints(last), out.get(), lse.get(), dout.get(), scale, dims);
        (tensor(dq, q_shape), tensor(dk, k_shape.clone()), tensor(dv, k_shape))
    }

    fn gather_forward(x: FlexTensor, rows: FlexTensor) -> FlexTensor {
        let ([_, d], rows) = (x.shape().dims(), ints(rows));
        tensor(gather::forward(Floats::new(x).get(), &rows, d), [rows.len(), d])
    }

    fn gather_backward(dy: FlexTensor, order: FlexTensor, starts: FlexTensor) -> FlexTensor {
        let ([_, d], starts) = (dy.shape().dims(), ints(starts));
        tensor(gather::backward(Floats::new(dy).get(), &ints(order), &starts, d), [starts.len() - 1, d])
    }

    fn logprob_forward_into(
        logits: FlexTensor,
        v: usize,
        targets: FlexTensor,
        inv_temperature: f32,
        stats: &mut FlexTensor,
        lse: &mut FlexTensor,
        first: usize,
    ) {
        let rows = logits.shape()[0];
        let n = lse.shape()[0];
        let targets = ints(targets);
        let (part, part_lse) = logprob::forward(Floats::new(logits).get(), &targets[first..first + rows], inv_temperature, v);
        for (kind, values) in part.chunks(rows).enumerate() {
            put(stats, kind * n + first, values);
        }
        put(lse, first, &part_lse);
    }

    fn logprob_backward(
        logits: FlexTensor,
        v: usize,
        targets: FlexTensor,
        [lse, stats, grad]: [FlexTensor; 3],
        inv_temperature: f32,
        first: usize,
    ) -> FlexTensor {
        let rows = logits.shape()[0];
        let n = lse.shape()[0];
        let [logits, lse, stats, grad] = [logits, lse, stats, grad].map(Floats::new);
        let targets = ints(targets);
        let of = |all: &'_ [f32], kind: usize| all[kind * n + first..][..rows].to_vec();
        let (entropy, slopes) = (of(stats.get(), 1), [0, 1].map(|kind| of(grad.get(), kind)));
        let slopes = [slopes[0].as_slice(), slopes[1].as_slice()];
        let rows_of = first..first + rows;
        let dlogits = logprob::backward(logits.get(), &targets[rows_of.clone()], &lse.get()[rows_of], &entropy, slopes, inv_temperature, v);
        tensor(dlogits, [rows, v])
    }

    fn clipped_loss_forward(x: FlexTensor, old: FlexTensor, target: FlexTensor, loss: PpoLoss, cliprange: f32) -> (FlexTensor, FlexTensor) {
        let shape = x.shape();
        let [x, old, target] = [x, old, target].map(Floats::new);
        let twin = match loss {
            PpoLoss::Policy => loss::ppo_policy,
            PpoLoss::Value => loss::ppo_value,
        };
        let (out, slope) = twin(x.get(), old.get(), target.get(), cliprange);
        (tensor(out, shape.clone()), tensor(slope, shape))
    }

    fn pair_loss_forward(x: FlexTensor, fixed: [FlexTensor; 3], loss: PairLoss) -> (FlexTensor, FlexTensor) {
        let shape = x.shape();
        let (x, [base, lengths, weight]) = (Floats::new(x), fixed.map(Floats::new));
        let (losses, slope) = loss::pair(x.get(), base.get(), lengths.get(), weight.get(), &loss);
        let pairs = losses.len();
        (tensor(losses, [pairs]), tensor(slope, shape))
    }

    fn pair_loss_backward(slope: FlexTensor, grad: FlexTensor) -> FlexTensor {
        let shape = slope.shape();
        tensor(loss::pair_backward(Floats::new(slope).get(), Floats::new(grad).get()), shape)
    }

    fn total_forward(x: FlexTensor, count: usize, factor: f32) -> FlexTensor {
        tensor(vec![loss::total(&Floats::new(x).get()[..count], factor)], [1])
    }

    fn spread(g: FlexTensor, factor: f32, count: usize, n: usize) -> FlexTensor {
        tensor(loss::spread(Floats::new(g).get()[0], factor, count, n), [n])
    }

    /// burn's CPU backend has a tuned product (the gemm crate); `reference::matmul` is what the shaders are tested against.
    fn matmul(a: FlexTensor, b: FlexTensor, bias: Option<FlexTensor>, residual: Option<FlexTensor>, form: Form) -> FlexTensor {
        let stored = |x: FlexTensor, transposed: bool| if transposed { Self::float_swap_dims(x, 0, 1) } else { x };
        let mut out = Self::float_matmul(stored(a, form.a_transposed), stored(b, form.b_transposed));
        let n = out.shape()[1];
        if let Some(bias) = bias {
            out = Self::float_add(out, Self::float_reshape(bias, Shape::new([1, n])));
        }
        match residual {
            Some(residual) => Self::float_add(out, residual),
            None => out,
        }
    }

    fn matmul_into(a: FlexTensor, b: FlexTensor, form: Form, segment: &mut FlexTensor, at: usize) {
        put(segment, at, Floats::new(Self::matmul(a, b, None, None, form)).get());
    }

    fn head_logits(hidden: FlexTensor, weight: FlexTensor) -> FlexTensor {
        Self::matmul(hidden, weight, None, None, Form::NT)
    }

    fn head_d_hidden_into(d_logits: FlexTensor, weight: FlexTensor, segment: &mut FlexTensor, at: usize) {
        Self::matmul_into(d_logits, weight, Form::NN, segment, at);
    }

    fn head_d_weight(d_logits: FlexTensor, hidden: FlexTensor, _: usize, so_far: Option<FlexTensor>) -> FlexTensor {
        Self::matmul(d_logits, hidden, None, so_far, Form::TN)
    }

    fn sum_rows_into(x: FlexTensor, segment: &mut FlexTensor, at: usize) {
        let n = x.shape()[1];
        put(segment, at, &matmul::sum_rows(Floats::new(x).get(), n));
    }

    fn norm_forward(x: FlexTensor, weight: FlexTensor, bias: Option<FlexTensor>, eps: f32) -> (FlexTensor, FlexTensor) {
        let shape = x.shape();
        let (x, weight, bias) = (Floats::new(x), Floats::new(weight), bias.map(Floats::new));
        let (y, stats) = norm::forward(x.get(), weight.get(), bias.as_ref().map(Floats::get), eps);
        let n = stats.len() / 2;
        (tensor(y, shape), tensor(stats, [n, 2]))
    }

    fn norm_backward_x(
        x: FlexTensor,
        weight: FlexTensor,
        stats: FlexTensor,
        dy: FlexTensor,
        residual: Option<FlexTensor>,
        centred: bool,
    ) -> FlexTensor {
        let shape = x.shape();
        let [x, weight, stats, dy] = [x, weight, stats, dy].map(Floats::new);
        let residual = residual.map(Floats::new);
        let dx = norm::backward_x(x.get(), weight.get(), stats.get(), dy.get(), residual.as_ref().map(Floats::get), centred);
        tensor(dx, shape)
    }

    fn norm_backward_weight_into(x: FlexTensor, stats: FlexTensor, dy: FlexTensor, segment: &mut FlexTensor, at: Affine) {
        let [_, d] = x.shape().dims();
        let [x, stats, dy] = [x, stats, dy].map(Floats::new);
        let (dweight, dbias) = norm::backward_weight(x.get(), stats.get(), dy.get(), d);
        put(segment, at.weight, &dweight);
        if let Some(at) = at.bias {
            put(segment, at, &dbias);
        }
    }

    fn swiglu_forward(gate_up: FlexTensor) -> FlexTensor {
        let [n, width] = gate_up.shape().dims();
        tensor(activation::swiglu_forward(Floats::new(gate_up).get(), width / 2), [n, width / 2])
    }

    fn swiglu_backward(gate_up: FlexTensor, dout: FlexTensor) -> FlexTensor {
        let [n, width] = gate_up.shape().dims();
        let [gate_up, dout] = [gate_up, dout].map(Floats::new);
        tensor(activation::swiglu_backward(gate_up.get(), dout.get(), width / 2), [n, width])
    }

    fn gelu_forward(x: FlexTensor) -> FlexTensor {
        let shape = x.shape();
        tensor(activation::gelu_forward(Floats::new(x).get()), shape)
    }

    fn gelu_backward(x: FlexTensor, dout: FlexTensor) -> FlexTensor {
        let shape = x.shape();
        let [x, dout] = [x, dout].map(Floats::new);
        tensor(activation::gelu_backward(x.get(), dout.get()), shape)
    }

    fn rope_rotate(x: FlexTensor, (turns, positions): Angles<Self>, direction: f32) -> FlexTensor {
        let shape = x.shape();
        let [_, _, heads, d] = shape.dims();
        let ([x, turns], positions) = ([x, turns].map(Floats::new), ints(positions));
        tensor(rope::rotate(x.get(), (turns.get(), positions.as_slice()), heads, d / 2, direction), shape)
    }

    fn split(qkv: FlexTensor, angles: Option<Angles<Self>>, heads: Heads, cache: Option<Cache<Self>>) -> [FlexTensor; 3] {
        let Heads { batch, time, queries, keys: kv, dim } = heads;
        let (qkv, angles) = (Floats::new(qkv), angles.map(|(turns, positions)| (Floats::new(turns), ints(positions))));
        let angles = angles.as_ref().map(|(turns, positions)| (turns.get(), positions.as_slice()));
        let [q, k, v] = rope::split(qkv.get(), angles, [queries, kv], dim);
        let [k, v] = [k, v].map(|x| tensor(x, [batch, time, kv, dim]));
        let [k, v] = match cache {
            Some(Cache { keys, values, start }) => [write::<Self>(keys, k, start), write::<Self>(values, v, start)],
            None => [k, v],
        };
        [tensor(q, [batch, time, queries, dim]), k, v]
    }

    fn pack(k: FlexTensor, v: FlexTensor, kept: [FlexTensor; 2], start: usize) -> [FlexTensor; 2] {
        let [b, t, kv, d] = k.shape().dims();
        let columns = [(0..b).into(), (start..start + t).into(), (0..kv).into(), (0..d / 2).into()];
        let [keys, values] = kept;
        [(keys, k), (values, v)].map(|(all, new)| {
            let words = cache::pack(Floats::new(new).get());
            Self::int_slice_assign(all, &columns, FlexTensor::from_data(TensorData::new(words, [b, t, kv, d / 2])))
        })
    }

    fn unpack(kept: [FlexTensor; 2]) -> [FlexTensor; 2] {
        kept.map(|words| {
            let [b, s, kv, half] = words.shape().dims();
            tensor(cache::unpack(&ints(words)), [b, s, kv, 2 * half])
        })
    }

    fn merge(dq: FlexTensor, dk: FlexTensor, dv: FlexTensor, angles: Option<Angles<Self>>, heads: Heads) -> FlexTensor {
        let Heads { batch, time, queries, keys: kv, dim } = heads;
        let [dq, dk, dv] = [dq, dk, dv].map(Floats::new);
        let angles = angles.map(|(turns, positions)| (Floats::new(turns), ints(positions)));
        let angles = angles.as_ref().map(|(turns, positions)| (turns.get(), positions.as_slice()));
        let d_qkv = rope::merge([dq.get(), dk.get(), dv.get()], angles, [queries, kv], dim);
        tensor(d_qkv, [batch * time, (queries + 2 * kv) * dim])
    }

    fn view(segment: &FlexTensor, at: usize, shape: Shape) -> FlexTensor {
        let flat = segment.reshape(Shape::new([segment.shape().num_elements()]));
        flat.narrow(0, at, shape.num_elements()).reshape(shape)
    }

    fn segment(_: &FlexTensor, len: usize, _: bool) -> FlexTensor {
        FlexTensor::zeros(Shape::new([len]), DType::F32)
    }
}

/// `values` over the numbers of `segment` from `at` on.
fn put(segment: &mut FlexTensor, at: usize, values: &[f32]) {
    segment.storage_mut::<f32>()[at..][..values.len()].copy_from_slice(values);
}

impl Untracked for Flex {
    fn copy(x: FlexTensor) -> FlexTensor {
        let x = Floats::new(x);
        tensor(ceiling::copy(x.get()), [x.get().len()])
    }

    fn fma(x: FlexTensor, rounds: usize, s: f32, t: f32) -> FlexTensor {
        let x = Floats::new(x);
        tensor(ceiling::fma(x.get(), rounds, s, t), [x.get().len()])
    }

    fn adamw(
        param: FlexTensor,
        grad: FlexTensor,
        m: FlexTensor,
        v: FlexTensor,
        clip: FlexTensor,
        rates: FlexTensor,
        update: Update,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let shape = param.shape();
        let [param, grad, m, v, clip, rates] = [param, grad, m, v, clip, rates].map(Floats::new);
        let rates = Rates::from_array(rates.get().try_into().expect("adamw checked how many"));
        let (param, m, v) = optim::adamw(param.get(), grad.get(), m.get(), v.get(), clip.get()[1], &rates, &update);
        (tensor(param, shape.clone()), tensor(m, shape.clone()), tensor(v, shape))
    }

    fn sum_squares(
        a: FlexTensor,
        b: FlexTensor,
        c: FlexTensor,
        d: FlexTensor,
        e: FlexTensor,
        f: FlexTensor,
        count: usize,
        mut partial: FlexTensor,
        mut at: usize,
    ) -> FlexTensor {
        for x in [a, b, c, d, e, f].into_iter().take(count) {
            let parts = square_parts(x.shape()[0]);
            put(&mut partial, at, &optim::sum_squares(Floats::new(x).get(), parts));
            at += parts;
        }
        partial
    }

    fn clip(partial: FlexTensor, last: FlexTensor, max_norm: f32) -> FlexTensor {
        tensor(optim::clip(Floats::new(partial).get(), Floats::new(last).get()[1], max_norm).to_vec(), [2])
    }

    fn rewards(
        logprobs: FlexTensor,
        ref_logprobs: FlexTensor,
        scores: FlexTensor,
        begins: FlexTensor,
        m: usize,
        kl: Kl,
        beta: f32,
    ) -> (FlexTensor, FlexTensor) {
        let shape = logprobs.shape();
        let [logprobs, ref_logprobs, scores] = [logprobs, ref_logprobs, scores].map(Floats::new);
        let (kl, rewards) = advantage::rewards(logprobs.get(), ref_logprobs.get(), scores.get(), &ints(begins), kl, beta);
        (tensor(kl, shape), tensor(rewards, [m]))
    }

    fn gae(rewards: FlexTensor, values: FlexTensor, begins: FlexTensor, n: usize, gamma: f32, lambda: f32) -> (FlexTensor, FlexTensor) {
        let shape = rewards.shape();
        let [rewards, values] = [rewards, values].map(Floats::new);
        let (advantages, returns) = advantage::gae(rewards.get(), values.get(), &ints(begins), gamma, lambda);
        (tensor(advantages, [n]), tensor(returns, shape))
    }

    fn whiten(x: FlexTensor, keep_mean: bool) -> FlexTensor {
        let shape = x.shape();
        tensor(advantage::whiten(Floats::new(x).get(), keep_mean), shape)
    }

    fn block_cached(
        x: FlexTensor,
        weights: FlexTensor,
        turns: FlexTensor,
        positions: FlexTensor,
        first: FlexTensor,
        last: FlexTensor,
        keys: FlexTensor,
        values: FlexTensor,
        start: usize,
        block: Block,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let operands = Operands { weights, angles: (turns, positions), first, last, block };
        forward_cached::<Self>(x, &operands, [keys, values], start)
    }

    fn block_cached_half(
        x: FlexTensor,
        weights: FlexTensor,
        turns: FlexTensor,
        positions: FlexTensor,
        first: FlexTensor,
        last: FlexTensor,
        keys: FlexTensor,
        values: FlexTensor,
        start: usize,
        block: Block,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let operands = Operands { weights, angles: (turns, positions), first, last, block };
        forward_cached_half::<Self>(x, &operands, [keys, values], start)
    }

    fn draw(
        logits: FlexTensor,
        facts: FlexTensor,
        seen: FlexTensor,
        tokens: FlexTensor,
        ids: FlexTensor,
        positions: FlexTensor,
        begins: FlexTensor,
        step: usize,
        settings: Settings,
    ) -> (FlexTensor, FlexTensor, FlexTensor, FlexTensor, FlexTensor, FlexTensor) {
        let [_, v] = logits.shape().dims();
        let logits = Floats::new(logits);
        let tensors = [facts, seen, tokens, ids, positions, begins];
        let [mut facts, mut seen, mut tokens, mut ids, mut positions, mut begins] = tensors.each_ref().map(|x| ints(x.clone()));
        if settings.has_threshold() {
            let thresholds = sampling::threshold(logits.get(), &seen, v, &settings);
            facts.chunks_mut(ROW).zip(thresholds).for_each(|(row, threshold)| row[ROW - 1] = threshold.to_bits() as i32);
        }
        let rows =
            Rows { facts: &facts, seen: &mut seen, tokens: &mut tokens, ids: &mut ids, positions: &mut positions, begins: &mut begins };
        sampling::draw(logits.get(), rows, step, v, &settings);
        let [facts, seen, tokens, ids, positions, begins] =
            std::array::from_fn(|i| int_like(&tensors[i], [&facts, &seen, &tokens, &ids, &positions, &begins][i]));
        (facts, seen, tokens, ids, positions, begins)
    }
}

/// Integers of the shape and type of `like`.
fn int_like(like: &FlexTensor, values: &[i32]) -> FlexTensor {
    match like.dtype() {
        DType::I32 => FlexTensor::from_data(TensorData::new(values.to_vec(), like.shape())),
        _ => FlexTensor::from_data(TensorData::new(values.iter().map(|&x| i64::from(x)).collect::<Vec<_>>(), like.shape())),
    }
}

//! The same maths composed of burn's own operations: what the kernels are measured and differentiated against.
//!
//! Not used for training: these make the T × S scores and the N × V probabilities.

use burn::tensor::activation::{gelu_approximate, log_sigmoid, log_softmax, silu, softmax};
use burn::tensor::{Int, Tensor};

/// As [`crate::attention`].
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, first: Tensor<2, Int>, last: Tensor<2, Int>, scale: f32) -> Tensor<4> {
    let [b, t, h, d] = q.dims();
    let [_, s, kv, _] = k.dims();
    let heads = |x: Tensor<4>| {
        let x = x.reshape([b, s, kv, 1, d]).repeat_dim(3, h / kv);
        x.reshape([b, s, h, d]).swap_dims(1, 2)
    };
    let key_s = Tensor::<1, Int>::arange(0..s as i64, &q.device()).reshape([1, 1, 1, s]).expand([b, 1, t, s]);
    let first_t = first.reshape([b, 1, t, 1]).expand([b, 1, t, s]);
    let last_t = last.reshape([b, 1, t, 1]).expand([b, 1, t, s]);
    let hidden = key_s.clone().lower(first_t).bool_or(key_s.greater(last_t));
    let seen = hidden.clone().bool_not().float();
    let scores = q.swap_dims(1, 2).matmul(heads(k).swap_dims(2, 3)).mul_scalar(scale);
    let masked = scores.mask_fill(hidden.expand([b, h, t, s]), -1e30);
    let weights = softmax(masked, 3) * seen.expand([b, h, t, s]);
    weights.matmul(heads(v)).swap_dims(1, 2)
}

/// The log p(target) of [`crate::token_logprob`] alone, `[N]`.
pub fn logprob(logits: Tensor<2>, targets: Tensor<1, Int>, temperature: f32) -> Tensor<1> {
    let [n, _] = logits.dims();
    log_softmax(logits.div_scalar(temperature), 1).gather(1, targets.reshape([n, 1])).reshape([n])
}

/// As [`crate::token_logprob`]: (log p(target), entropy, top-1 hit), all `[N]`.
pub fn token_logprob(logits: Tensor<2>, targets: Tensor<1, Int>, temperature: f32) -> [Tensor<1>; 3] {
    let [n, _] = logits.dims();
    let correct = logits.clone().argmax(1).reshape([n]).equal(targets.clone()).float();
    let logprobs_nv = log_softmax(logits.div_scalar(temperature), 1);
    let logprob = logprobs_nv.clone().gather(1, targets.reshape([n, 1])).reshape([n]);
    let entropy = (logprobs_nv.clone().exp() * logprobs_nv).sum_dim(1).reshape([n]).neg();
    [logprob, entropy, correct]
}

/// As [`crate::head_logprob`].
pub fn head_logprob(hidden: Tensor<2>, weight: Tensor<2>, targets: Tensor<1, Int>, temperature: f32) -> [Tensor<1>; 3] {
    token_logprob(hidden.matmul(weight.transpose()), targets, temperature)
}

/// As [`crate::gather()`].
pub fn gather(x: Tensor<2>, rows: Tensor<1, Int>) -> Tensor<2> {
    x.select(0, rows)
}

/// As [`crate::scatter_sum`] into `r` rows.
pub fn scatter_sum(x: Tensor<2>, rows: Tensor<1, Int>, r: usize) -> Tensor<2> {
    let d = x.dims()[1];
    Tensor::zeros([r, d], &x.device()).select_assign(0, rows, x, burn::tensor::IndexingUpdateOp::Add)
}

/// As [`crate::ppo_policy_loss`].
pub fn ppo_policy_loss(logprobs: Tensor<1>, old_logprobs: Tensor<1>, advantages: Tensor<1>, cliprange: f64) -> Tensor<1> {
    let ratio = (logprobs - old_logprobs).clamp(-20.0, 20.0).exp();
    let clipped = ratio.clone().clamp(1.0 - cliprange, 1.0 + cliprange);
    (-advantages.clone() * ratio).max_pair(-advantages * clipped)
}

/// As [`crate::ppo_value_loss`].
pub fn ppo_value_loss(values: Tensor<1>, old_values: Tensor<1>, returns: Tensor<1>, cliprange: f64) -> Tensor<1> {
    let moved = (values.clone() - old_values.clone()).clamp(-cliprange, cliprange);
    let clipped = (old_values + moved - returns.clone()).square();
    (values - returns).square().max_pair(clipped) * 0.5
}

/// As [`crate::pair_loss`].
pub fn pair_loss(x: Tensor<1>, base: Tensor<1>, lengths: Tensor<1>, weight: Tensor<1>, loss: &crate::PairLoss) -> Tensor<1> {
    let [p] = weight.dims();
    let halves = |x: Tensor<1>| [x.clone().narrow(0, 0, p), x.narrow(0, p, p)];
    let excess = x.clone() - base;
    let [w, l] = halves(if loss.normalised { excess / lengths.clone() } else { excess });
    let z = w - l;
    let (beta, e) = (loss.beta, loss.label_smoothing);
    let log = |sign: f32| log_sigmoid(z.clone() * (sign * beta));
    let f = match loss.kind {
        crate::PairKind::Sigmoid => -log(1.0) * (1.0 - e) - log(-1.0) * e,
        crate::PairKind::Hinge => (-(z * beta) + 1.0).clamp_min(0.0),
        crate::PairKind::Ipo => (z - 0.5 / beta).square(),
        crate::PairKind::Robust => (log(-1.0) * e - log(1.0) * (1.0 - e)) / (1.0 - 2.0 * e),
    };
    let [w, l] = halves(x);
    let [length, _] = halves(lengths);
    (f + (w.clone() + l).square() * loss.centring - w / length * loss.nll) * weight
}

/// As [`crate::ceiling::fma`].
pub fn fma(x: Tensor<1>, rounds: usize, s: f32, t: f32) -> Tensor<1> {
    let chain = |start: f64| (0..8 * rounds).fold(x.clone() + start, |y, _| y * s + t);
    chain(0.0) + chain(1.0) + chain(2.0)
}

/// As [`crate::rewards()`], with the step of every token `[N]` and the last step of every response `[B]`, of `m`.
pub fn rewards(
    [logprobs, ref_logprobs, scores]: [Tensor<1>; 3],
    [places, ends]: [Tensor<1, Int>; 2],
    m: usize,
    kl: crate::Kl,
    beta: f64,
) -> [Tensor<1>; 2] {
    let d = ref_logprobs - logprobs;
    let kl = match kl {
        crate::Kl::K1 => -d,
        crate::Kl::K3 => d.clone().exp() - 1.0 - d,
    };
    let add = burn::tensor::IndexingUpdateOp::Add;
    let penalties = Tensor::zeros([m], &kl.device()).select_assign(0, places, kl.clone() * -beta, add);
    [kl, penalties.select_assign(0, ends, scores, add)]
}

/// As [`crate::gae`], each response a row `[B,T]` with zeros behind it.
pub fn gae(rewards: Tensor<2>, values: Tensor<2>, gamma: f64, lambda: f64) -> [Tensor<2>; 2] {
    let [b, t] = values.dims();
    let column = |x: &Tensor<2>, at: usize| x.clone().narrow(1, at, 1);
    let [mut advantage, mut next_value] = [(); 2].map(|()| Tensor::zeros([b, 1], &values.device()));
    let mut columns = Vec::with_capacity(t);
    for at in (0..t).rev() {
        let value = column(&values, at);
        advantage = column(&rewards, at) + next_value * gamma - value.clone() + advantage * (gamma * lambda);
        next_value = value;
        columns.push(advantage.clone());
    }
    columns.reverse();
    let advantages = Tensor::cat(columns, 1);
    [advantages.clone(), advantages + values]
}

/// As [`crate::whiten`].
pub fn whiten(x: Tensor<1>, keep_mean: bool) -> Tensor<1> {
    let mean = x.clone().mean();
    let white = (x.clone() - mean.clone()) / (x.var(0) + 1e-8).sqrt();
    if keep_mean { white + mean } else { white }
}

/// As [`crate::total`].
pub fn total(x: Tensor<1>, factor: f64) -> Tensor<1> {
    x.sum() * factor
}

/// As [`crate::linear`] and its sisters; `extra` as a matrix that broadcasts.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, extra: Option<Tensor<2>>, layout: crate::Layout) -> Tensor<2> {
    let weight_io = if layout == crate::Layout::OutIn { weight.transpose() } else { weight };
    let y = x.matmul(weight_io);
    match extra {
        Some(extra) => y + extra,
        None => y,
    }
}

/// As [`crate::rms_norm`].
pub fn rms_norm(x: Tensor<2>, weight: Tensor<1>, eps: f32) -> Tensor<2> {
    let r = x.clone().powi_scalar(2).mean_dim(1).add_scalar(eps).sqrt();
    x / r * weight.unsqueeze()
}

/// As [`crate::layer_norm`].
pub fn layer_norm(x: Tensor<2>, weight: Tensor<1>, bias: Tensor<1>, eps: f32) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(1);
    let deviation = centred.clone().powi_scalar(2).mean_dim(1).add_scalar(eps).sqrt();
    centred / deviation * weight.unsqueeze() + bias.unsqueeze()
}

/// As [`crate::swiglu`].
pub fn swiglu(gate_up: Tensor<2>) -> Tensor<2> {
    let f = gate_up.dims()[1] / 2;
    silu(gate_up.clone().narrow(1, 0, f)) * gate_up.narrow(1, f, f)
}

/// As [`crate::gelu`].
pub fn gelu(x: Tensor<2>) -> Tensor<2> {
    gelu_approximate(x)
}

/// cos and sin `[B,T,D/2]` of the angles that [`crate::rope`] looks up itself.
pub fn angles(turns: Tensor<2>, positions: Tensor<2, Int>) -> [Tensor<3>; 2] {
    let ([b, t], [_, d]) = (positions.dims(), turns.dims());
    let rows = turns.select(0, positions.reshape([b * t])).reshape([b, t, d]);
    [0, d / 2].map(|first| rows.clone().narrow(2, first, d / 2))
}

/// As [`crate::rope`], of angles that were looked up.
pub fn rope(x: Tensor<4>, cos: Tensor<3>, sin: Tensor<3>) -> Tensor<4> {
    let [b, t, _, d] = x.dims();
    let (cos, sin) = (cos.reshape([b, t, 1, d / 2]), sin.reshape([b, t, 1, d / 2]));
    let (low, high) = (x.clone().narrow(3, 0, d / 2), x.narrow(3, d / 2, d / 2));
    let turned_low = low.clone() * cos.clone() - high.clone() * sin.clone();
    Tensor::cat(vec![turned_low, high * cos + low * sin], 3)
}

/// As [`crate::clip`] of one gradient and [`crate::adamw`]: (param, m, v).
#[expect(clippy::too_many_arguments, reason = "the operands of the equation")]
pub fn adamw(
    param: Tensor<1>,
    grad: Tensor<1>,
    m: Tensor<1>,
    v: Tensor<1>,
    max_norm: f32,
    decayed: usize,
    lr: f64,
    step: u64,
    cfg: &crate::AdamW,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    let norm = grad.clone().powi_scalar(2).sum().sqrt();
    let grad = grad * norm.add_scalar(1e-6).recip().mul_scalar(max_norm).clamp_max(1.0);
    let m = m.mul_scalar(cfg.beta1) + grad.clone().mul_scalar(1.0 - cfg.beta1);
    let v = v.mul_scalar(cfg.beta2) + grad.powi_scalar(2).mul_scalar(1.0 - cfg.beta2);
    let bias = |beta: f32| 1.0 - f64::from(beta).powf(step as f64);
    let (bias1, bias2) = (bias(cfg.beta1), bias(cfg.beta2));
    let direction = m.clone().div_scalar(bias1) / v.clone().div_scalar(bias2).sqrt().add_scalar(cfg.eps);
    let rest = param.dims()[0] - decayed;
    let kept = param.clone().narrow(0, 0, decayed).mul_scalar(1.0 - lr * f64::from(cfg.weight_decay));
    let param = if rest == 0 { kept } else { Tensor::cat(vec![kept, param.narrow(0, decayed, rest)], 0) } - direction.mul_scalar(lr);
    (param, m, v)
}

/// As [`crate::block`], every weight cut from the segment.
pub fn block(x: Tensor<2>, weights: Tensor<1>, positions: &crate::Positions, block: &crate::Block) -> Tensor<2> {
    with_keys(x, weights, positions, block, |keys, values| [keys, values])
}

/// As [`crate::block_cached`], without the cache that comes out of it.
pub fn block_cached(
    x: Tensor<2>,
    weights: Tensor<1>,
    positions: &crate::Positions,
    cache: [Tensor<4>; 2],
    start: usize,
    block: &crate::Block,
) -> Tensor<2> {
    let into = |cache: Tensor<4>, new: Tensor<4>| {
        let [b, t, kv, e] = new.dims();
        cache.slice_assign([0..b, start..start + t, 0..kv, 0..e], new)
    };
    let [old_keys, old_values] = cache;
    with_keys(x, weights, positions, block, |keys, values| [into(old_keys, keys), into(old_values, values)])
}

/// A block whose attention sees what `seen` makes of its keys and values.
fn with_keys(
    x: Tensor<2>,
    weights: Tensor<1>,
    positions: &crate::Positions,
    block: &crate::Block,
    seen: impl FnOnce(Tensor<4>, Tensor<4>) -> [Tensor<4>; 2],
) -> Tensor<2> {
    let places = block.places();
    let gpt2 = block.family == crate::Family::Gpt2;
    let layout = if gpt2 { crate::Layout::InOut } else { crate::Layout::OutIn };
    let (d, e) = (block.hidden_size, block.head_dim);
    let [b, t] = positions.first.dims();
    let vector = |at: usize, size: usize| weights.clone().narrow(0, at, size);
    let norm = |x: Tensor<2>, at: crate::Affine| match at.bias {
        Some(bias) => layer_norm(x, vector(at.weight, d), vector(bias, d), block.eps),
        None => rms_norm(x, vector(at.weight, d), block.eps),
    };
    let project = |x: Tensor<2>, at: crate::Affine, outputs: usize| {
        let inputs = x.dims()[1];
        let shape = if gpt2 { [inputs, outputs] } else { [outputs, inputs] };
        let bias = at.bias.map(|at| vector(at, outputs).unsqueeze());
        linear(x, vector(at.weight, inputs * outputs).reshape(shape), bias, layout)
    };

    let (h, kv) = (block.num_heads, block.num_kv_heads);
    let qkv = project(norm(x.clone(), places.attention_norm), places.qkv, (h + 2 * kv) * e).reshape([b, t, h + 2 * kv, e]);
    let turned = |first: usize, heads: usize, norm: usize| {
        let mut part = qkv.clone().narrow(2, first, heads);
        if let Some(at) = places.head_norms {
            let rows = part.reshape([b * t * heads, e]);
            part = rms_norm(rows, vector(at[norm], e), block.eps).reshape([b, t, heads, e]);
        }
        if gpt2 {
            return part;
        }
        let [cos, sin] = angles(positions.turns.clone(), positions.at.clone());
        rope(part, cos, sin)
    };
    let (q, [k, v]) = (turned(0, h, 0), seen(turned(h, kv, 1), qkv.clone().narrow(2, h + kv, kv)));
    let scale = (e as f32).sqrt().recip();
    let mixed = attention(q, k, v, positions.first.clone(), positions.last.clone(), scale).reshape([b * t, h * e]);
    let x = x + project(mixed, places.out, d);
    let f = block.intermediate_size;
    let raised = project(norm(x.clone(), places.mlp_norm), places.up, if gpt2 { f } else { 2 * f });
    let active = if gpt2 { gelu(raised) } else { swiglu(raised) };
    x + project(active, places.down, d)
}

/// As [`crate::draw`] from all tokens, by Gumbel noise: the same distribution, other draws.  logits `[B,V]` → `[B]`
pub fn draw(logits: Tensor<2>) -> Tensor<1, Int> {
    let [b, v] = logits.dims();
    let uniform = Tensor::<2>::random([b, v], burn::tensor::Distribution::Uniform(1e-6, 1.0), &logits.device());
    (logits - uniform.log().neg().log()).argmax(1).reshape([b])
}

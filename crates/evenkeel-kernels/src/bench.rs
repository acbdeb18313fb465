//! Each kernel timed against the same maths in burn's own operations, in turn on one device, beside what the device can do at best.
//!
//! The clock is an argument: the crate reads no time itself. Unless a row says otherwise it is forward and backward together. Short
//! work is done several times before one result is read, so that the read is not what is measured.

use std::cell::Cell;

use burn::tensor::{Device, Distribution, Int, Tensor, Transaction};

use crate::launch::{Variant, variant, with_variant};
use crate::sampling::{Drawing, Settings, Start};
use crate::{
    AdamW, Block, Family, KeysValues, Layout, PairKind, PairLoss, Positions, Responses, Rows, adamw, attention, block, block_cached,
    ceiling, clip, draw, gae, gather, head_logprob, linear, pair_loss, ppo_policy_loss, rms_norm, rope, stock, swiglu, token_logprob,
    total, whiten,
};

/// Timed runs of each side, and of one that takes longer than [`LONG_MS`].
const RUNS: usize = 7;
const RUNS_IF_LONG: usize = 3;
const LONG_MS: f64 = 1000.0;
/// Work is repeated until a run takes this long.
const RUN_MS: f64 = 20.0;
const MOST_REPEATS: usize = 256;
/// The default form is not timed where the maths is more than this: on a CPU it would take minutes.
const MOST_FLOPS_OF_DEFAULT_FORM: f64 = 1e9;

/// Numbers of the ceilings' work: more than a cache holds, and enough rounds that launching does not count.
const MOVED: usize = 1 << 23;
const COMPUTED: usize = 1 << 18;
const ROUNDS: usize = 128;

/// Times of the same work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    pub median_ms: f64,
    pub fastest_ms: f64,
    pub slowest_ms: f64,
}

impl Timing {
    /// # Panics
    /// Of no times.
    pub fn of(mut times_ms: Vec<f64>) -> Self {
        times_ms.sort_by(f64::total_cmp);
        let [fastest_ms, .., slowest_ms] = times_ms[..] else { return Self::of([times_ms[0]; 2].to_vec()) };
        Self { median_ms: times_ms[times_ms.len() / 2], fastest_ms, slowest_ms }
    }
}

/// The least that the maths needs, nothing computed or moved twice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Additions and multiplications.
    pub flops: f64,
    /// Of operands read and results written once by each of forward and backward.
    pub bytes: f64,
}

impl Work {
    fn new(flops: usize, numbers: usize) -> Self {
        Self { flops: flops as f64, bytes: 4.0 * numbers as f64 }
    }
}

/// What the device does at best, as [`ceiling`]'s kernels have it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceilings {
    pub flops_per_second: f64,
    pub bytes_per_second: f64,
}

impl Ceilings {
    /// The shortest time in which the work could be done.
    pub fn floor_ms(&self, work: Work) -> f64 {
        1e3 * (work.flops / self.flops_per_second).max(work.bytes / self.bytes_per_second)
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct BenchRow {
    pub kernel: &'static str,
    pub shape: String,
    pub work: Work,
    pub ours: Timing,
    /// The median of our default form, where the adapter is given another one.
    pub default_form_ms: Option<f64>,
    /// Burn's operations; nothing where the device refuses them, as when a tensor is larger than it can bind.
    pub burns: Option<Timing>,
    /// Bytes that the allocator holds after the work was done once, ours and burn's, operands and results included.
    pub reserved: [Option<u64>; 2],
    /// Measured in turn with the above.
    pub ceilings: Ceilings,
}

impl BenchRow {
    /// The shortest time that the ceilings allow, over ours.
    pub fn share_of_ceiling(&self) -> f64 {
        self.ceilings.floor_ms(self.work) / self.ours.median_ms
    }

    /// Burn's time over ours.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.burns?.median_ms / self.ours.median_ms)
    }
}

/// Times every kernel whose name contains `only` at a small language model's sizes, and tells each row as soon as it is known.
/// `clock` returns milliseconds since any fixed moment.
pub async fn kernels(device: &Device, clock: impl Fn() -> f64, only: &str, tell: impl FnMut(BenchRow)) {
    let timer = Timer { device: device.clone(), clock };
    let mut bench = Bench { device: device.clone().autodiff(), timer, only, tell };
    for sizes in [[4, 128, 4, 2, 32], [1, 256, 8, 4, 64], [1, 2048, 8, 8, 32]] {
        bench.attention(sizes).await;
    }
    for sizes in [[1024, 128, 512], [64, 128, 128], [512, 512, 512]] {
        bench.linear(sizes).await;
    }
    // The products of model M, and one that is large and square.
    for sizes in [[1024, 256, 768], [1024, 256, 256], [1024, 256, 2048], [1024, 1024, 256], [1024, 256, 4096], [1024, 1024, 1024]] {
        bench.product(sizes).await;
    }
    for sizes in [[512, 512], [64, 32_000]] {
        bench.token_logprob(sizes).await;
    }
    for sizes in [[1024, 128, 512], [2048, 256, 50_257], [512, 256, 50_257]] {
        bench.head_logprob(sizes).await;
    }
    bench.gather([512, 128, 1024]).await;
    bench.ppo_policy_loss(2048).await;
    bench.pair_loss(64).await;
    bench.gae([64, 32]).await;
    bench.total(1 << 16).await;
    bench.rms_norm([1024, 128]).await;
    bench.swiglu([1024, 512]).await;
    bench.rope([8, 128, 4, 32]).await;
    bench.block([8, 128]).await;
    for half in [false, true] {
        bench.block_cached([64, 48], half).await;
    }
    bench.adamw(1 << 20).await;
    bench.draw([64, 512]).await;
}

struct Bench<'a, C, T> {
    /// With autodiff.
    device: Device,
    timer: Timer<C>,
    only: &'a str,
    tell: T,
}

impl<C: Fn() -> f64, T: FnMut(BenchRow)> Bench<'_, C, T> {
    async fn attention(&mut self, [b, t, h, kv, d]: [usize; 5]) {
        let [q, k, v] = [h, kv, kv].map(|heads| self.random([b, t, heads, d]));
        let (first, last) = causal([b, t], &self.device);
        let scale = (d as f32).sqrt().recip();
        let operands = || (q.clone(), k.clone(), v.clone(), first.clone(), last.clone());
        let ours = || {
            let (q_in, k, v, first, last) = operands();
            gradient(attention(q_in, k, v, first, last, scale), &q)
        };
        let burns = || {
            let (q_in, k, v, first, last) = operands();
            gradient(stock::attention(q_in, k, v, first, last, scale), &q)
        };
        // Two products forward and four backward of every query with the keys that it sees.
        let work = Work::new(6 * 2 * b * h * d * t * (t + 1) / 2, 3 * b * t * d * (2 * h + 2 * kv));
        self.row("attention", format!("B {b}, T {t}, H {h}, K {kv}, D {d}"), work, ours, burns).await;
    }

    async fn linear(&mut self, [n, i, o]: [usize; 3]) {
        let (x, weight) = (self.random([n, i]), self.random([o, i]));
        let ours = || gradient(linear(x.clone(), weight.clone(), Layout::OutIn), &weight);
        let burns = || gradient(stock::linear(x.clone(), weight.clone(), None, Layout::OutIn), &weight);
        self.row("linear", format!("N {n}, I {i}, O {o}"), Work::new(6 * n * i * o, 3 * (n * i + i * o + n * o)), ours, burns).await;
    }

    /// Forward only.
    async fn product(&mut self, [n, i, o]: [usize; 3]) {
        let (x, weight) = (self.random([n, i]).inner(), self.random([o, i]).inner());
        let ours = || first(linear(x.clone(), weight.clone(), Layout::OutIn));
        let burns = || first(stock::linear(x.clone(), weight.clone(), None, Layout::OutIn));
        self.row("linear, forward", format!("N {n}, I {i}, O {o}"), Work::new(2 * n * i * o, n * i + i * o + n * o), ours, burns).await;
    }

    async fn token_logprob(&mut self, [n, v]: [usize; 2]) {
        let (logits, targets) = (self.random([n, v]), self.targets(n));
        let ours = || gradient(token_logprob(logits.clone(), targets.clone(), 1.0).logprob, &logits);
        let burns = || gradient(stock::logprob(logits.clone(), targets.clone(), 1.0), &logits);
        self.row("token_logprob", format!("N {n}, V {v}"), Work::new(7 * n * v, 3 * n * v), ours, burns).await;
    }

    async fn head_logprob(&mut self, [n, d, v]: [usize; 3]) {
        let (hidden, weight, targets) = (self.random([n, d]), self.random([v, d]), self.targets(n));
        let ours = || gradient(head_logprob(hidden.clone(), weight.clone(), targets.clone(), 1.0).logprob, &weight);
        let burns = || gradient(stock::logprob(hidden.clone().matmul(weight.clone().transpose()), targets.clone(), 1.0), &weight);
        let work = Work::new(6 * n * d * v, 3 * (n * d + v * d));
        self.row("head_logprob", format!("N {n}, D {d}, V {v}"), work, ours, burns).await;
    }

    async fn gather(&mut self, [r, d, n]: [usize; 3]) {
        let table = self.random([r, d]);
        let indices: Vec<i32> = (0..n).map(|i| (i * 7919 % r) as i32).collect();
        let rows = Rows::new(&indices, r, &self.device);
        let indices = Tensor::<1, Int>::from_data(indices.as_slice(), &self.device);
        let ours = || gradient(gather(table.clone(), &rows), &table);
        let burns = || gradient(stock::gather(table.clone(), indices.clone()), &table);
        self.row("gather", format!("R {r}, D {d}, N {n}"), Work::new(n * d, 3 * n * d + r * d), ours, burns).await;
    }

    async fn ppo_policy_loss(&mut self, n: usize) {
        let (logprobs, [old, advantages]) = (self.random([n]), [(); 2].map(|()| self.random([n]).detach()));
        let ours = || gradient(ppo_policy_loss(logprobs.clone(), old.clone(), advantages.clone(), 0.2), &logprobs);
        let burns = || gradient(stock::ppo_policy_loss(logprobs.clone(), old.clone(), advantages.clone(), 0.2), &logprobs);
        self.row("ppo_policy_loss", format!("N {n}"), Work::new(10 * n, 8 * n), ours, burns).await;
    }

    /// Whitened advantages: they have no gradient.
    async fn gae(&mut self, [b, t]: [usize; 2]) {
        let [rewards, values] = [(); 2].map(|()| self.random([b, t]).inner());
        let responses = Responses::new(&vec![t; b], &vec![t; b], &self.device);
        let flat = |x: &Tensor<2>| x.clone().reshape([b * t]);
        let ours = || first(whiten(gae(flat(&rewards), flat(&values), &responses, 0.99, 0.95).0, false));
        let burns = || first(stock::whiten(flat(&stock::gae(rewards.clone(), values.clone(), 0.99, 0.95)[0]), false));
        self.row("gae", format!("B {b}, T {t}"), Work::new(12 * b * t, 4 * b * t), ours, burns).await;
    }

    /// Bradley and Terry's.
    async fn pair_loss(&mut self, p: usize) {
        let scores = self.random([2 * p]);
        let [base, lengths, weight] =
            [(2 * p, 0.0), (2 * p, 1.0), (p, 1.0)].map(|(n, value)| Tensor::<1>::ones([n], &self.device.clone().inner()) * value);
        let loss = PairLoss { kind: PairKind::Sigmoid, beta: 1.0, label_smoothing: 0.0, normalised: false, centring: 0.0, nll: 0.0 };
        let operands = || (scores.clone(), base.clone(), lengths.clone(), weight.clone());
        let ours = || {
            let (x, base, lengths, weight) = operands();
            gradient(pair_loss(x, base, lengths, weight, &loss), &scores)
        };
        let burns = || {
            let (x, base, lengths, weight) = operands();
            gradient(stock::pair_loss(x, base, lengths, weight, &loss), &scores)
        };
        self.row("pair_loss", format!("P {p}"), Work::new(20 * p, 15 * p), ours, burns).await;
    }

    async fn total(&mut self, n: usize) {
        let x = self.random([n]);
        let ours = || gradient(total(x.clone(), 0.5), &x);
        let burns = || gradient(stock::total(x.clone(), 0.5), &x);
        self.row("total", format!("N {n}"), Work::new(n, 2 * n), ours, burns).await;
    }

    async fn rms_norm(&mut self, [n, d]: [usize; 2]) {
        let (x, weight) = (self.random([n, d]), self.random([d]));
        let ours = || gradient(rms_norm(x.clone(), weight.clone(), 1e-5), &x);
        let burns = || gradient(stock::rms_norm(x.clone(), weight.clone(), 1e-5), &x);
        self.row("rms_norm", format!("N {n}, D {d}"), Work::new(12 * n * d, 5 * n * d), ours, burns).await;
    }

    async fn swiglu(&mut self, [n, f]: [usize; 2]) {
        let gate_up = self.random([n, 2 * f]);
        let ours = || gradient(swiglu(gate_up.clone()), &gate_up);
        let burns = || gradient(stock::swiglu(gate_up.clone()), &gate_up);
        self.row("swiglu", format!("N {n}, F {f}"), Work::new(15 * n * f, 8 * n * f), ours, burns).await;
    }

    async fn rope(&mut self, [b, t, h, d]: [usize; 4]) {
        let x = self.random([b, t, h, d]);
        let (turns, at) = self.angles([b, t], d);
        let [cos, sin] = stock::angles(turns.clone(), at.clone());
        let ours = || gradient(rope(x.clone(), turns.clone(), at.clone()), &x);
        let burns = || gradient(stock::rope(x.clone(), cos.clone(), sin.clone()), &x);
        self.row("rope", format!("B {b}, T {t}, H {h}, D {d}"), Work::new(6 * b * t * h * d, 4 * b * t * h * d), ours, burns).await;
    }

    /// A whole block of model S.
    async fn block(&mut self, [b, t]: [usize; 2]) {
        let sizes = block_of_s();
        let (p, width) = (sizes.places().len, sizes.hidden_size);
        let (x, weights) = (self.random([b * t, width]), self.random([p]) * 0.05);
        let weights = weights.detach().require_grad();
        let positions = self.positions([b, t], sizes.head_dim);
        let ours = || gradient(block(x.clone(), weights.clone(), &positions, &sizes, false), &weights);
        let burns = || gradient(stock::block(x.clone(), weights.clone(), &positions, &sizes), &weights);
        let attention = 6 * 2 * b * sizes.num_heads * sizes.head_dim * t * (t + 1) / 2;
        let work = Work::new(6 * b * t * p + attention, 3 * p + 3 * b * t * width);
        self.row("block", format!("of model S, B {b}, T {t}"), work, ours, burns).await;
    }

    /// One token of every row through a block of model S whose cache holds `s` of them, in half precision where `half`; forward only.
    async fn block_cached(&mut self, [b, s]: [usize; 2], half: bool) {
        let sizes = block_of_s();
        let (p, width) = (sizes.places().len, sizes.hidden_size);
        let (x, weights) = (self.random([b, width]).inner(), (self.random([p]) * 0.05).inner());
        let [keys, values] = [(); 2].map(|()| self.random([b, s, sizes.num_kv_heads, sizes.head_dim]).inner());
        let positions = self.positions([b, 1], sizes.head_dim);
        let last = positions.last.clone() + (s as i32 - 1);
        let positions = Positions { last, ..positions };
        let kept = match half {
            true => KeysValues::zeros([b, s, sizes.num_kv_heads, sizes.head_dim], half, &x.device()),
            false => KeysValues::Float32([keys.clone(), values.clone()]),
        };
        // Another holder makes the operation copy the cache, burn's too; training gives it away.
        let ours = || first(block_cached(x.clone(), weights.clone(), &positions, kept.clone(), s - 1, &sizes).0);
        let burns = || first(stock::block_cached(x.clone(), weights.clone(), &positions, [keys.clone(), values.clone()], s - 1, &sizes));
        let attention = 4 * b * sizes.num_heads * sizes.head_dim * s;
        let work = Work::new(2 * b * p + attention, p + 2 * b * width + 2 * b * s * width);
        let precision = if half { ", f16" } else { "" };
        self.row("block_cached", format!("of model S, B {b}, S {s}{precision}"), work, ours, burns).await;
    }

    /// The update alone: it has no gradient.
    async fn adamw(&mut self, n: usize) {
        let device = self.device.clone();
        let [param, grad, m] = [(); 3].map(|()| self.random([n]).inner());
        let v = grad.clone().abs();
        let cfg = AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
        let operands = || (param.clone(), grad.clone(), m.clone(), v.clone());
        let ours = || {
            let (param, grad, m, v) = operands();
            let rates = cfg.rates(1e-3, 1, &device);
            first(adamw(param, grad.clone(), m, v, clip(&[grad], 1.0, None), rates, n, &cfg).0)
        };
        let burns = || {
            let (param, grad, m, v) = operands();
            first(stock::adamw(param, grad, m, v, 1.0, n, 1e-3, 1, &cfg).0)
        };
        self.row("adamw", format!("N {n}"), Work::new(16 * n, 8 * n), ours, burns).await;
    }

    /// One token of every row, against Gumbel noise and a maximum.
    async fn draw(&mut self, [b, v]: [usize; 2]) {
        let device = self.device.clone().inner();
        let logits = self.random([b, v]).inner();
        let settings = Settings { samples: true, top_k: 0, top_p: 1.0, min_p: 0.0, inv_temperature: 1.0, penalty: 1.0, context: 1 << 30 };
        let starts: Vec<_> = (0..b as u64).map(|seed| Start { seed, context: &[0], begins: 0 }).collect();
        // Handed on from draw to draw, as a rollout does: what somebody else holds would be copied first.
        let drawing = Cell::new(Some(Drawing::new(&starts, &[], 1, v, &settings, &device)));
        let ours = || {
            let drawn = draw(logits.clone(), drawing.take().expect("put back below"), 0, &settings);
            let ids = drawn.ids.clone().float();
            drawing.set(Some(drawn));
            ids
        };
        let burns = || stock::draw(logits.clone()).float();
        self.row("draw", format!("B {b}, V {v}"), Work::new(10 * b * v, b * v), ours, burns).await;
    }

    /// Tracked.
    fn random<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), &self.device).require_grad()
    }

    fn targets(&self, n: usize) -> Tensor<1, Int> {
        Tensor::arange(0..n as i64, &self.device)
    }

    /// Of every position cosines and sines, and every token's position.
    fn angles(&self, [b, t]: [usize; 2], d: usize) -> (Tensor<2>, Tensor<2, Int>) {
        let rows = Tensor::arange(0..t as i64, &self.device).reshape([1, t]).repeat_dim(0, b);
        (self.random([t, d]).detach(), rows)
    }

    fn positions(&self, [b, t]: [usize; 2], d: usize) -> Positions {
        let ((turns, at), (first, last)) = (self.angles([b, t], d), causal([b, t], &self.device));
        Positions { turns, at, first, last }
    }

    /// Each side by itself, for its memory, then all sides and the ceilings in turn.
    async fn row(&mut self, kernel: &'static str, shape: String, work: Work, ours: impl Fn() -> Tensor<1>, burns: impl Fn() -> Tensor<1>) {
        if !kernel.contains(self.only) {
            return;
        }
        let has_forms = ["attention", "linear"].iter().any(|with| kernel.starts_with(with));
        let has_other = has_forms && variant() != Variant::Default && work.flops <= MOST_FLOPS_OF_DEFAULT_FORM;
        let reserved = [self.timer.reserved(&ours).await, self.timer.reserved(&burns).await];

        let random = |n: usize| Tensor::<1>::random([n], Distribution::Normal(0.0, 1.0), &self.timer.device);
        let (long, short) = (random(MOVED), random(COMPUTED));
        let copied = || first(ceiling::copy(long.clone()));
        let computed = || first(ceiling::fma(short.clone(), ROUNDS, 0.9, 0.1));
        let default_form = || with_variant(Variant::Default, &ours);
        let mut sides: Vec<&dyn Fn() -> Tensor<1>> = vec![&ours, &burns, &copied, &computed];
        if has_other {
            sides.push(&default_form);
        }
        let timings = self.timer.in_turn(&sides).await;
        let per_second = |amount: usize, side: usize| amount as f64 / expected(timings[side]).median_ms * 1e3;
        (self.tell)(BenchRow {
            kernel,
            shape,
            work,
            ours: expected(timings[0]),
            default_form_ms: timings.get(4).map(|timing| expected(*timing).median_ms),
            burns: timings[1],
            reserved,
            ceilings: Ceilings {
                bytes_per_second: per_second(2 * 4 * MOVED, 2),
                flops_per_second: per_second(2 * ceiling::PRODUCTS_PER_ROUND * ROUNDS * COMPUTED, 3),
            },
        });
    }
}

fn expected(timing: Option<Timing>) -> Timing {
    timing.expect("the device does what is within WebGPU's limits")
}

struct Timer<C> {
    device: Device,
    clock: C,
}

impl<C: Fn() -> f64> Timer<C> {
    /// Bytes that the allocator holds after `run`, where it says and the device does not refuse.
    async fn reserved(&self, run: &impl Fn() -> Tensor<1>) -> Option<u64> {
        self.device.memory_cleanup();
        self.time(run, 1).await?;
        self.device.memory_pool_usage().map(|usage| usage.bytes_reserved)
    }

    /// Each side twice to compile and to see how long it takes, then all sides in turn; nothing of a side that the device refuses.
    async fn in_turn(&self, sides: &[&dyn Fn() -> Tensor<1>]) -> Vec<Option<Timing>> {
        let (mut repeats, mut runs) = (vec![], RUNS);
        for side in sides {
            self.time(side, 1).await;
            let once = self.time(side, 1).await;
            repeats.push(once.map(|once| ((RUN_MS / once) as usize).clamp(1, MOST_REPEATS)));
            if once > Some(LONG_MS) {
                runs = RUNS_IF_LONG;
            }
        }
        let mut times = vec![vec![]; sides.len()];
        for _ in 0..runs {
            for ((side, &repeats), times) in sides.iter().zip(&repeats).zip(&mut times) {
                let Some(repeats) = repeats else { continue };
                times.extend(self.time(side, repeats).await.map(|ms| ms / repeats as f64));
            }
        }
        times.into_iter().map(|times| (times.len() == runs).then(|| Timing::of(times))).collect()
    }

    /// Milliseconds from the first of the runs to what the last one gave; nothing where the device refuses.
    async fn time(&self, run: &(impl Fn() -> Tensor<1> + ?Sized), repeats: usize) -> Option<f64> {
        let start = (self.clock)();
        let last = (0..repeats).map(|_| run()).last().expect("at least one run");
        // Not `into_data_async`: what it returns waits for the device only when somebody looks at the numbers (burn 0.22.1).
        Transaction::default().register(last).execute_async().await.ok()?;
        Some((self.clock)() - start)
    }
}

/// The gradient of Σ output on `input`, as one number to wait for.
fn gradient<const D: usize, const E: usize>(output: Tensor<D>, input: &Tensor<E>) -> Tensor<1> {
    let numbers = output.shape().num_elements();
    let grads = total(output.reshape([numbers]), 1.0).backward();
    first(input.grad(&grads).expect("the input is tracked"))
}

/// One number to wait for.
fn first<const D: usize>(output: Tensor<D>) -> Tensor<1> {
    let numbers = output.shape().num_elements();
    output.reshape([numbers]).narrow(0, 0, 1)
}

/// First and last key of every query: all up to itself.
fn causal([b, t]: [usize; 2], device: &Device) -> (Tensor<2, Int>, Tensor<2, Int>) {
    let last = Tensor::<1, Int>::arange(0..t as i64, device).reshape([1, t]).expand([b, t]);
    (Tensor::zeros([b, t], device), last)
}

fn block_of_s() -> Block {
    Block {
        family: Family::Llama { head_norms: false },
        hidden_size: 128,
        num_heads: 4,
        num_kv_heads: 4,
        head_dim: 32,
        intermediate_size: 512,
        qkv_bias: false,
        out_bias: false,
        mlp_bias: false,
        eps: 1e-5,
    }
}

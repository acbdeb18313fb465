//! Each kernel timed against the same maths in burn's own operations, in turn on one device.
//!
//! The clock is an argument: the crate reads no time itself. Times are medians of forward and backward together, with a
//! read of one result so that nothing is left in a queue.

use burn::tensor::{Device, Distribution, Int, Tensor, Transaction};

use crate::launch::{Variant, variant, with_variant};
use crate::sampling::{Drawing, Settings, Start};
use crate::{
    AdamW, Layout, Rows, adamw, attention, clip, draw, gather, head_logprob, linear, ppo_policy_loss, rms_norm, rope, stock, swiglu,
    token_logprob,
};

/// Timed runs of each side, after one that compiles.
const RUNS: usize = 7;

/// One line of the table.
#[derive(Clone, Debug)]
pub struct BenchRow {
    pub kernel: &'static str,
    pub shape: String,
    /// Median milliseconds of forward and backward by our kernel.
    pub ours_ms: f64,
    /// The same by its default form, where the adapter is given another one.
    pub default_form_ms: Option<f64>,
    /// The same by burn's operations.
    pub stock_ms: f64,
}

/// Times every kernel at a small language model's sizes.  `clock` returns milliseconds since any fixed moment.
pub async fn rows(device: &Device, clock: impl Fn() -> f64) -> Vec<BenchRow> {
    let bench = Bench { device: device.clone().autodiff(), clock };
    let mut rows = vec![];
    for sizes in [[4, 128, 4, 2, 32], [1, 256, 8, 4, 64]] {
        rows.push(bench.attention(sizes).await);
    }
    for sizes in [[1024, 128, 512], [64, 128, 128], [512, 512, 512]] {
        rows.push(bench.linear(sizes).await);
    }
    for sizes in [[512, 512], [64, 32_000]] {
        rows.push(bench.token_logprob(sizes).await);
    }
    rows.push(bench.head_logprob([1024, 128, 512]).await);
    rows.push(bench.gather([512, 128, 1024]).await);
    rows.push(bench.ppo_policy_loss(2048).await);
    rows.push(bench.rms_norm([1024, 128]).await);
    rows.push(bench.swiglu([1024, 512]).await);
    rows.push(bench.rope([8, 128, 4, 32]).await);
    rows.push(bench.adamw(1 << 20).await);
    rows.push(bench.draw([64, 512]).await);
    rows
}

struct Bench<C> {
    device: Device,
    clock: C,
}

impl<C: Fn() -> f64> Bench<C> {
    async fn attention(&self, [b, t, h, kv, d]: [usize; 5]) -> BenchRow {
        let [q, k, v] = [h, kv, kv].map(|heads| self.random([b, t, heads, d]));
        let last = Tensor::<1, Int>::arange(0..t as i64, &self.device).reshape([1, t]).expand([b, t]);
        let first = Tensor::<2, Int>::zeros([b, t], &self.device);
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
        self.row("attention", format!("B {b}, T {t}, H {h}, K {kv}, D {d}"), ours, burns).await
    }

    async fn linear(&self, [n, i, o]: [usize; 3]) -> BenchRow {
        let (x, weight) = (self.random([n, i]), self.random([o, i]));
        let ours = || gradient(linear(x.clone(), weight.clone(), Layout::OutIn), &weight);
        let burns = || gradient(stock::linear(x.clone(), weight.clone(), None, Layout::OutIn), &weight);
        self.row("linear", format!("N {n}, I {i}, O {o}"), ours, burns).await
    }

    async fn token_logprob(&self, [n, v]: [usize; 2]) -> BenchRow {
        let (logits, targets) = self.logits([n, v]);
        let ours = || gradient(token_logprob(logits.clone(), targets.clone(), 1.0).logprob, &logits);
        let burns = || gradient(stock::token_logprob(logits.clone(), targets.clone(), 1.0)[0].clone(), &logits);
        self.row("token_logprob", format!("N {n}, V {v}"), ours, burns).await
    }

    async fn head_logprob(&self, [n, d, v]: [usize; 3]) -> BenchRow {
        let (hidden, weight) = (self.random([n, d]), self.random([v, d]));
        let targets: Tensor<1, Int> = Tensor::arange(0..n as i64, &self.device);
        let ours = || gradient(head_logprob(hidden.clone(), weight.clone(), targets.clone(), 1.0).logprob, &weight);
        let burns = || gradient(stock::head_logprob(hidden.clone(), weight.clone(), targets.clone(), 1.0)[0].clone(), &weight);
        self.row("head_logprob", format!("N {n}, D {d}, V {v}"), ours, burns).await
    }

    async fn gather(&self, [r, d, n]: [usize; 3]) -> BenchRow {
        let table = self.random([r, d]);
        let indices: Vec<i32> = (0..n).map(|i| (i * 7919 % r) as i32).collect();
        let rows = Rows::new(&indices, r, &self.device);
        let indices = Tensor::<1, Int>::from_data(indices.as_slice(), &self.device);
        let ours = || gradient(gather(table.clone(), &rows), &table);
        let burns = || gradient(stock::gather(table.clone(), indices.clone()), &table);
        self.row("gather", format!("R {r}, D {d}, N {n}"), ours, burns).await
    }

    async fn ppo_policy_loss(&self, n: usize) -> BenchRow {
        let (logprobs, [old, advantages]) = (self.random([n]), [(); 2].map(|()| self.random([n]).detach()));
        let ours = || gradient(ppo_policy_loss(logprobs.clone(), old.clone(), advantages.clone(), 0.2), &logprobs);
        let burns = || gradient(stock::ppo_policy_loss(logprobs.clone(), old.clone(), advantages.clone(), 0.2), &logprobs);
        self.row("ppo_policy_loss", format!("N {n}"), ours, burns).await
    }

    async fn rms_norm(&self, [n, d]: [usize; 2]) -> BenchRow {
        let (x, weight) = (self.random([n, d]), self.random([d]));
        let ours = || gradient(rms_norm(x.clone(), weight.clone(), 1e-5), &x);
        let burns = || gradient(stock::rms_norm(x.clone(), weight.clone(), 1e-5), &x);
        self.row("rms_norm", format!("N {n}, D {d}"), ours, burns).await
    }

    async fn swiglu(&self, [n, f]: [usize; 2]) -> BenchRow {
        let gate_up = self.random([n, 2 * f]);
        let ours = || gradient(swiglu(gate_up.clone()), &gate_up);
        let burns = || gradient(stock::swiglu(gate_up.clone()), &gate_up);
        self.row("swiglu", format!("N {n}, F {f}"), ours, burns).await
    }

    async fn rope(&self, [b, t, h, d]: [usize; 4]) -> BenchRow {
        let x = self.random([b, t, h, d]);
        let [cos, sin] = [(); 2].map(|()| self.random([b, t, d / 2]).detach());
        let ours = || gradient(rope(x.clone(), cos.clone(), sin.clone()), &x);
        let burns = || gradient(stock::rope(x.clone(), cos.clone(), sin.clone()), &x);
        self.row("rope", format!("B {b}, T {t}, H {h}, D {d}"), ours, burns).await
    }

    /// The update alone: it has no gradient.
    async fn adamw(&self, n: usize) -> BenchRow {
        let [param, grad, m] = [(); 3].map(|()| self.random([n]).inner());
        let v = grad.clone().abs();
        let cfg = AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
        let operands = || (param.clone(), grad.clone(), m.clone(), v.clone());
        let ours = || {
            let (param, grad, m, v) = operands();
            adamw(param, grad.clone(), m, v, clip(&[grad], 1.0, None), cfg.rates(1e-3, 1, &self.device), n, &cfg).0.narrow(0, 0, 1)
        };
        let burns = || {
            let (param, grad, m, v) = operands();
            stock::adamw(param, grad, m, v, 1.0, n, 1e-3, 1, &cfg).0.narrow(0, 0, 1)
        };
        self.row("adamw", format!("N {n}"), ours, burns).await
    }

    /// One token of every row, against Gumbel noise and a maximum.
    async fn draw(&self, [b, v]: [usize; 2]) -> BenchRow {
        let device = self.device.clone().inner();
        let logits = self.random([b, v]).inner();
        let settings = Settings { samples: true, top_k: 0, top_p: 1.0, min_p: 0.0, inv_temperature: 1.0, penalty: 1.0, context: v };
        let starts: Vec<_> = (0..b as u64).map(|seed| Start { seed, context: &[0], begins: 0 }).collect();
        let drawing = Drawing::new(&starts, &[], 1, v, &settings, &device);
        let ours = || draw(logits.clone(), drawing.clone(), 0, &settings).ids.float();
        let burns = || stock::draw(logits.clone()).float();
        self.row("draw", format!("B {b}, V {v}"), ours, burns).await
    }

    fn random<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), &self.device).require_grad()
    }

    /// logits [N,V], targets [N]
    fn logits(&self, [n, v]: [usize; 2]) -> (Tensor<2>, Tensor<1, Int>) {
        (self.random([n, v]), Tensor::arange(0..n as i64, &self.device))
    }

    /// Each side once to compile, then all sides in turn.
    async fn row(&self, kernel: &'static str, shape: String, ours: impl Fn() -> Tensor<1>, burns: impl Fn() -> Tensor<1>) -> BenchRow {
        let default_form = || with_variant(Variant::Default, &ours);
        let has_other = variant() != Variant::Default && ["attention", "linear"].contains(&kernel);
        let mut times = [vec![], vec![], vec![]];
        for run in 0..=RUNS {
            let mut taken = [self.time(&ours).await, self.time(&burns).await, 0.0];
            if has_other {
                taken[2] = self.time(&default_form).await;
            }
            if run > 0 {
                times.iter_mut().zip(taken).for_each(|(times, taken)| times.push(taken));
            }
        }
        let [ours_ms, stock_ms, default_form_ms] = times.map(median);
        BenchRow { kernel, shape, ours_ms, default_form_ms: has_other.then_some(default_form_ms), stock_ms }
    }

    async fn time(&self, run: &impl Fn() -> Tensor<1>) -> f64 {
        let start = (self.clock)();
        // Not `into_data_async`: what it returns waits for the device only when somebody looks at the numbers (burn 0.22.1).
        Transaction::default().register(run()).execute_async().await.expect("a result to read");
        (self.clock)() - start
    }
}

/// The gradient of Σ output on `input`, as one number to wait for.
fn gradient<const D: usize, const E: usize>(output: Tensor<D>, input: &Tensor<E>) -> Tensor<1> {
    let grads = output.sum().backward();
    input.grad(&grads).expect("the input is tracked").sum()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

//! Each kernel timed against the same maths in burn's own operations, in turn on one device.
//!
//! The clock is an argument: the crate reads no time itself. Times are medians of forward and backward together, with a
//! read of one result so that nothing is left in a queue.

use burn::tensor::{Device, Distribution, Int, Tensor};

use crate::{attention, cross_entropy, stock, token_logprob};

/// Timed runs of each side, after one that compiles.
const RUNS: usize = 7;

/// One line of the table.
#[derive(Clone, Debug)]
pub struct BenchRow {
    pub kernel: &'static str,
    pub shape: String,
    /// Median milliseconds of forward and backward by our kernel.
    pub ours_ms: f64,
    /// The same by burn's operations.
    pub stock_ms: f64,
}

/// Times every kernel at a small language model's sizes.  `clock` returns milliseconds since any fixed moment.
pub async fn rows(device: &Device, clock: impl Fn() -> f64) -> Vec<BenchRow> {
    let device = device.clone().autodiff();
    let mut rows = vec![];
    for [b, t, h, kv, d] in [[4, 128, 4, 2, 32], [1, 256, 8, 4, 64]] {
        let [q, k, v] = [h, kv, kv].map(|heads| random([b, t, heads, d], &device));
        let (first, last) = causal(b, t, &device);
        let scale = (d as f32).sqrt().recip();
        let ours = || gradient(attention(q.clone(), k.clone(), v.clone(), first.clone(), last.clone(), scale), &q);
        let other = || gradient(stock::attention(q.clone(), k.clone(), v.clone(), first.clone(), last.clone(), scale), &q);
        rows.push(BenchRow {
            kernel: "attention",
            shape: format!("B {b}, T {t}, H {h}, K {kv}, D {d}"),
            ours_ms: median(&clock, ours).await,
            stock_ms: median(&clock, other).await,
        });
    }
    for [n, v] in [[512, 512], [64, 32_000]] {
        let logits = random([n, v], &device);
        let targets = Tensor::<1, Int>::arange(0..n as i64, &device);
        let weights = Tensor::<1>::ones([n], &device);
        let shape = format!("N {n}, V {v}");
        let ours = || gradient(token_logprob(logits.clone(), targets.clone(), 1.0).logprob, &logits);
        let other = || gradient(stock::token_logprob(logits.clone(), targets.clone(), 1.0)[0].clone(), &logits);
        let (ours_ms, stock_ms) = (median(&clock, ours).await, median(&clock, other).await);
        rows.push(BenchRow { kernel: "token_logprob", shape: shape.clone(), ours_ms, stock_ms });
        let ours = || gradient(cross_entropy(logits.clone(), targets.clone(), weights.clone()).loss, &logits);
        let other = || gradient(stock::cross_entropy(logits.clone(), targets.clone(), weights.clone())[0].clone(), &logits);
        let (ours_ms, stock_ms) = (median(&clock, ours).await, median(&clock, other).await);
        rows.push(BenchRow { kernel: "cross_entropy", shape, ours_ms, stock_ms });
    }
    rows
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device).require_grad()
}

/// Every query sees itself and what came before.  → first, last, both [B,T]
fn causal(b: usize, t: usize, device: &Device) -> (Tensor<2, Int>, Tensor<2, Int>) {
    let last = Tensor::<1, Int>::arange(0..t as i64, device).reshape([1, t]).expand([b, t]);
    (Tensor::zeros([b, t], device), last)
}

/// The gradient of Σ output on `input`, as one number to wait for.
fn gradient<const D: usize, const E: usize>(output: Tensor<D>, input: &Tensor<E>) -> Tensor<1> {
    let grads = output.sum().backward();
    input.grad(&grads).expect("the input is tracked").sum()
}

async fn median(clock: &impl Fn() -> f64, run: impl Fn() -> Tensor<1>) -> f64 {
    run().into_data_async().await.expect("a result to read");
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = clock();
        run().into_data_async().await.expect("a result to read");
        times.push(clock() - start);
    }
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}

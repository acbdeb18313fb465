//! The inputs: odd sizes, outliers, empty and padded spans, packed documents, grouped heads, ties.
//!
//! A case runs on any device, forward and backward, through the public functions or through `stock`.

use burn::tensor::{Device, Tensor};
use evenkeel_kernels::{attention, stock, token_logprob};

use crate::common::{Numbers, Output, floats, ints, read, with_outliers};

/// Whose arithmetic: the kernels' or burn's own operations.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Maths {
    Ours,
    Stock,
}

/// Which keys a query sees.
#[derive(Clone, Copy, Debug)]
pub enum Spans {
    /// All up to itself; queries are the last T of S positions.
    Causal,
    /// As causal, the first `i` positions of row `i` are padding, and so are their queries.
    LeftPadded,
    /// As causal, the last `i` positions of row `i` are padding, and so are their queries.
    RightPadded,
    /// Documents of 5 positions that do not see each other.
    Packed,
    /// Any two ends, empty ones included.
    Random,
}

pub struct AttentionCase {
    pub name: &'static str,
    /// [B, T, S, H, K, D]
    pub sizes: [usize; 6],
    pub spans: Spans,
    pub outliers: bool,
}

pub const ATTENTION: &[AttentionCase] = &[
    AttentionCase { name: "smallest", sizes: [1, 1, 1, 1, 1, 1], spans: Spans::Causal, outliers: false },
    AttentionCase { name: "odd", sizes: [2, 13, 29, 4, 2, 5], spans: Spans::Causal, outliers: false },
    AttentionCase { name: "left padded", sizes: [3, 29, 29, 2, 1, 33], spans: Spans::LeftPadded, outliers: false },
    AttentionCase { name: "right padded", sizes: [3, 29, 29, 2, 2, 33], spans: Spans::RightPadded, outliers: false },
    AttentionCase { name: "packed", sizes: [2, 37, 37, 3, 3, 16], spans: Spans::Packed, outliers: false },
    AttentionCase { name: "words", sizes: [2, 13, 70, 4, 2, 20], spans: Spans::Random, outliers: false },
    AttentionCase { name: "left padded, words", sizes: [3, 37, 37, 2, 1, 36], spans: Spans::LeftPadded, outliers: false },
    AttentionCase { name: "wide head", sizes: [1, 19, 23, 4, 2, 128], spans: Spans::Random, outliers: false },
    AttentionCase { name: "outliers, words", sizes: [2, 13, 29, 4, 2, 20], spans: Spans::Random, outliers: true },
    AttentionCase { name: "outliers", sizes: [2, 13, 29, 4, 2, 64], spans: Spans::Random, outliers: true },
    AttentionCase { name: "one token, long cache", sizes: [2, 1, 70, 4, 1, 65], spans: Spans::Causal, outliers: false },
];

impl AttentionCase {
    /// (first, last), each [B,T].
    pub fn ends(&self) -> (Vec<i32>, Vec<i32>) {
        let [b, t, s, ..] = self.sizes;
        let mut numbers = Numbers::new(7);
        let rows = (0..b).flat_map(|row| (0..t).map(move |i| (row as i32, (s - t.min(s) + i) as i32)));
        let ends = rows.map(|(row, at)| match self.spans {
            Spans::Causal => (0, at),
            Spans::LeftPadded if at < row => (0, -1),
            Spans::LeftPadded => (row, at),
            Spans::RightPadded if at >= s as i32 - row => (0, -1),
            Spans::RightPadded => (0, at),
            Spans::Packed => (at - at % 5, at),
            Spans::Random => (numbers.below(s) as i32 - 2, numbers.below(s) as i32),
        });
        ends.unzip()
    }

    /// out and the gradients of Σ out · dout on q, k, v.
    pub fn run(&self, maths: Maths, device: &Device) -> Vec<Output> {
        let [b, t, s, h, kv, d] = self.sizes;
        let device = device.clone().autodiff();
        let mut numbers = Numbers::new(1);
        let mut next = |n: usize| match self.outliers {
            true => with_outliers(numbers.many(n, 3.0)),
            false => numbers.many(n, 1.5),
        };
        let q = floats(&next(b * t * h * d), [b, t, h, d], &device).require_grad();
        let k = floats(&next(b * s * kv * d), [b, s, kv, d], &device).require_grad();
        let v = floats(&next(b * s * kv * d), [b, s, kv, d], &device).require_grad();
        let dout = floats(&Numbers::new(2).many(b * t * h * d, 1.0), [b, t, h, d], &device);
        let (first, last) = self.ends();
        let (first, last) = (ints(&first, [b, t], &device), ints(&last, [b, t], &device));
        let scale = (d as f32).sqrt().recip();
        let out = match maths {
            Maths::Ours => attention(q.clone(), k.clone(), v.clone(), first, last, scale),
            Maths::Stock => stock::attention(q.clone(), k.clone(), v.clone(), first, last, scale),
        };
        let grads = (out.clone() * dout).sum().backward();
        let grad = |x: &Tensor<4>| read(x.grad(&grads).expect("a gradient of every input"));
        vec![
            Output { name: "dq", values: grad(&q) },
            Output { name: "dk", values: grad(&k) },
            Output { name: "dv", values: grad(&v) },
            Output { name: "out", values: read(out) },
        ]
    }
}

pub struct LogitsCase {
    pub name: &'static str,
    /// [N, V]
    pub sizes: [usize; 2],
    pub temperature: f32,
    pub outliers: bool,
}

pub const LOGITS: &[LogitsCase] = &[
    LogitsCase { name: "smallest", sizes: [1, 1], temperature: 1.0, outliers: false },
    LogitsCase { name: "odd", sizes: [5, 517], temperature: 0.7, outliers: false },
    LogitsCase { name: "outliers", sizes: [7, 1757], temperature: 1.0, outliers: true },
    LogitsCase { name: "hot", sizes: [3, 256], temperature: 2.5, outliers: true },
    LogitsCase { name: "a real vocabulary", sizes: [64, 32_000], temperature: 1.0, outliers: false },
    LogitsCase { name: "few columns", sizes: [19, 3], temperature: 1.0, outliers: false },
];

impl LogitsCase {
    /// Logits with a tie for the largest in rows 0 and 1, targets that are sometimes the argmax, of a tie the first or the last.
    fn inputs(&self) -> (Vec<f32>, Vec<i32>) {
        let [n, v] = self.sizes;
        let mut numbers = Numbers::new(3);
        let mut logits = numbers.many(n * v, 5.0);
        if self.outliers {
            logits = with_outliers(logits);
        }
        (logits[v / 2], logits[v - 1]) = (101.0, 101.0);
        let mut targets: Vec<_> = (0..n).map(|_| numbers.below(v) as i32).collect();
        targets[0] = (v / 2) as i32;
        if n > 1 {
            (logits[v + v / 2], logits[2 * v - 1], targets[1]) = (101.0, 101.0, v as i32 - 1);
        }
        for i in (2..n).step_by(2) {
            let row = &logits[i * v..][..v];
            targets[i] = (0..v).max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("V > 0") as i32;
        }
        (logits, targets)
    }

    /// log p, entropy, top-1 hit, and the gradient of Σ (g0 log p + g1 entropy) on the logits.
    pub fn run_logprob(&self, maths: Maths, device: &Device) -> Vec<Output> {
        let [n, v] = self.sizes;
        let device = device.clone().autodiff();
        let (logits, targets) = self.inputs();
        let logits = floats(&logits, [n, v], &device).require_grad();
        let targets = ints(&targets, [n], &device);
        let [logprob, entropy, correct] = match maths {
            Maths::Ours => {
                let stats = token_logprob(logits.clone(), targets, self.temperature);
                [stats.logprob, stats.entropy, stats.correct]
            }
            Maths::Stock => stock::token_logprob(logits.clone(), targets, self.temperature),
        };
        let mut numbers = Numbers::new(4);
        let g = [(); 2].map(|()| floats(&numbers.many(n, 1.0), [n], &device));
        let [g_logprob, g_entropy] = g;
        let loss = (logprob.clone() * g_logprob + entropy.clone() * g_entropy).sum();
        let grads = loss.backward();
        vec![
            Output { name: "dlogits", values: read(logits.grad(&grads).expect("a gradient")) },
            Output { name: "logprob", values: read(logprob) },
            Output { name: "entropy", values: read(entropy) },
            Output { name: "correct", values: read(correct) },
        ]
    }
}

//! The inputs of the smaller kernels of a transformer block and of its optimiser; as `cases.rs`.

use burn::tensor::{Device, Int, Tensor};
use evenkeel_kernels::{
    AdamW, Kl, Layout, PairKind, PairLoss, Responses, Rows, adamw, ceiling, clip, gae, gather, gelu, head_logprob, layer_norm, linear,
    linear_bias, linear_residual, pair_loss, pick, ppo_policy_loss, ppo_value_loss, rewards, rms_norm, rope, scatter_sum, stock, swiglu,
    token_logprob, total, whiten,
};

use crate::cases::Maths;
use crate::common::{Numbers, Output, floats, ints, read, with_outliers};
use crate::transformer_cases::{run_dense_llama, run_gpt2, run_half_dense_llama, run_half_llama, run_llama, run_qwen3, run_sharp_llama};

pub struct BlockCase {
    pub name: &'static str,
    /// What they mean is the function's: [N, D, _], or [B·T, H, D].
    pub sizes: [usize; 3],
    pub run: fn([usize; 3], Maths, &Device) -> Vec<Output>,
}

pub const BLOCKS: &[BlockCase] = &[
    BlockCase { name: "linear, smallest", sizes: [1, 1, 1], run: run_linear },
    BlockCase { name: "linear, odd", sizes: [67, 37, 71], run: run_linear },
    BlockCase { name: "linear, one row", sizes: [1, 65, 130], run: run_linear },
    BlockCase { name: "linear, whole tiles", sizes: [64, 16, 128], run: run_linear },
    BlockCase { name: "linear, words", sizes: [67, 100, 72], run: run_linear },
    BlockCase { name: "linear, words, some rows", sizes: [45, 100, 72], run: run_linear },
    BlockCase { name: "linear, panels", sizes: [130, 140, 132], run: run_linear },
    BlockCase { name: "linear, whole panels", sizes: [66, 128, 64], run: run_linear },
    BlockCase { name: "linear, words, few rows", sizes: [7, 36, 44], run: run_linear },
    BlockCase { name: "linear, words, one row", sizes: [1, 64, 132], run: run_linear },
    BlockCase { name: "gather, smallest", sizes: [1, 1, 1], run: run_gather },
    BlockCase { name: "gather, odd", sizes: [37, 13, 71], run: run_gather },
    BlockCase { name: "gather, words", sizes: [37, 12, 71], run: run_gather },
    BlockCase { name: "pick, odd", sizes: [37, 1, 71], run: run_pick },
    BlockCase { name: "scatter_sum, odd", sizes: [37, 5, 71], run: run_scatter_sum },
    BlockCase { name: "head_logprob, odd", sizes: [29, 33, 67], run: run_head },
    BlockCase { name: "head_logprob, words", sizes: [37, 36, 67], run: run_head },
    BlockCase { name: "head_logprob, panels", sizes: [70, 68, 75], run: run_head },
    BlockCase { name: "head_logprob, stretches", sizes: [130, 8, 50_257], run: run_head },
    BlockCase { name: "ppo losses", sizes: [517, 0, 0], run: run_ppo_losses },
    BlockCase { name: "pair losses", sizes: [67, 0, 0], run: run_pair_losses },
    BlockCase { name: "ceiling, odd", sizes: [517, 3, 0], run: run_ceiling },
    BlockCase { name: "ceiling, words", sizes: [1516, 1, 0], run: run_ceiling },
    BlockCase { name: "total", sizes: [1517, 0, 0], run: run_total },
    BlockCase { name: "advantages, smallest", sizes: [1, 1, 0], run: run_advantages },
    BlockCase { name: "advantages, odd", sizes: [67, 71, 0], run: run_advantages },
    BlockCase { name: "rms_norm, smallest", sizes: [1, 1, 0], run: run_rms_norm },
    BlockCase { name: "rms_norm, odd", sizes: [29, 33, 0], run: run_rms_norm },
    BlockCase { name: "rms_norm, words", sizes: [29, 36, 0], run: run_rms_norm },
    BlockCase { name: "rms_norm, wide", sizes: [5, 517, 0], run: run_rms_norm },
    BlockCase { name: "layer_norm, smallest", sizes: [1, 2, 0], run: run_layer_norm },
    BlockCase { name: "layer_norm, odd", sizes: [29, 33, 0], run: run_layer_norm },
    BlockCase { name: "layer_norm, words", sizes: [29, 36, 0], run: run_layer_norm },
    BlockCase { name: "layer_norm, wide", sizes: [5, 517, 0], run: run_layer_norm },
    BlockCase { name: "layer_norm, wide words", sizes: [5, 1100, 0], run: run_layer_norm },
    BlockCase { name: "gelu, odd", sizes: [13, 41, 0], run: run_gelu },
    BlockCase { name: "gelu, words", sizes: [13, 44, 0], run: run_gelu },
    BlockCase { name: "swiglu", sizes: [13, 41, 0], run: run_swiglu },
    BlockCase { name: "swiglu, words", sizes: [13, 44, 0], run: run_swiglu },
    BlockCase { name: "swiglu, several workgroups", sizes: [37, 29, 0], run: run_swiglu },
    BlockCase { name: "rope", sizes: [13, 3, 10], run: run_rope },
    BlockCase { name: "rope, words", sizes: [13, 3, 24], run: run_rope },
    BlockCase { name: "rope, one head", sizes: [29, 1, 2], run: run_rope },
    BlockCase { name: "adamw", sizes: [517, 1, 0], run: run_adamw },
    BlockCase { name: "adamw, third step", sizes: [7757, 3, 0], run: run_adamw },
    BlockCase { name: "adamw, words", sizes: [7760, 3, 0], run: run_adamw },
    BlockCase { name: "clip, not finite", sizes: [700, 0, 0], run: run_not_finite },
    BlockCase { name: "block of Llama, odd", sizes: [2, 5, 2], run: run_llama },
    BlockCase { name: "block of Llama, no padding", sizes: [1, 17, 10], run: run_dense_llama },
    BlockCase { name: "block of Llama, long", sizes: [1, 70, 61], run: run_llama },
    BlockCase { name: "block of Llama, long and sharp", sizes: [1, 70, 61], run: run_sharp_llama },
    BlockCase { name: "block of Llama, half, odd", sizes: [3, 21, 9], run: run_half_llama },
    BlockCase { name: "block of Llama, half, words", sizes: [2, 37, 20], run: run_half_dense_llama },
    BlockCase { name: "block of Qwen3, odd", sizes: [2, 5, 2], run: run_qwen3 },
    BlockCase { name: "block of GPT-2, odd", sizes: [2, 5, 2], run: run_gpt2 },
];

/// Both layouts, a bias and a residual, one after another.  x [N,I] → [N,O] → [N,I] → [N,I] → [N,I]
fn run_linear([n, i, o]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let device = device.clone().autodiff();
    let mut numbers = Numbers::new(17);
    let mut next = |rows: usize, columns: usize, scale: f32| floats::<2>(&numbers.many(rows * columns, scale), [rows, columns], &device);
    let x = next(n, i, 1.0).require_grad();
    let (up, down) = (next(o, i, 0.3).require_grad(), next(o, i, 0.3).require_grad());
    let mixer = next(i, i, 0.3).require_grad();
    let bias = next(1, i, 1.0).require_grad();
    let dy = next(n, i, 1.0);
    let y = match maths {
        Maths::Ours => {
            let inner = linear(x.clone(), up.clone(), Layout::OutIn);
            let out = linear_bias(inner, down.clone(), bias.clone().reshape([i]), Layout::InOut);
            linear_residual(out, mixer.clone(), x.clone(), Layout::OutIn)
        }
        Maths::Stock => {
            let inner = stock::linear(x.clone(), up.clone(), None, Layout::OutIn);
            let out = stock::linear(inner, down.clone(), Some(bias.clone()), Layout::InOut);
            stock::linear(out, mixer.clone(), Some(x.clone()), Layout::OutIn)
        }
    };
    let grads = (y.clone() * dy).sum().backward();
    let inputs = [("dx", &x), ("dup", &up), ("ddown", &down), ("dmixer", &mixer), ("dbias", &bias)];
    let mut outputs: Vec<_> =
        inputs.into_iter().map(|(name, x)| Output { name, values: read(x.grad(&grads).expect("a gradient")) }).collect();
    outputs.push(Output { name: "y", values: read(y) });
    outputs
}

/// table [R,D], some rows gathered often, some never → [N,D]
fn run_gather([r, d, n]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let device = device.clone().autodiff();
    let mut numbers = Numbers::new(22);
    let table = floats(&numbers.many(r * d, 1.0), [r, d], &device).require_grad();
    let rows: Vec<i32> = (0..n).map(|i| if i % 3 == 0 { (r - 1) as i32 } else { numbers.below(r) as i32 }).collect();
    let out = match maths {
        Maths::Ours => gather(table.clone(), &Rows::new(&rows, r, &device)),
        Maths::Stock => stock::gather(table.clone(), ints(&rows, [n], &device)),
    };
    let dout = floats(&numbers.many(n * d, 1.0), [n, d], &device);
    let grads = (out.clone() * dout).sum().backward();
    vec![Output { name: "dtable", values: read(table.grad(&grads).expect("a gradient")) }, Output { name: "out", values: read(out) }]
}

/// Numbers of a vector, without a gradient.
fn run_pick([r, _, n]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let mut numbers = Numbers::new(29);
    let x = floats::<1>(&numbers.many(r, 1.0), [r], device);
    let places: Vec<i32> = (0..n).map(|_| numbers.below(r) as i32).collect();
    let places = ints(&places, [n], device);
    let out = if maths == Maths::Ours { pick(x, places) } else { x.select(0, places) };
    vec![Output { name: "out", values: read(out) }]
}

/// x [N,D] into R rows, of which some get many, some none.
fn run_scatter_sum([r, d, n]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let device = device.clone().autodiff();
    let mut numbers = Numbers::new(25);
    let x = floats(&numbers.many(n * d, 1.0), [n, d], &device).require_grad();
    let rows: Vec<i32> = (0..n).map(|i| if i % 3 == 0 { (r - 1) as i32 } else { numbers.below(r) as i32 }).collect();
    let out = match maths {
        Maths::Ours => scatter_sum(x.clone(), &Rows::new(&rows, r, &device)),
        Maths::Stock => stock::scatter_sum(x.clone(), ints(&rows, [n], &device), r),
    };
    let dout = floats(&numbers.many(r * d, 1.0), [r, d], &device);
    let grads = (out.clone() * dout).sum().backward();
    vec![Output { name: "dx", values: read(x.grad(&grads).expect("a gradient")) }, Output { name: "out", values: read(out) }]
}

/// hidden [N,D] → log p, entropy and hit of one of V; temperature, and a gradient through both.
fn run_head([n, d, v]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let device = device.clone().autodiff();
    let mut numbers = Numbers::new(20);
    let hidden = floats(&numbers.many(n * d, 1.0), [n, d], &device).require_grad();
    let weight = floats(&numbers.many(v * d, 1.0), [v, d], &device).require_grad();
    let targets: Vec<i32> = (0..n).map(|_| numbers.below(v) as i32).collect();
    let targets = ints(&targets, [n], &device);
    let [logprob, entropy, correct] = match maths {
        Maths::Ours => {
            let stats = head_logprob(hidden.clone(), weight.clone(), targets, 0.8);
            [stats.logprob, stats.entropy, stats.correct]
        }
        Maths::Stock => stock::head_logprob(hidden.clone(), weight.clone(), targets, 0.8),
    };
    let [g_logprob, g_entropy] = [(); 2].map(|()| floats::<1>(&numbers.many(n, 1.0), [n], &device));
    let grads = (logprob.clone() * g_logprob + entropy.clone() * g_entropy).sum().backward();
    vec![
        Output { name: "dhidden", values: read(hidden.grad(&grads).expect("a gradient")) },
        Output { name: "dweight", values: read(weight.grad(&grads).expect("a gradient")) },
        Output { name: "logprob", values: read(logprob) },
        Output { name: "entropy", values: read(entropy) },
        Output { name: "correct", values: read(correct) },
    ]
}

/// New numbers near and far from the old, on both sides of what is wanted; a few log-ratios that would overflow.
fn run_ppo_losses([n, _, _]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let device = device.clone().autodiff();
    let mut numbers = Numbers::new(24);
    let mut new = numbers.many(n, 0.6);
    new.iter_mut().step_by(101).for_each(|x| *x *= 400.0);
    let (new, [old, target, dloss]) =
        (floats::<1>(&new, [n], &device).require_grad(), [0.3, 1.0, 1.0].map(|scale| floats::<1>(&numbers.many(n, scale), [n], &device)));
    let losses = match maths {
        Maths::Ours => [ppo_policy_loss, ppo_value_loss],
        Maths::Stock => [stock::ppo_policy_loss, stock::ppo_value_loss],
    };
    let outputs = losses.iter().zip([["policy", "dlogprob"], ["value", "dvalue"]]).flat_map(|(loss, names)| {
        let loss = loss(new.clone(), old.clone(), target.clone(), 0.2);
        let grads = (loss.clone() * dloss.clone()).sum().backward();
        // A ratio of e^20 leaves nothing to compare in f32: its logarithm does.
        let values = [read(loss), read(new.grad(&grads).expect("a gradient"))];
        names.into_iter().zip(values.map(|v| v.into_iter().map(|x| x.signum() * x.abs().ln_1p()).collect()))
    });
    outputs.map(|(name, values)| Output { name, values }).collect()
}

/// Every kind, plain and with all that can be added.
fn run_pair_losses([p, _, _]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let device = device.clone().autodiff();
    let mut numbers = Numbers::new(26);
    // Some differences are so large that a sigmoid has long been 0 or 1.
    let x = floats::<1>(&with_outliers(numbers.many(2 * p, 6.0)), [2 * p], &device).require_grad();
    let base = floats::<1>(&numbers.many(2 * p, 6.0), [2 * p], &device);
    let lengths: Vec<f32> = (0..2 * p).map(|_| 1.0 + numbers.below(9) as f32).collect();
    let [weight, dloss] = [(); 2].map(|()| floats::<1>(&numbers.many(p, 1.0), [p], &device));
    let lengths = floats::<1>(&lengths, [2 * p], &device);
    let plain = PairLoss { kind: PairKind::Sigmoid, beta: 0.3, label_smoothing: 0.0, normalised: false, centring: 0.0, nll: 0.0 };
    let losses = [
        ("sigmoid", plain),
        ("all", PairLoss { label_smoothing: 0.1, normalised: true, centring: 0.01, nll: 0.5, ..plain }),
        ("hinge", PairLoss { kind: PairKind::Hinge, ..plain }),
        ("ipo", PairLoss { kind: PairKind::Ipo, normalised: true, ..plain }),
        ("robust", PairLoss { kind: PairKind::Robust, label_smoothing: 0.2, ..plain }),
    ];
    let outputs = losses.into_iter().flat_map(|(name, loss)| {
        let of = if maths == Maths::Ours { pair_loss } else { stock::pair_loss };
        let out = of(x.clone(), base.clone(), lengths.clone(), weight.clone(), &loss);
        let grads = (out.clone() * dloss.clone()).sum().backward();
        [Output { name, values: read(out) }, Output { name: "dx", values: read(x.grad(&grads).expect("a gradient")) }]
    });
    outputs.collect()
}

/// Not differentiable; burn's own operations say what is meant, though the kernel's products are fused with their sums.
fn run_ceiling([n, rounds, _]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let x = floats::<1>(&Numbers::new(28).many(n, 1.0), [n], device);
    let [copied, made] = match maths {
        Maths::Ours => [ceiling::copy(x.clone()), ceiling::fma(x, rounds, -0.9, 0.3)],
        Maths::Stock => [x.clone(), stock::fma(x, rounds, -0.9, 0.3)],
    };
    vec![Output { name: "copy", values: read(copied) }, Output { name: "fma", values: read(made) }]
}

fn run_total([n, _, _]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let device = device.clone().autodiff();
    let x = floats::<1>(&Numbers::new(27).many(n, 1.0), [n], &device).require_grad();
    let out = if maths == Maths::Ours { total(x.clone(), -0.37) } else { stock::total(x.clone(), -0.37) };
    let grads = (out.clone() * 1.7).backward();
    let logits = floats::<2>(&Numbers::new(30).many(5 * 7, 1.0), [5, 7], &device).require_grad();
    let targets = ints(&[3, 0, 6, 2, 2], [5], &device);
    let all = match maths {
        Maths::Ours => token_logprob(logits.clone(), targets, 1.0).total_logprob(-0.2),
        Maths::Stock => stock::total(stock::logprob(logits.clone(), targets, 1.0), -0.2),
    };
    let of_all = all.backward();
    vec![
        Output { name: "dx", values: read(x.grad(&grads).expect("a gradient")) },
        Output { name: "out", values: read(out) },
        Output { name: "d_logits", values: read(logits.grad(&of_all).expect("a gradient")) },
        Output { name: "of log-probabilities", values: read(all) },
    ]
}

/// From log-probabilities to whitened advantages, of responses of 1 to `most` tokens, every third with a step past the last one. Targets
/// are constants: there is no gradient to compare.
fn run_advantages([b, most, _]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    const BETA: f64 = 0.3;
    const GAMMA: f64 = 0.97;
    const LAMBDA: f64 = 0.9;
    let mut numbers = Numbers::new(28);
    let tokens: Vec<usize> = (0..b).map(|row| if row % 5 == 0 { most } else { 1 + numbers.below(most) }).collect();
    let steps: Vec<usize> = (0..b).map(|row| tokens[row] + usize::from(row % 3 == 1)).collect();
    let (n, m) = (tokens.iter().sum::<usize>(), steps.iter().sum::<usize>());
    // Differences of up to 4, whose k3 is large, between many whose k3 is small.
    let logprobs = floats::<1>(&with_outliers(numbers.many(n, 0.2)), [n], device);
    let reference = floats::<1>(&numbers.many(n, 0.2), [n], device);
    let (scores, values) = (floats::<1>(&numbers.many(b, 2.0), [b], device), floats::<1>(&numbers.many(m, 1.0), [m], device));
    let outputs = [("k1", Kl::K1), ("k3", Kl::K3)].into_iter().flat_map(|(name, kl)| {
        let of_all = [logprobs.clone(), reference.clone(), scores.clone()];
        let [kls, given, shifted, advantages, returns, white] = match maths {
            Maths::Ours => {
                let responses = Responses::new(&tokens, &steps, device);
                let [logprobs, reference, scores] = of_all;
                let (kls, given) = rewards(logprobs, reference, scores, &responses, kl, BETA);
                let shifted = whiten(given.clone(), true);
                let (advantages, returns) = gae(shifted.clone(), values.clone(), &responses, GAMMA, LAMBDA);
                [kls, given, shifted, advantages.clone(), returns, whiten(advantages, false)]
            }
            Maths::Stock => {
                let padded = Padded::new(&tokens, &steps, device);
                let [kls, given] = stock::rewards(of_all, [padded.places.clone(), padded.ends.clone()], m, kl, BETA);
                let shifted = if m > 1 { stock::whiten(given.clone(), true) } else { given.clone() };
                let rows = [&shifted, &values].map(|x| padded.of(x.clone()));
                let [advantages, returns] = stock::gae(rows[0].clone(), rows[1].clone(), GAMMA, LAMBDA).map(|x| x.reshape([padded.cells]));
                let advantages = advantages.select(0, padded.tokens.clone());
                let white = if n > 1 { stock::whiten(advantages.clone(), false) } else { advantages.clone() };
                [kls, given, shifted, advantages, returns.select(0, padded.steps.clone()), white]
            }
        };
        [(name, kls), ("rewards", given), ("shifted", shifted), ("advantages", advantages), ("returns", returns), ("white", white)]
    });
    outputs.map(|(name, values)| Output { name, values: read(values) }).collect()
}

/// Responses as rows of as many cells, as burn's operations want them.
struct Padded {
    rows: usize,
    cells: usize,
    /// The step of every cell, one past all of them where there is none.
    all: Tensor<1, Int>,
    /// The cells of all tokens, and of all steps.
    tokens: Tensor<1, Int>,
    steps: Tensor<1, Int>,
    /// The steps of all tokens, and the last one of every response.
    places: Tensor<1, Int>,
    ends: Tensor<1, Int>,
}

impl Padded {
    fn new(tokens: &[usize], steps: &[usize], device: &Device) -> Self {
        let (rows, width, m) = (steps.len(), steps.iter().max().expect("a response"), steps.iter().sum::<usize>());
        let begins: Vec<usize> = (0..rows).map(|row| steps[..row].iter().sum()).collect();
        let list = |values: Vec<usize>| ints(&values.iter().map(|&x| x as i32).collect::<Vec<_>>(), [values.len()], device);
        let each = |lengths: &[usize], place: &dyn Fn(usize, usize) -> usize| {
            list((0..rows).flat_map(|row| (0..lengths[row]).map(move |t| place(row, t))).collect())
        };
        Self {
            rows,
            cells: rows * width,
            all: each(&vec![*width; rows], &|row, t| if t < steps[row] { begins[row] + t } else { m }),
            tokens: each(tokens, &|row, t| row * width + t),
            steps: each(steps, &|row, t| row * width + t),
            places: each(tokens, &|row, t| begins[row] + t),
            ends: list((0..rows).map(|row| begins[row] + steps[row] - 1).collect()),
        }
    }

    /// x [M] → [B,T], zeros behind each response
    fn of(&self, x: Tensor<1>) -> Tensor<2> {
        let with_zero = Tensor::cat(vec![x.clone(), Tensor::zeros([1], &x.device())], 0);
        with_zero.select(0, self.all.clone()).reshape([self.rows, self.cells / self.rows])
    }
}

/// Large enough that forgetting it shows.
pub const EPS: f32 = 1e-2;

fn run_rms_norm([n, d, _]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let device = device.clone().autodiff();
    let mut numbers = Numbers::new(11);
    let x = floats(&with_outliers(numbers.many(n * d, 0.5)), [n, d], &device).require_grad();
    let weight = floats(&numbers.many(d, 1.0), [d], &device).require_grad();
    let y = match maths {
        Maths::Ours => rms_norm(x.clone(), weight.clone(), EPS),
        Maths::Stock => stock::rms_norm(x.clone(), weight.clone(), EPS),
    };
    let dy = floats(&numbers.many(n * d, 1.0), [n, d], &device);
    let grads = (y.clone() * dy).sum().backward();
    vec![
        Output { name: "dx", values: read(x.grad(&grads).expect("a gradient")) },
        Output { name: "dweight", values: read(weight.grad(&grads).expect("a gradient")) },
        Output { name: "y", values: read(y) },
    ]
}

fn run_layer_norm([n, d, _]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let device = device.clone().autodiff();
    let mut numbers = Numbers::new(16);
    let off_centre: Vec<_> = with_outliers(numbers.many(n * d, 0.5)).iter().map(|x| x + 3.0).collect();
    let x = floats(&off_centre, [n, d], &device).require_grad();
    let weight = floats(&numbers.many(d, 1.0), [d], &device).require_grad();
    let bias = floats(&numbers.many(d, 1.0), [d], &device).require_grad();
    let y = match maths {
        Maths::Ours => layer_norm(x.clone(), weight.clone(), bias.clone(), EPS),
        Maths::Stock => stock::layer_norm(x.clone(), weight.clone(), bias.clone(), EPS),
    };
    let dy = floats(&numbers.many(n * d, 1.0), [n, d], &device);
    let grads = (y.clone() * dy).sum().backward();
    vec![
        Output { name: "dx", values: read(x.grad(&grads).expect("a gradient")) },
        Output { name: "dweight", values: read(weight.grad(&grads).expect("a gradient")) },
        Output { name: "dbias", values: read(bias.grad(&grads).expect("a gradient")) },
        Output { name: "y", values: read(y) },
    ]
}

fn run_swiglu([n, f, _]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    run_activation([n, 2 * f, f], device, if maths == Maths::Ours { swiglu } else { stock::swiglu })
}

fn run_gelu([n, f, _]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    run_activation([n, f, f], device, if maths == Maths::Ours { gelu } else { stock::gelu })
}

/// x [N,inputs] → [N,outputs]
fn run_activation([n, inputs, outputs]: [usize; 3], device: &Device, activation: fn(Tensor<2>) -> Tensor<2>) -> Vec<Output> {
    let device = device.clone().autodiff();
    let x = floats(&with_outliers(Numbers::new(12).many(n * inputs, 5.0)), [n, inputs], &device).require_grad();
    let out = activation(x.clone());
    let dout = floats(&Numbers::new(13).many(n * outputs, 1.0), [n, outputs], &device);
    let grads = (out.clone() * dout).sum().backward();
    vec![Output { name: "dx", values: read(x.grad(&grads).expect("a gradient")) }, Output { name: "out", values: read(out) }]
}

/// Of `positions` positions d/2 cosines and as many sines, of any angles.
pub fn turns(numbers: &mut Numbers, positions: usize, d: usize, device: &Device) -> Tensor<2> {
    let angles = numbers.many(positions * (d / 2), 3.0);
    let [cos, sin] = [f32::cos, f32::sin].map(|f| {
        let of_all: Vec<_> = angles.iter().map(|&angle| f(angle)).collect();
        floats(&of_all, [positions, d / 2], device)
    });
    Tensor::cat(vec![cos, sin], 1)
}

fn run_rope([t, h, d]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let device = device.clone().autodiff();
    let mut numbers = Numbers::new(14);
    let x = floats(&numbers.many(t * h * d, 2.0), [1, t, h, d], &device).require_grad();
    let turns = turns(&mut numbers, t, d, &device);
    let positions: Vec<i32> = (0..t).map(|token| (token * 7 % t) as i32).collect();
    let positions = ints(&positions, [1, t], &device);
    let out: Tensor<4> = match maths {
        Maths::Ours => rope(x.clone(), turns, positions),
        Maths::Stock => {
            let [cos, sin] = stock::angles(turns, positions);
            stock::rope(x.clone(), cos, sin)
        }
    };
    let dout = floats(&numbers.many(t * h * d, 1.0), [1, t, h, d], &device);
    let grads = (out.clone() * dout).sum().backward();
    vec![Output { name: "dx", values: read(x.grad(&grads).expect("a gradient")) }, Output { name: "out", values: read(out) }]
}

/// `steps` updates, the third part of the numbers without decay; the caller keeps the first parameter, so the first update
/// must not write over it.
fn run_adamw([n, steps, _]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let mut numbers = Numbers::new(15);
    let start = floats(&numbers.many(n, 1.0), [n], device);
    let cfg = AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-6, weight_decay: 0.1 };
    let (max_norm, decayed) = (0.5, n - n / 3);
    let mut state = (start.clone(), Tensor::zeros([n], device), Tensor::zeros([n], device));
    for step in 1..=steps as u64 {
        let grad = floats(&numbers.many(n, 1.0), [n], device);
        let (param, m, v) = state;
        state = match maths {
            Maths::Ours => {
                // More than one launch sums, and one that it has no tensor for.
                let part = |i: usize| grad.clone().narrow(0, n * i / 8, n * (i + 1) / 8 - n * i / 8);
                let parts: [_; 8] = std::array::from_fn(part);
                adamw(param, grad, m, v, clip(&parts, max_norm, None), cfg.rates(0.01, step, device), decayed, &cfg)
            }
            Maths::Stock => stock::adamw(param, grad, m, v, max_norm, decayed, 0.01, step, &cfg),
        };
    }
    let (param, m, v) = state;
    vec![
        Output { name: "param", values: read(param) },
        Output { name: "m", values: read(m) },
        Output { name: "v", values: read(v) },
        Output { name: "start", values: read(start) },
    ]
}

/// A gradient with one infinite number in it must leave everything as it is.
fn run_not_finite([n, _, _]: [usize; 3], _: Maths, device: &Device) -> Vec<Output> {
    let mut numbers = Numbers::new(19);
    let [param, m, v] = [(); 3].map(|()| floats(&numbers.many(n, 1.0), [n], device));
    let cfg = AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-6, weight_decay: 0.1 };
    let mut grad = numbers.many(n, 1.0);
    grad[n - 1] = f32::INFINITY;
    let grad = floats(&grad, [n], device);
    let first = clip(std::slice::from_ref(&grad), 1.0, None);
    // A gradient of the next step is fine, and yet nothing moves any more.
    let second = clip(std::slice::from_ref(&m), 1.0, Some(first.clone()));
    let scales = [&first, &second].map(|clip| read(clip.clone())[1]).to_vec();
    let (param, m, v) = adamw(param, grad, m, v, first, cfg.rates(0.01, 1, device), n, &cfg);
    let named = [("scale", scales), ("param", read(param)), ("m", read(m)), ("v", read(v))];
    named.into_iter().map(|(name, values)| Output { name, values }).collect()
}

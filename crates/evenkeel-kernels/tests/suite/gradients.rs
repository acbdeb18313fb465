//! Values and gradients against the same maths composed of burn's operations, and against central differences.

use burn::tensor::Device;
use evenkeel_kernels::{attention, token_logprob};

use crate::block_cases::BLOCKS;
use crate::cases::{ATTENTION, LOGITS, Maths, Spans};
use crate::common::{Numbers, Tolerance, compare, cpu, floats, gpu, ints, read};
use crate::twins::HALF_TOLERANCE;

/// Both sides round in f32, burn's longer chain of operations more often.
const STOCK_TOLERANCE: Tolerance = Tolerance { abs: 1e-4, rel: 1e-3 };

fn equals_stock(device: &Device, chosen: impl Fn(&str) -> bool) {
    for case in BLOCKS.iter().filter(|case| chosen(case.name)) {
        let run = |maths| (case.run)(case.sizes, maths, device);
        let tolerance = if case.name.contains("half") { HALF_TOLERANCE } else { STOCK_TOLERANCE };
        compare(&run(Maths::Ours), &run(Maths::Stock), tolerance).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    }
    for case in ATTENTION.iter().filter(|case| chosen(case.name)) {
        let (ours, stock) = (case.run(Maths::Ours, device), case.run(Maths::Stock, device));
        compare(&ours, &stock, STOCK_TOLERANCE).unwrap_or_else(|e| panic!("attention, {}: {e}", case.name));
    }
    for case in LOGITS.iter().filter(|case| chosen(case.name)) {
        let (ours, stock) = (case.run_logprob(Maths::Ours, device), case.run_logprob(Maths::Stock, device));
        compare(&ours, &stock, STOCK_TOLERANCE).unwrap_or_else(|e| panic!("token_logprob, {}: {e}", case.name));
    }
}

#[test]
fn kernels_equal_stock_operations_on_the_cpu() {
    equals_stock(&cpu(), |_| true);
}

#[test]
fn kernels_equal_stock_operations_on_the_gpu() {
    if let Some(device) = gpu("kernels_equal_stock_operations_on_the_gpu") {
        // One case of each: burn compiles a shader for every operation and shape, and the twins cover the rest.
        equals_stock(&device, |name| name.contains("odd") || name == "swiglu" || name == "rope" || name == "adamw");
    }
}

/// Half the distance between the two evaluations: large against f32 rounding, small against curvature.
const STEP: f32 = 1e-2;
/// Rounding of an f32 sum of order 1 divided by 2 · STEP, plus the cubic term.
const DIFFERENCE_TOLERANCE: f32 = 1e-3;

/// Central differences of `f` at `x` against `gradient`.
fn differences(name: &str, x: &[f32], gradient: &[f32], f: impl Fn(&[f32]) -> f32) {
    for i in 0..x.len() {
        let at = |step: f32| {
            let mut x = x.to_vec();
            x[i] += step;
            f(&x)
        };
        let slope = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        let error = (slope - gradient[i]).abs();
        assert!(error <= DIFFERENCE_TOLERANCE, "{name}[{i}]: gradient {}, difference {slope}", gradient[i]);
    }
}

#[test]
fn attention_slopes_are_central_differences() {
    let [b, t, s, h, kv, d] = [1, 2, 3, 2, 1, 2];
    let device = cpu().autodiff();
    let x = Numbers::new(5).many(b * t * h * d + 2 * b * s * kv * d, 1.0);
    let dout = Numbers::new(6).many(b * t * h * d, 1.0);
    let value = |x: &[f32]| {
        let (q, kv_values) = x.split_at(b * t * h * d);
        let (k, v) = kv_values.split_at(b * s * kv * d);
        let q = floats(q, [b, t, h, d], &device).require_grad();
        let k = floats(k, [b, s, kv, d], &device).require_grad();
        let v = floats(v, [b, s, kv, d], &device).require_grad();
        let (first, last) = (ints(&[0, 1], [b, t], &device), ints(&[1, 2], [b, t], &device));
        let out = attention(q.clone(), k.clone(), v.clone(), first, last, 0.8);
        ((out * floats(&dout, [b, t, h, d], &device)).sum(), [q, k, v])
    };
    let (loss, inputs) = value(&x);
    let grads = loss.backward();
    let gradient: Vec<_> = inputs.iter().flat_map(|x| read(x.grad(&grads).unwrap())).collect();
    differences("attention", &x, &gradient, |x| read(value(x).0)[0]);
}

#[test]
fn logit_slopes_are_central_differences() {
    let [n, v] = [3, 5];
    let device = cpu().autodiff();
    let x = Numbers::new(8).many(n * v, 1.5);
    let targets = ints(&[4, 0, 2], [n], &device);
    let logprob = |x: &[f32]| {
        let logits = floats(x, [n, v], &device).require_grad();
        let stats = token_logprob(logits.clone(), targets.clone(), 1.3);
        ((stats.logprob + stats.entropy.mul_scalar(0.7)).sum(), logits)
    };
    let (loss, logits) = logprob(&x);
    let gradient = read(logits.grad(&loss.backward()).unwrap());
    differences("token_logprob", &x, &gradient, |x| read(logprob(x).0)[0]);
}

#[test]
fn a_query_that_sees_nothing_is_zero_and_takes_no_gradient() {
    let case = ATTENTION.iter().find(|case| matches!(case.spans, Spans::LeftPadded)).unwrap();
    let devices = [Some(cpu()), gpu("a_query_that_sees_nothing_is_zero_and_takes_no_gradient")];
    for device in devices.into_iter().flatten() {
        let outputs = case.run(Maths::Ours, &device);
        let [_, t, _, h, _, d] = case.sizes;
        let (_, last) = case.ends();
        let empty: Vec<_> = (0..last.len()).filter(|&row| last[row] < 0).collect();
        assert_eq!(empty, [t, 2 * t, 2 * t + 1]);
        for name in ["out", "dq"] {
            let values = &outputs.iter().find(|output| output.name == name).unwrap().values;
            let all_zero = empty.iter().all(|row| values[row * h * d..][..h * d].iter().all(|&x| x == 0.0));
            assert!(all_zero, "{name} of an empty span is not 0");
        }
    }
}

#[test]
fn tensors_without_autodiff_give_the_same_values() {
    for device in [Some(cpu()), gpu("tensors_without_autodiff_give_the_same_values")].into_iter().flatten() {
        let logits = Numbers::new(9).many(4 * 11, 3.0);
        let run = |device: &Device| {
            let targets = ints(&[1, 10, 3, 0], [4], device);
            let stats = token_logprob(floats(&logits, [4, 11], device), targets, 1.0);
            [read(stats.logprob), read(stats.entropy), read(stats.correct)].concat()
        };
        assert_eq!(run(&device), run(&device.clone().autodiff()));
    }
}

#[test]
fn tensors_of_both_contexts_mix() {
    for device in [Some(cpu()), gpu("tensors_of_both_contexts_mix")].into_iter().flatten() {
        let autodiff = device.clone().autodiff();
        let logits = floats(&Numbers::new(9).many(2 * 7, 3.0), [2, 7], &autodiff).require_grad();
        let grads = token_logprob(logits.clone(), ints(&[1, 6], [2], &device), 1.0).logprob.sum().backward();
        assert!(logits.grad(&grads).is_some());
    }
}

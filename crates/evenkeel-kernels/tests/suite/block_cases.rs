//! The inputs of the smaller kernels of a transformer block and of its optimiser; as `cases.rs`.

use burn::tensor::{Device, Tensor};
use evenkeel_kernels::{AdamW, Layout, adamw, linear, linear_bias, linear_residual, rms_norm, rope, stock, swiglu};

use crate::cases::Maths;
use crate::common::{Numbers, Output, floats, read, with_outliers};

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
    BlockCase { name: "rms_norm, smallest", sizes: [1, 1, 0], run: run_rms_norm },
    BlockCase { name: "rms_norm, odd", sizes: [29, 33, 0], run: run_rms_norm },
    BlockCase { name: "rms_norm, wide", sizes: [5, 517, 0], run: run_rms_norm },
    BlockCase { name: "swiglu", sizes: [13, 41, 0], run: run_swiglu },
    BlockCase { name: "swiglu, several workgroups", sizes: [37, 29, 0], run: run_swiglu },
    BlockCase { name: "rope", sizes: [13, 3, 10], run: run_rope },
    BlockCase { name: "rope, one head", sizes: [29, 1, 2], run: run_rope },
    BlockCase { name: "adamw", sizes: [517, 1, 0], run: run_adamw },
    BlockCase { name: "adamw, third step", sizes: [1757, 3, 0], run: run_adamw },
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

/// Large enough that forgetting it shows.
const EPS: f32 = 1e-2;

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

fn run_swiglu([n, f, _]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let device = device.clone().autodiff();
    let mut numbers = Numbers::new(12);
    let mut next = |scale: f32| floats(&with_outliers(numbers.many(n * f, scale)), [n, f], &device).require_grad();
    let (gate, up) = (next(5.0), next(1.0));
    let out = match maths {
        Maths::Ours => swiglu(gate.clone(), up.clone()),
        Maths::Stock => stock::swiglu(gate.clone(), up.clone()),
    };
    let dout = floats(&Numbers::new(13).many(n * f, 1.0), [n, f], &device);
    let grads = (out.clone() * dout).sum().backward();
    vec![
        Output { name: "dgate", values: read(gate.grad(&grads).expect("a gradient")) },
        Output { name: "dup", values: read(up.grad(&grads).expect("a gradient")) },
        Output { name: "out", values: read(out) },
    ]
}

fn run_rope([t, h, d]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let device = device.clone().autodiff();
    let mut numbers = Numbers::new(14);
    let x = floats(&numbers.many(t * h * d, 2.0), [1, t, h, d], &device).require_grad();
    let angles = numbers.many(t * d / 2, 3.0);
    let [cos, sin] = [f32::cos, f32::sin].map(|f| {
        let table: Vec<_> = angles.iter().map(|&angle| f(angle)).collect();
        floats::<3>(&table, [1, t, d / 2], &device)
    });
    let out: Tensor<4> = match maths {
        Maths::Ours => rope(x.clone(), cos, sin),
        Maths::Stock => stock::rope(x.clone(), cos, sin),
    };
    let dout = floats(&numbers.many(t * h * d, 1.0), [1, t, h, d], &device);
    let grads = (out.clone() * dout).sum().backward();
    vec![Output { name: "dx", values: read(x.grad(&grads).expect("a gradient")) }, Output { name: "out", values: read(out) }]
}

/// `steps` updates; the caller keeps the first parameter, so the first update must not write over it.
fn run_adamw([n, steps, _]: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let mut numbers = Numbers::new(15);
    let start = floats(&numbers.many(n, 1.0), [n], device);
    let cfg = AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-6, weight_decay: 0.1 };
    let scale = floats(&[0.5], [1], device);
    let mut state = (start.clone(), Tensor::zeros([n], device), Tensor::zeros([n], device));
    for step in 1..=steps as u64 {
        let grad = floats(&numbers.many(n, 1.0), [n], device);
        let (param, m, v) = state;
        state = match maths {
            Maths::Ours => adamw(param, grad, m, v, scale.clone(), 0.01, step, &cfg),
            Maths::Stock => stock::adamw(param, grad, m, v, scale.clone(), 0.01, step, &cfg),
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

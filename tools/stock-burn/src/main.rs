//! An SFT step of the benchmarks' models in burn's own operations, fusion and autotuning on.
//!
//! The same Llama, the same batch and AdamW as `cargo run --release -p evenkeel-core --example profile`, written the way a burn user
//! would: three-dimensional activations, scores as a matrix, `log_softmax` over all logits.

use std::time::Instant;

use burn::tensor::activation::{log_softmax, silu, softmax};
use burn::tensor::{Device, Distribution, Int, Tensor, Transaction};

#[derive(Clone, Copy)]
struct Shape {
    vocab: usize,
    d: usize,
    layers: usize,
    heads: usize,
    f: usize,
    batch: usize,
    time: usize,
}

const S: Shape = Shape { vocab: 512, d: 128, layers: 4, heads: 4, f: 512, batch: 8, time: 128 };
const M: Shape = Shape { vocab: 4096, d: 256, layers: 6, heads: 8, f: 1024, batch: 4, time: 256 };

/// Weights of a block, in order: q, k, v, o, gate, up, down (all [I,O]), two norms.
const PER_BLOCK: usize = 9;
const WARM_UP: usize = 5;
const STEPS: usize = 9;

fn main() {
    pollster::block_on(run(if std::env::args().nth(1).as_deref() == Some("m") { M } else { S }));
}

async fn run(shape: Shape) {
    let device = Device::wgpu_options().init_async().await.expect("a GPU adapter").autodiff();
    let mut params = weights(shape, &device);
    let mut moments: Vec<_> = params.iter().map(|p| (p.clone().inner().zeros_like(), p.clone().inner().zeros_like())).collect();
    let n = shape.batch * shape.time;
    let ids: Vec<i32> = (0..n as i32).map(|i| (i % shape.time as i32 * 31 + i / shape.time as i32 * 7) % shape.vocab as i32).collect();
    let ids = Tensor::<1, Int>::from_data(ids.as_slice(), &device).reshape([shape.batch, shape.time]);
    let mut times = Vec::new();
    for step in 1..=WARM_UP + STEPS {
        let start = Instant::now();
        let loss = loss(shape, &params, ids.clone());
        let mut grads = loss.backward();
        let gradients: Vec<Tensor<2>> = params.iter().map(|p| p.grad_remove(&mut grads).expect("a gradient")).collect();
        let squares = gradients.iter().map(|g| g.clone().powi_scalar(2).sum()).reduce(|a, b| a + b).expect("parameters");
        let scale = squares.sqrt().add_scalar(1e-6).recip().clamp_max(1.0);
        for ((param, (m, v)), grad) in params.iter_mut().zip(&mut moments).zip(gradients) {
            *param = adamw(param.clone().inner(), m, v, grad * scale.clone().unsqueeze(), step).autodiff().require_grad();
        }
        let read = params.iter().map(|p| p.clone().inner().narrow(0, 0, 1).narrow(1, 0, 1));
        let read = read.fold(Transaction::default().register(loss.inner()), Transaction::register);
        read.execute_async().await.expect("numbers");
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    println!("first step {:.0} ms", times[0]);
    let mut warm = times.split_off(WARM_UP);
    warm.sort_by(f64::total_cmp);
    println!("warm steps {:.0} ms (median of {STEPS}; {:.0} to {:.0})", warm[STEPS / 2], warm[0], warm[STEPS - 1]);
}

fn weights(s: Shape, device: &Device) -> Vec<Tensor<2>> {
    let matrix = |rows: usize, columns: usize| Tensor::random([rows, columns], Distribution::Normal(0.0, 0.02), device).require_grad();
    let norm = || Tensor::<2>::ones([1, s.d], device).require_grad();
    let mut all = vec![matrix(s.vocab, s.d)];
    for _ in 0..s.layers {
        all.extend((0..4).map(|_| matrix(s.d, s.d)));
        all.extend([matrix(s.d, s.f), matrix(s.d, s.f), matrix(s.f, s.d), norm(), norm()]);
    }
    all.extend([norm(), matrix(s.d, s.vocab)]);
    all
}

fn rms_norm(x: Tensor<3>, weight: &Tensor<2>) -> Tensor<3> {
    let r = x.clone().powi_scalar(2).mean_dim(2).add_scalar(1e-5).sqrt();
    x / r * weight.clone().unsqueeze()
}

fn rope(x: Tensor<4>, cos: &Tensor<4>, sin: &Tensor<4>) -> Tensor<4> {
    let half = x.dims()[3] / 2;
    let (low, high) = (x.clone().narrow(3, 0, half), x.narrow(3, half, half));
    let turned_low = low.clone() * cos.clone() - high.clone() * sin.clone();
    Tensor::cat(vec![turned_low, high * cos.clone() + low * sin.clone()], 3)
}

fn loss(s: Shape, params: &[Tensor<2>], ids: Tensor<2, Int>) -> Tensor<1> {
    let (b, t, e, n) = (s.batch, s.time, s.d / s.heads, s.batch * s.time);
    let device = ids.device();
    let angles = Tensor::<1, Int>::arange(0..t as i64, &device).float().reshape([t, 1])
        * (Tensor::<1, Int>::arange(0..(e / 2) as i64, &device).float() * (-2.0 * 10_000f32.ln() / e as f32)).exp().reshape([1, e / 2]);
    let (cos, sin) = (angles.clone().cos().reshape([1, 1, t, e / 2]), angles.sin().reshape([1, 1, t, e / 2]));
    let causal = Tensor::<2>::ones([t, t], &device).tril(0).lower_elem(0.5).reshape([1, 1, t, t]).expand([b, s.heads, t, t]);

    let mut x: Tensor<3> = params[0].clone().select(0, ids.clone().reshape([n])).reshape([b, t, s.d]);
    for layer in 0..s.layers {
        let w = &params[1 + layer * PER_BLOCK..][..PER_BLOCK];
        let normed = rms_norm(x.clone(), &w[7]);
        let heads = |w: &Tensor<2>| normed.clone().matmul(w.clone().unsqueeze()).reshape([b, t, s.heads, e]).swap_dims(1, 2);
        let (q, k, v) = (rope(heads(&w[0]), &cos, &sin), rope(heads(&w[1]), &cos, &sin), heads(&w[2]));
        let scores = q.matmul(k.swap_dims(2, 3)).div_scalar((e as f32).sqrt()).mask_fill(causal.clone(), -1e9);
        let mixed = softmax(scores, 3).matmul(v).swap_dims(1, 2).reshape([b, t, s.d]);
        x = x + mixed.matmul(w[3].clone().unsqueeze());
        let normed = rms_norm(x.clone(), &w[8]);
        let active = silu(normed.clone().matmul(w[4].clone().unsqueeze())) * normed.matmul(w[5].clone().unsqueeze());
        x = x + active.matmul(w[6].clone().unsqueeze());
    }
    let last = params.len() - 2;
    let states = rms_norm(x, &params[last]).narrow(1, 0, t - 1).reshape([b * (t - 1), s.d]);
    let logprobs = log_softmax(states.matmul(params[last + 1].clone()), 1);
    let targets = ids.narrow(1, 1, t - 1).reshape([b * (t - 1), 1]);
    logprobs.gather(1, targets).mean().neg()
}

fn adamw(param: Tensor<2>, m: &mut Tensor<2>, v: &mut Tensor<2>, grad: Tensor<2>, step: usize) -> Tensor<2> {
    *m = m.clone() * 0.9 + grad.clone() * 0.1;
    *v = v.clone() * 0.999 + grad.powi_scalar(2) * 0.001;
    let (bias1, bias2) = (1.0 - 0.9f64.powi(step as i32), 1.0 - 0.999f64.powi(step as i32));
    param - m.clone() / bias1 / ((v.clone() / bias2).sqrt() + 1e-8) * 2e-5
}

//! Twin of `shaders/optim/adamw.wgsl`: one AdamW update of a flat parameter.
//!
//! N numbers.  Source: Loshchilov and Hutter 2019, algorithm 2.

use super::fill_rows;

/// The numbers of one update, as the shader gets them.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    pub lr: f32,
    /// lr · weight decay
    pub decay: f32,
    pub beta1: f32,
    pub one_minus_beta1: f32,
    pub beta2: f32,
    pub one_minus_beta2: f32,
    pub eps: f32,
    /// 1 − beta1^step
    pub bias1: f32,
    /// 1 − beta2^step
    pub bias2: f32,
}

/// Numbers that one task owns.
const CHUNK: usize = 4096;

/// g = grad grad_scale, m ← β1 m + (1 − β1) g, v ← β2 v + (1 − β2) g²,
/// param ← param − decay param − lr (m / bias1) / (√(v / bias2) + eps).  All `[N]` → param, m, v
pub fn adamw(param: &[f32], grad: &[f32], m: &[f32], v: &[f32], grad_scale: f32, update: &Update) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let number = f64::from;
    let mut new_param = vec![0.0; param.len()];
    let moments = fill_rows(&mut new_param, CHUNK, |chunk, new_param| {
        let start = chunk * CHUNK;
        let (mut new_m, mut new_v) = (vec![0.0; new_param.len()], vec![0.0; new_param.len()]);
        for (i, out) in new_param.iter_mut().enumerate() {
            let at = start + i;
            let g = number(grad[at]) * number(grad_scale);
            let m = number(update.beta1) * number(m[at]) + number(update.one_minus_beta1) * g;
            let v = number(update.beta2) * number(v[at]) + number(update.one_minus_beta2) * g * g;
            let step = (m / number(update.bias1)) / ((v / number(update.bias2)).sqrt() + number(update.eps));
            let p = number(param[at]);
            *out = (p - number(update.decay) * p - number(update.lr) * step) as f32;
            (new_m[i], new_v[i]) = (m as f32, v as f32);
        }
        (new_m, new_v)
    });
    let (m, v): (Vec<_>, Vec<_>) = moments.into_iter().unzip();
    (new_param, m.concat(), v.concat())
}

//! Twin of `shaders/optim/*.wgsl`: AdamW on flat parameters, and the clipping of their gradient by its norm.
//!
//! N numbers.  Source: Loshchilov and Hutter 2019, algorithm 2; PyTorch's `clip_grad_norm_`.

use super::{fill_rows, map_rows};

/// The numbers of an update that stay the same, as the shader gets them.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// How many numbers decay, from the first on.
    pub decayed: usize,
    pub beta1: f32,
    pub one_minus_beta1: f32,
    pub beta2: f32,
    pub one_minus_beta2: f32,
    pub eps: f32,
}

/// The numbers of an update that differ from step to step.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    pub lr: f32,
    /// lr · weight decay
    pub decay: f32,
    /// 1 − beta1^step
    pub bias1: f32,
    /// 1 − beta2^step
    pub bias2: f32,
}

impl Rates {
    /// How many they are.
    pub const COUNT: usize = 4;

    /// In the shader's order.
    pub fn to_array(self) -> [f32; Self::COUNT] {
        [self.lr, self.decay, self.bias1, self.bias2]
    }

    /// From the shader's order.
    pub fn from_array([lr, decay, bias1, bias2]: [f32; Self::COUNT]) -> Self {
        Self { lr, decay, bias1, bias2 }
    }
}

/// Numbers that one task owns.
const CHUNK: usize = 4096;

/// g = grad scale, m ← β1 m + (1 − β1) g, v ← β2 v + (1 − β2) g²,
/// param ← param − decay param − lr (m / bias1) / (√(v / bias2) + eps).  All `[N]` → param, m, v
///
/// `scale` is [`clip`]'s: below 0 everything stays as it is.
pub fn adamw(
    param: &[f32],
    grad: &[f32],
    m: &[f32],
    v: &[f32],
    scale: f32,
    rates: &Rates,
    update: &Update,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    if scale < 0.0 {
        return (param.to_vec(), m.to_vec(), v.to_vec());
    }
    let number = f64::from;
    let mut new_param = vec![0.0; param.len()];
    let moments = fill_rows(&mut new_param, CHUNK, |chunk, new_param| {
        let start = chunk * CHUNK;
        let (mut new_m, mut new_v) = (vec![0.0; new_param.len()], vec![0.0; new_param.len()]);
        for (i, out) in new_param.iter_mut().enumerate() {
            let at = start + i;
            let g = number(grad[at]) * number(scale);
            let m = number(update.beta1) * number(m[at]) + number(update.one_minus_beta1) * g;
            let v = number(update.beta2) * number(v[at]) + number(update.one_minus_beta2) * g * g;
            let step = (m / number(rates.bias1)) / ((v / number(rates.bias2)).sqrt() + number(update.eps));
            let p = number(param[at]);
            let decay = if at < update.decayed { number(rates.decay) } else { 0.0 };
            *out = (p - decay * p - number(rates.lr) * step) as f32;
            (new_m[i], new_v[i]) = (m as f32, v as f32);
        }
        (new_m, new_v)
    });
    let (m, v): (Vec<_>, Vec<_>) = moments.into_iter().unzip();
    (new_param, m.concat(), v.concat())
}

/// Σ x² in `parts` parts.  x `[N]` → `[parts]`
pub fn sum_squares(x: &[f32], parts: usize) -> Vec<f32> {
    let size = x.len().div_ceil(parts);
    map_rows(parts, |part| {
        let x = &x[x.len().min(part * size)..x.len().min((part + 1) * size)];
        x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() as f32
    })
}

/// norm = √Σ partial, scale = min(1, max_norm / (norm + 1e-6)), 1 where max_norm is 0, −1 where the norm is not finite or the last
/// scale was −1.  → `[norm, scale]`
pub fn clip(partial: &[f32], last_scale: f32, max_norm: f32) -> [f32; 2] {
    let norm = partial.iter().map(|&x| f64::from(x)).sum::<f64>().sqrt() as f32;
    let scale = match max_norm > 0.0 {
        true => (f64::from(max_norm) / (f64::from(norm) + 1e-6)).min(1.0) as f32,
        false => 1.0,
    };
    [norm, if norm.is_finite() && last_scale >= 0.0 { scale } else { -1.0 }]
}

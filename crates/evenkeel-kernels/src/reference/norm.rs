//! Twin of `shaders/norm/*.wgsl`: root-mean-square and layer normalisation of rows.
//!
//! N rows, D model dimension.  Source: Zhang and Sennrich 2019; Ba et al. 2016.

use super::{dot, fill_rows, map_rows};

/// Columns of the weight's gradient that one task owns.
const COLUMNS: usize = 32;

/// RMS norm, or layer norm where there is a `bias`: y = (x − mean) r weight + bias.
///
/// x `[N,D]`, weight `[D]`, bias `[D]` → y `[N,D]`, stats `[N,2]`: mean (0 in RMS norm) and r = 1 / √(mean((x − mean)²) + eps)
pub fn forward(x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32) -> (Vec<f32>, Vec<f32>) {
    let d = weight.len();
    let mut y = vec![0.0; x.len()];
    let stats = fill_rows(&mut y, d, |i, y_d| {
        let x_d = &x[i * d..][..d];
        let mean = if bias.is_some() { x_d.iter().map(|&x| f64::from(x)).sum::<f64>() / d as f64 } else { 0.0 };
        let squares = match bias {
            Some(_) => x_d.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum(),
            None => dot(x_d, x_d),
        };
        let r = (squares / d as f64 + f64::from(eps)).sqrt().recip();
        for (j, (y, &x)) in y_d.iter_mut().zip(x_d).enumerate() {
            let shift = bias.map_or(0.0, |bias| f64::from(bias[j]));
            *y = ((f64::from(x) - mean) * r * f64::from(weight[j]) + shift) as f32;
        }
        [mean as f32, r as f32]
    });
    (y, stats.concat())
}

/// With g = dy weight and x̂ = (x − mean) r: dx = r (g − mean(g) − x̂ mean(g x̂)) + residual, mean(g) only where `centred`.
///
/// x, dy and residual `[N,D]`, weight `[D]`, stats `[N,2]` → `[N,D]`
pub fn backward_x(x: &[f32], weight: &[f32], stats: &[f32], dy: &[f32], residual: Option<&[f32]>, centred: bool) -> Vec<f32> {
    let d = weight.len();
    let mut dx = vec![0.0; x.len()];
    fill_rows(&mut dx, d, |i, dx_d| {
        let (mean, r) = (f64::from(stats[2 * i]), f64::from(stats[2 * i + 1]));
        let g = |j: usize| f64::from(dy[i * d + j]) * f64::from(weight[j]);
        let x_hat = |j: usize| (f64::from(x[i * d + j]) - mean) * r;
        let pull = (0..d).map(|j| g(j) * x_hat(j)).sum::<f64>() / d as f64;
        let shift = if centred { (0..d).map(g).sum::<f64>() / d as f64 } else { 0.0 };
        for (j, dx) in dx_d.iter_mut().enumerate() {
            let past = residual.map_or(0.0, |residual| f64::from(residual[i * d + j]));
            *dx = (r * (g(j) - shift - x_hat(j) * pull) + past) as f32;
        }
    });
    dx
}

/// dweight = Σ rows dy x̂, dbias = Σ rows dy.  x and dy `[N,D]`, stats `[N,2]` → `[D]` each
pub fn backward_weight(x: &[f32], stats: &[f32], dy: &[f32], d: usize) -> (Vec<f32>, Vec<f32>) {
    let columns = map_rows(d.div_ceil(COLUMNS), |block| {
        let start = block * COLUMNS;
        let mut sums = vec![[0.0f64; 2]; COLUMNS.min(d - start)];
        for (i, stats) in stats.chunks(2).enumerate() {
            for (j, sum) in sums.iter_mut().enumerate() {
                let at = i * d + start + j;
                let slope = f64::from(dy[at]);
                sum[0] += slope * (f64::from(x[at]) - f64::from(stats[0])) * f64::from(stats[1]);
                sum[1] += slope;
            }
        }
        sums
    });
    columns.concat().iter().map(|&[weight, bias]| (weight as f32, bias as f32)).unzip()
}

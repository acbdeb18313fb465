//! Twin of `shaders/norm/*.wgsl`: root-mean-square normalisation of rows.
//!
//! N rows, D model dimension.  Source: Zhang and Sennrich 2019.

use super::{dot, fill_rows, map_rows};

/// Columns of the weight's gradient that one task owns.
const COLUMNS: usize = 32;

/// y = x r weight with r = 1 / √(mean(x²) + eps).  x `[N,D]`, weight `[D]` → y `[N,D]`, r `[N]`
pub fn rms_forward(x: &[f32], weight: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    let d = weight.len();
    let mut y = vec![0.0; x.len()];
    let r = fill_rows(&mut y, d, |i, y_d| {
        let x_d = &x[i * d..][..d];
        let r = (dot(x_d, x_d) / d as f64 + f64::from(eps)).sqrt().recip();
        for ((y, &x), &w) in y_d.iter_mut().zip(x_d).zip(weight) {
            *y = (f64::from(x) * r * f64::from(w)) as f32;
        }
        r as f32
    });
    (y, r)
}

/// With g = dy weight: dx = r (g − x r² mean(g x)).  x and dy `[N,D]`, weight `[D]`, r `[N]` → `[N,D]`
pub fn rms_backward_x(x: &[f32], weight: &[f32], r: &[f32], dy: &[f32]) -> Vec<f32> {
    let d = weight.len();
    let mut dx = vec![0.0; x.len()];
    fill_rows(&mut dx, d, |i, dx_d| {
        let (x_d, dy_d, r) = (&x[i * d..][..d], &dy[i * d..][..d], f64::from(r[i]));
        let g = |j: usize| f64::from(dy_d[j]) * f64::from(weight[j]);
        let pull = r * r * (0..d).map(|j| g(j) * f64::from(x_d[j])).sum::<f64>() / d as f64;
        for (j, dx) in dx_d.iter_mut().enumerate() {
            *dx = (r * (g(j) - f64::from(x_d[j]) * pull)) as f32;
        }
    });
    dx
}

/// dweight = Σ rows dy x r.  x and dy `[N,D]`, r `[N]` → `[D]`
pub fn rms_backward_weight(x: &[f32], r: &[f32], dy: &[f32], d: usize) -> Vec<f32> {
    let columns = map_rows(d.div_ceil(COLUMNS), |block| {
        let start = block * COLUMNS;
        let mut sums = vec![0.0f64; COLUMNS.min(d - start)];
        for (i, &r) in r.iter().enumerate() {
            for (j, sum) in sums.iter_mut().enumerate() {
                let at = i * d + start + j;
                *sum += f64::from(dy[at]) * f64::from(x[at]) * f64::from(r);
            }
        }
        sums
    });
    columns.concat().iter().map(|&sum| sum as f32).collect()
}

//! Twin of `shaders/rope/rotate.wgsl`: rotary position embedding in the rotate-half order of Llama.
//!
//! B batch, T time, H heads, D head dimension.  Source: Su et al. 2021.

use super::fill_rows;

/// With j < D/2: `out[j] = x[j] cos − x[j + D/2] sin`, `out[j + D/2] = x[j + D/2] cos + x[j] sin`.
///
/// `direction` 1 rotates, −1 rotates back (the gradient).  x `[B,T,H,D]`, cos and sin `[B,T,D/2]` → `[B,T,H,D]`
pub fn rotate(x: &[f32], cos: &[f32], sin: &[f32], heads: usize, half: usize, direction: f32) -> Vec<f32> {
    let width = heads * 2 * half;
    let mut out = vec![0.0; x.len()];
    fill_rows(&mut out, width, |token, out_hd| {
        let (cos, sin) = (&cos[token * half..][..half], &sin[token * half..][..half]);
        for (out, x) in out_hd.chunks_mut(2 * half).zip(x[token * width..][..width].chunks(2 * half)) {
            for j in 0..half {
                let (low, high) = (f64::from(x[j]), f64::from(x[j + half]));
                let (c, s) = (f64::from(cos[j]), f64::from(sin[j]) * f64::from(direction));
                out[j] = (low * c - high * s) as f32;
                out[j + half] = (high * c + low * s) as f32;
            }
        }
    });
    out
}

//! Twin of `shaders/rope/*.wgsl`: rotary position embedding in the rotate-half order of Llama, alone and with the split of a
//! joint projection into queries, keys and values.
//!
//! B batch, T time, H query heads, K key/value heads, D head dimension.  Source: Su et al. 2021.

use super::fill_rows;

/// Of every position D/2 cosines and as many sines `[P,D]`, and the position of every token `[B,T]`.
pub type Angles<'a> = (&'a [f32], &'a [i32]);

/// With j < D/2: `out[j] = x[j] cos − x[j + D/2] sin`, `out[j + D/2] = x[j + D/2] cos + x[j] sin`.
///
/// `direction` 1 rotates, −1 rotates back (the gradient).  x `[B,T,H,D]` → `[B,T,H,D]`
pub fn rotate(x: &[f32], (turns, positions): Angles, heads: usize, half: usize, direction: f32) -> Vec<f32> {
    let width = heads * 2 * half;
    let mut out = vec![0.0; x.len()];
    fill_rows(&mut out, width, |token, out_hd| {
        let (cos, sin) = turns[positions[token] as usize * 2 * half..][..2 * half].split_at(half);
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

/// The parts of every token's row, q and k rotated where there are angles.
///
/// qkv `[B,T,H+2K,D]`, heads `[H,K]` → q `[B,T,H,D]`, k and v `[B,T,K,D]`
pub fn split(qkv: &[f32], angles: Option<Angles>, [h, kv]: [usize; 2], d: usize) -> [Vec<f32>; 3] {
    let width = (h + 2 * kv) * d;
    let part = |first: usize, heads: usize| -> Vec<f32> {
        qkv.chunks(width).flat_map(|row| &row[first * d..(first + heads) * d]).copied().collect()
    };
    let turned = |x: Vec<f32>, heads: usize| match angles {
        Some(angles) => rotate(&x, angles, heads, d / 2, 1.0),
        None => x,
    };
    [turned(part(0, h), h), turned(part(h, kv), kv), part(h + kv, kv)]
}

/// The gradient of [`split`].  dq `[B,T,H,D]`, dk and dv `[B,T,K,D]`, heads `[H,K]` → `[B,T,H+2K,D]`
pub fn merge([dq, dk, dv]: [&[f32]; 3], angles: Option<Angles>, [h, kv]: [usize; 2], d: usize) -> Vec<f32> {
    let turned_back = |x: &[f32], heads: usize| match angles {
        Some(angles) => rotate(x, angles, heads, d / 2, -1.0),
        None => x.to_vec(),
    };
    let (dq, dk) = (turned_back(dq, h), turned_back(dk, kv));
    let rows = dq.chunks(h * d).zip(dk.chunks(kv * d)).zip(dv.chunks(kv * d));
    rows.flat_map(|((q, k), v)| [q, k, v].concat()).collect()
}

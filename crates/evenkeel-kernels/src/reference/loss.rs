//! Twin of `shaders/loss/cross_entropy.wgsl`: weighted cross-entropy with its gradient in the same pass.
//!
//! N rows, V vocabulary.

use super::fill_rows;
use super::logprob::{clamp_target, row};

/// loss = −weight · log p(target) and d loss / d logits = weight · (p − onehot).
///
/// logits `[N,V]`, targets `[N]`, weights `[N]` → stats `[3,N]` (rows: loss, entropy, top-1 hit), dlogits `[N,V]`
pub fn cross_entropy(logits: &[f32], targets: &[i32], weights: &[f32], v: usize) -> (Vec<f32>, Vec<f32>) {
    let n = targets.len();
    let mut dlogits = vec![0.0; n * v];
    let rows = fill_rows(&mut dlogits, v, |i, out_v| {
        let logits_v = &logits[i * v..][..v];
        let target = clamp_target(targets[i], v);
        let stats = row(logits_v, target, 1.0, |j, e| out_v[j] = e as f32);
        let weight = f64::from(weights[i]);
        for o in out_v.iter_mut() {
            *o = (f64::from(*o) * (weight / stats.sum)) as f32;
        }
        out_v[target] = (weight * stats.logprob.exp_m1()) as f32;
        stats
    });
    let mut stats = vec![0.0; 3 * n];
    for (i, r) in rows.iter().enumerate() {
        stats[i] = (-f64::from(weights[i]) * r.logprob) as f32;
        stats[n + i] = r.entropy as f32;
        stats[2 * n + i] = f32::from(u8::from(r.correct));
    }
    (stats, dlogits)
}

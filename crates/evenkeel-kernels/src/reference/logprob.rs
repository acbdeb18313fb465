//! Twin of `shaders/logprob/*.wgsl`: log p(target), entropy and top-1 hit of each row of logits.
//!
//! N rows, V vocabulary.  z = logits / temperature, p = softmax(z), lse = log Σ exp z.

use super::{fill_rows, map_rows};

/// What one row of logits says about its target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub lse: f64,
    pub logprob: f64,
    pub entropy: f64,
    pub correct: bool,
}

/// A target is an index into V; anything else is a programmer's error, clamped so that it never reads out of bounds.
pub(crate) fn clamp_target(target: i32, v: usize) -> usize {
    debug_assert!((0..v as i32).contains(&target), "target {target} is not in the vocabulary 0..{v}");
    target.clamp(0, v as i32 - 1) as usize
}

/// lse, log p(target), H = lse − Σ p z, and whether the target is the first largest.  logits_v [V]
pub(crate) fn row(logits_v: &[f32], target: usize, inv_temperature: f32) -> Row {
    let scale = f64::from(inv_temperature);
    let mut best = 0;
    for (j, &x) in logits_v.iter().enumerate() {
        if x > logits_v[best] {
            best = j;
        }
    }
    let max = f64::from(logits_v[best]) * scale;
    let (mut sum, mut sum_shifted) = (0.0, 0.0);
    for &x in logits_v {
        let shifted = f64::from(x) * scale - max;
        let e = shifted.exp();
        sum += e;
        if e > 0.0 {
            sum_shifted += e * shifted;
        }
    }
    let log_sum = sum.ln();
    Row {
        lse: max + log_sum,
        logprob: f64::from(logits_v[target]) * scale - max - log_sum,
        entropy: log_sum - sum_shifted / sum,
        correct: best == target,
    }
}

/// logits `[N,V]`, targets `[N]` → stats `[3,N]` (rows: log p(target), entropy, 1.0 where the target is the argmax), lse `[N]`
pub fn forward(logits: &[f32], targets: &[i32], inv_temperature: f32, v: usize) -> (Vec<f32>, Vec<f32>) {
    let n = targets.len();
    let rows = map_rows(n, |i| row(&logits[i * v..][..v], clamp_target(targets[i], v), inv_temperature));
    let mut stats = vec![0.0; 3 * n];
    for (i, r) in rows.iter().enumerate() {
        stats[i] = r.logprob as f32;
        stats[n + i] = r.entropy as f32;
        stats[2 * n + i] = f32::from(u8::from(r.correct));
    }
    (stats, rows.iter().map(|r| r.lse as f32).collect())
}

/// d logits = (g_logprob (onehot − p) − g_entropy p (log p + H)) / temperature.
///
/// logits `[N,V]`, targets `[N]`, lse `[N]`, entropy `[N]`, gradients of log p and of the entropy `[N]` → `[N,V]`
pub fn backward(
    logits: &[f32],
    targets: &[i32],
    lse: &[f32],
    entropy: &[f32],
    [g_logprob, g_entropy]: [&[f32]; 2],
    inv_temperature: f32,
    v: usize,
) -> Vec<f32> {
    let scale = f64::from(inv_temperature);
    let mut dlogits = vec![0.0; targets.len() * v];
    fill_rows(&mut dlogits, v, |i, out_v| {
        let [lse, entropy, g_logprob, g_entropy] = [lse[i], entropy[i], g_logprob[i], g_entropy[i]].map(f64::from);
        for (o, &x) in out_v.iter_mut().zip(&logits[i * v..][..v]) {
            let logprob = f64::from(x) * scale - lse;
            let p = logprob.exp();
            let slope = if p > 0.0 { p * (logprob + entropy) } else { 0.0 };
            *o = (-(g_logprob * p + g_entropy * slope) * scale) as f32;
        }
        out_v[clamp_target(targets[i], v)] += (g_logprob * scale) as f32;
    });
    dlogits
}

//! Twin of `shaders/activation/*.wgsl`: the activations of feed-forward blocks.
//!
//! N rows, F feed-forward dimension.  Source: Shazeer 2020 (SwiGLU), Hendrycks and Gimpel 2016 (GELU, its tanh form).

use super::fill_rows;

/// Numbers that one task owns.
const CHUNK: usize = 4096;

fn sigmoid(x: f64) -> f64 {
    (1.0 + (-x).exp()).recip()
}

/// out = gate sigmoid(gate) up.  gate_up `[N,2F]` (gate, then up, in every row) → `[N,F]`
pub fn swiglu_forward(gate_up: &[f32], f: usize) -> Vec<f32> {
    let mut out = vec![0.0; gate_up.len() / 2];
    fill_rows(&mut out, f, |i, out_f| {
        let (gate, up) = gate_up[i * 2 * f..][..2 * f].split_at(f);
        for ((out, &gate), &up) in out_f.iter_mut().zip(gate).zip(up) {
            *out = (f64::from(gate) * sigmoid(f64::from(gate)) * f64::from(up)) as f32;
        }
    });
    out
}

/// With s = sigmoid(gate): dgate = dout up s (1 + gate (1 − s)), dup = dout gate s.  gate_up `[N,2F]`, dout `[N,F]` → `[N,2F]`
pub fn swiglu_backward(gate_up: &[f32], dout: &[f32], f: usize) -> Vec<f32> {
    let mut d_gate_up = vec![0.0; gate_up.len()];
    fill_rows(&mut d_gate_up, 2 * f, |i, row| {
        let (d_gate, d_up) = row.split_at_mut(f);
        for j in 0..f {
            let [gate, up] = [gate_up[i * 2 * f + j], gate_up[i * 2 * f + f + j]].map(f64::from);
            let (slope, s) = (f64::from(dout[i * f + j]), sigmoid(gate));
            d_gate[j] = (slope * up * s * (1.0 + gate * (1.0 - s))) as f32;
            d_up[j] = (slope * gate * s) as f32;
        }
    });
    d_gate_up
}

/// tanh of √(2/π) (x + 0.044715 x³), and the slope of what stands in the brackets times √(2/π).
fn gelu_tanh(x: f64) -> (f64, f64) {
    const CUBIC: f64 = 0.044_715;
    let scale = (2.0 / std::f64::consts::PI).sqrt();
    ((scale * (x + CUBIC * x.powi(3))).tanh(), scale * (1.0 + 3.0 * CUBIC * x * x))
}

/// out = x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.  x `[N]` → `[N]`
pub fn gelu_forward(x: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    fill_rows(&mut out, CHUNK, |chunk, out| {
        for (out, &x) in out.iter_mut().zip(&x[chunk * CHUNK..]) {
            *out = (0.5 * f64::from(x) * (1.0 + gelu_tanh(f64::from(x)).0)) as f32;
        }
    });
    out
}

/// The slope of [`gelu_forward`] times dout.  x and dout `[N]` → `[N]`
pub fn gelu_backward(x: &[f32], dout: &[f32]) -> Vec<f32> {
    let mut dx = vec![0.0; x.len()];
    fill_rows(&mut dx, CHUNK, |chunk, dx| {
        for (j, dx) in dx.iter_mut().enumerate() {
            let at = chunk * CHUNK + j;
            let x = f64::from(x[at]);
            let (t, slope) = gelu_tanh(x);
            *dx = (0.5 * f64::from(dout[at]) * (1.0 + t + x * (1.0 - t * t) * slope)) as f32;
        }
    });
    dx
}

//! Twin of `shaders/activation/*.wgsl`: the gated activation of Llama's feed-forward block.
//!
//! N numbers.  Source: Shazeer 2020 (SwiGLU).

use super::fill_rows;

/// Numbers that one task owns.
const CHUNK: usize = 4096;

fn sigmoid(x: f32) -> f64 {
    (1.0 + (-f64::from(x)).exp()).recip()
}

/// out = gate sigmoid(gate) up.  gate, up `[N]` → `[N]`
pub fn swiglu_forward(gate: &[f32], up: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; gate.len()];
    fill_rows(&mut out, CHUNK, |chunk, out| {
        for ((o, &g), &u) in out.iter_mut().zip(&gate[chunk * CHUNK..]).zip(&up[chunk * CHUNK..]) {
            *o = (f64::from(g) * sigmoid(g) * f64::from(u)) as f32;
        }
    });
    out
}

/// With s = sigmoid(gate): dgate = dout up s (1 + gate (1 − s)), dup = dout gate s.  All `[N]` → dgate, dup
pub fn swiglu_backward(gate: &[f32], up: &[f32], dout: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut dgate = vec![0.0; gate.len()];
    let dup = fill_rows(&mut dgate, CHUNK, |chunk, dgate| {
        let start = chunk * CHUNK;
        let mut dup = vec![0.0; dgate.len()];
        for (i, (dgate, dup)) in dgate.iter_mut().zip(&mut dup).enumerate() {
            let (g, u, d) = (f64::from(gate[start + i]), f64::from(up[start + i]), f64::from(dout[start + i]));
            let s = sigmoid(gate[start + i]);
            *dgate = (d * u * s * (1.0 + g * (1.0 - s))) as f32;
            *dup = (d * g * s) as f32;
        }
        dup
    });
    (dgate, dup.concat())
}

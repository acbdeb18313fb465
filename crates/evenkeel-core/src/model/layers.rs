//! The functions of a block that are not kernels of their own.
//!
//! Shape letters: B batch, T time, N = B·T, D model, I input, O output, H heads, E head size.

use burn::tensor::Tensor;
use evenkeel_kernels::{Layout, linear, linear_bias, linear_residual, rms_norm};

use super::params::Params;

/// RMS norm of each head by itself. x [B, T, H, E], w [E] → [B, T, H, E]. Source: Qwen3.
pub fn head_norm(x: Tensor<4>, weight_e: Tensor<1>, epsilon: f64) -> Tensor<4> {
    let [b, t, h, e] = x.dims();
    rms_norm(x.reshape([b * t * h, e]), weight_e, epsilon as f32).reshape([b, t, h, e])
}

/// (x − mean) / √(var + ε) · w + b, biased variance. x [N, D], w, b [D] → [N, D]. Source: Ba et al. 2016.
pub fn layer_norm(x_nd: Tensor<2>, weight_d: Tensor<1>, bias_d: Tensor<1>, epsilon: f64) -> Tensor<2> {
    let centred_nd = x_nd.clone() - x_nd.mean_dim(1);
    let variance_n1 = centred_nd.clone().square().mean_dim(1);
    let scale_n1 = (variance_n1 + epsilon).sqrt().recip();
    centred_nd * scale_n1 * weight_d.unsqueeze() + bias_d.unsqueeze()
}

/// x·W + b with `{name}.weight` stored as `layout` says, and b where the model has one. x [N, I] → [N, O].
pub fn project(params: &Params, name: &str, layout: Layout, x_ni: Tensor<2>) -> Tensor<2> {
    let weight = params.matrix(&format!("{name}.weight"));
    match params.get(&format!("{name}.bias")) {
        Some(bias) => linear_bias(x_ni, weight, bias.value.clone(), layout),
        None => linear(x_ni, weight, layout),
    }
}

/// As [`project`], added to the residual stream. residual [N, O] → [N, O].
pub fn project_onto(params: &Params, name: &str, layout: Layout, x_ni: Tensor<2>, residual_no: Tensor<2>) -> Tensor<2> {
    match params.get(&format!("{name}.bias")) {
        Some(_) => residual_no + project(params, name, layout, x_ni),
        None => linear_residual(x_ni, params.matrix(&format!("{name}.weight")), residual_no, layout),
    }
}

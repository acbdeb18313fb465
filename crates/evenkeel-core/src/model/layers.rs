//! The functions of a block that are not kernels of their own.
//!
//! Shape letters: B batch, T time, N = B·T, D model, I input, O output, H heads, E head size.

use burn::tensor::Tensor;
use evenkeel_kernels::rms_norm;

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

/// x·Wᵀ + b with W [O, I] stored as `{name}.weight`, and b [O] where the model has one. x [N, I] → [N, O].
pub fn linear(params: &Params, name: &str, x_ni: Tensor<2>) -> Tensor<2> {
    let weight_io = params.matrix(&format!("{name}.weight")).transpose();
    with_bias(params, name, x_ni.matmul(weight_io))
}

/// x·W + b with W stored as [I, O] (GPT-2's Conv1D). x [N, I] → [N, O].
pub fn conv1d(params: &Params, name: &str, x_ni: Tensor<2>) -> Tensor<2> {
    let weight_io = params.matrix(&format!("{name}.weight"));
    with_bias(params, name, x_ni.matmul(weight_io))
}

fn with_bias(params: &Params, name: &str, y_no: Tensor<2>) -> Tensor<2> {
    match params.get(&format!("{name}.bias")) {
        Some(bias) => y_no + bias.value.clone().unsqueeze(),
        None => y_no,
    }
}

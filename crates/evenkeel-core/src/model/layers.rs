//! The small functions a block is made of, each in one place so that a kernel can take over.
//!
//! Shape letters: N rows (batch × time), D model, I input, O output, H heads.

use burn::tensor::{Tensor, activation};

use super::params::Params;

/// x · w / √(mean(x²) + ε). x [N, D], w [D] → [N, D]. Source: Zhang and Sennrich 2019.
pub fn rms_norm(x_nd: Tensor<2>, weight_d: Tensor<1>, epsilon: f64) -> Tensor<2> {
    let mean_square_n1 = x_nd.clone().square().mean_dim(1);
    let scale_n1 = (mean_square_n1 + epsilon).sqrt().recip();
    x_nd * scale_n1 * weight_d.unsqueeze()
}

/// [`rms_norm`] of each head by itself. x [N, H, D], w [D] → [N, H, D]. Source: Qwen3.
pub fn head_norm(x_nhd: Tensor<3>, weight_d: Tensor<1>, epsilon: f64) -> Tensor<3> {
    let [n, h, d] = x_nhd.dims();
    rms_norm(x_nhd.reshape([n * h, d]), weight_d, epsilon).reshape([n, h, d])
}

/// (x − mean) / √(var + ε) · w + b, biased variance. x [N, D], w, b [D] → [N, D]. Source: Ba et al. 2016.
pub fn layer_norm(x_nd: Tensor<2>, weight_d: Tensor<1>, bias_d: Tensor<1>, epsilon: f64) -> Tensor<2> {
    let centred_nd = x_nd.clone() - x_nd.mean_dim(1);
    let variance_n1 = centred_nd.clone().square().mean_dim(1);
    let scale_n1 = (variance_n1 + epsilon).sqrt().recip();
    centred_nd * scale_n1 * weight_d.unsqueeze() + bias_d.unsqueeze()
}

/// silu(gate) · up. Both [N, I] → [N, I]. Source: Shazeer 2020.
pub fn swiglu(gate_ni: Tensor<2>, up_ni: Tensor<2>) -> Tensor<2> {
    activation::silu(gate_ni) * up_ni
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

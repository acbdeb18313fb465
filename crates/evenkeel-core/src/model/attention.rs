//! Attention of burn ops, until the kernels crate has it.

use burn::tensor::{Int, Tensor, activation};

/// softmax(scale · q kᵀ + mask) v, a query seeing keys `first..=last`.
/// q [B, T, H, D], k, v [B, S, K, D] with H a multiple of K, first, last [B, T] → [B, T, H, D].
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, first: Tensor<2, Int>, last: Tensor<2, Int>, scale: f32) -> Tensor<4> {
    let [b, t, h, d] = q.dims();
    let [_, s, kv, _] = k.dims();
    let g = h / kv;
    let q = q.swap_dims(1, 2).reshape([b, kv, g * t, d]);
    let scores = q.matmul(k.permute([0, 2, 3, 1])).mul_scalar(scale);
    let device = first.device();
    let keys: Tensor<3, Int> = Tensor::<1, Int>::arange(0..s as i64, &device).unsqueeze();
    let keys = keys.expand([b, t, s]);
    let first: Tensor<3, Int> = first.unsqueeze_dim(2);
    let last: Tensor<3, Int> = last.unsqueeze_dim(2);
    let hidden = keys.clone().lower(first.expand([b, t, s])).bool_or(keys.greater(last.expand([b, t, s])));
    let hidden: Tensor<5, burn::tensor::Bool> = hidden.reshape([b, 1, 1, t, s]).expand([b, kv, g, t, s]);
    let scores = scores.reshape([b, kv, g, t, s]).mask_fill(hidden, -1e30);
    let weights = activation::softmax(scores, 4).reshape([b, kv, g * t, s]);
    weights.matmul(v.swap_dims(1, 2)).reshape([b, h, t, d]).swap_dims(1, 2)
}

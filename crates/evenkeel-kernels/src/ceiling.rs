//! What an adapter can do at best: bytes moved and products made per second, measured by two kernels that do nothing else.
//!
//! N numbers.  Twin: `reference/ceiling.rs`.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use crate::backend::Untracked;

/// Products, each with a sum, that [`fma`] makes of every number in every round.
pub const PRODUCTS_PER_ROUND: usize = 24;

/// x `[N]` → a copy, without autodiff
pub fn copy(x: Tensor<1>) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::copy(x.inner().into_dispatch()))
}

/// The sum of x, x + 1 and x + 2, each after 8 `rounds` times y ← s y + t.  x `[N]` → `[N]`, without autodiff
pub fn fma(x: Tensor<1>, rounds: usize, s: f32, t: f32) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::fma(x.inner().into_dispatch(), rounds, s, t))
}

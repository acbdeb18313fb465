//! evenkeel's own kernels on burn tensors: WGSL on the GPU, a CPU twin on burn's CPU backend, a gradient on both.
//!
//! Functions take and return plain burn tensors; the device of the tensors decides what runs. Everything is f32, and the
//! functions panic with the name of the dimension when shapes disagree (a mismatch is a bug in the caller).
//! This is the only crate that names cubecl or wgpu.

mod activation;
mod advantage;
mod ahead;
mod attention;
mod backend;
pub mod bench;
mod block;
#[cfg(target_family = "wasm")]
mod browser;
mod cache;
pub mod ceiling;
pub mod device;
mod flex;
mod gather;
mod gpu;
mod head;
#[doc(hidden)]
pub mod launch;
mod linear;
mod logprob;
mod loss;
mod norm;
mod optim;
mod pace;
mod platform;
pub mod profile;
pub mod reference;
mod rope;
pub mod sampling;
pub mod selfcheck;
mod shapes;
pub mod stock;

pub use activation::{gelu, swiglu};
pub use advantage::{Kl, Responses, gae, rewards, whiten};
pub use ahead::compile_ahead;
pub use attention::attention;
pub use backend::Affine;
pub use block::{ALIGN, Block, Family, Places, Positions, aligned, block, block_cached};
pub use cache::KeysValues;
pub use device::{DeviceChoice, DeviceError, Selected, lost, select};
pub use gather::{Rows, gather, pick, scatter_sum};
pub use head::head_logprob;
pub use linear::{Layout, linear, linear_bias, linear_residual};
pub use logprob::{TokenStats, token_logprob};
pub use loss::{PairKind, PairLoss, PpoLoss, pair_loss, ppo_policy_loss, ppo_value_loss, total};
pub use norm::{layer_norm, rms_norm};
pub use optim::{AdamW, adamw, clip};
pub use rope::rope;
pub use sampling::draw;

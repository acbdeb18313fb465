//! Trainers, one readable file each: `sft`, `reward`, `dpo`, `ppo`. Shared: `maths`, `optimizer`, `forward`, and the run loop in `run`.

mod ahead;
pub mod dpo;
pub mod forward;
pub mod kept;
pub mod maths;
pub mod optimizer;
pub mod order;
pub mod pending;
pub mod ppo;
pub mod reward;
pub mod run;
pub mod sft;
pub mod state;
mod trouble;

pub(crate) use ahead::compile_ahead;

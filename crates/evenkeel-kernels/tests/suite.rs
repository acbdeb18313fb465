//! The tests of evenkeel-kernels in one binary: each links burn.
//!
//! GPU tests follow `EVENKEEL_GPU`: `yes` fails without an adapter, `no` skips, `auto` (the default) skips by name when
//! there is none. A software Vulkan driver counts.

#![forbid(unsafe_code)]

#[path = "suite/block_cases.rs"]
mod block_cases;
#[path = "suite/cases.rs"]
mod cases;
#[path = "suite/common.rs"]
mod common;
#[path = "suite/completeness.rs"]
mod completeness;
#[path = "suite/device.rs"]
mod device;
#[path = "suite/gradients.rs"]
mod gradients;
#[path = "suite/mutations.rs"]
mod mutations;
#[path = "suite/sampling_cases.rs"]
mod sampling_cases;
#[path = "suite/shaders.rs"]
mod shaders;
#[path = "suite/transformer_cases.rs"]
mod transformer_cases;
#[path = "suite/twins.rs"]
mod twins;

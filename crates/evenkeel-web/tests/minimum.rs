//! The same tests on a device with WebGPU's default limits and nothing beyond them.

#![forbid(unsafe_code)]
#![cfg(target_family = "wasm")]

mod cases;
mod golden;

use evenkeel_kernels::device::Profile;
use wasm_bindgen_test::wasm_bindgen_test_configure;

wasm_bindgen_test_configure!(run_in_dedicated_worker);

pub const PROFILE: Profile = Profile::Minimum;

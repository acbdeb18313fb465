//! The tests of the worker, in a dedicated worker of a real browser, on all that its adapter has. Without one it fails; it never skips.

#![forbid(unsafe_code)]
#![cfg(target_family = "wasm")]

mod cases;
mod golden;

use evenkeel_kernels::device::Profile;
use wasm_bindgen_test::wasm_bindgen_test_configure;

wasm_bindgen_test_configure!(run_in_dedicated_worker);

pub const PROFILE: Profile = Profile::Whole;

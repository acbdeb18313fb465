//! The worker's own test, in a dedicated worker of a real browser. Without a WebGPU adapter it fails; it never skips.

#![cfg(target_family = "wasm")]

use evenkeel_web::selfcheck;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[wasm_bindgen_test]
async fn token_logprob_and_its_gradient_agree_with_the_twin() {
    let agreement = selfcheck::token_logprob_agrees().await.unwrap();
    assert!(!agreement.device.is_empty(), "an adapter has a name");
    assert!(agreement.max_error > 0.0, "two devices that agree to the last bit are one device");
}

//! Steps and rollouts of the small models timed in a dedicated worker of a real browser: `cargo xtask bench-web`.

#![cfg(target_family = "wasm")]

use evenkeel_core::bench::steps;
use evenkeel_kernels::{DeviceChoice, select};
use evenkeel_web::browser;
use wasm_bindgen_test::{console_log, wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[wasm_bindgen_test]
async fn bench() {
    let gpu = select(DeviceChoice::Gpu).await.unwrap();
    console_log!("| {} | model | ms (fastest to slowest) | tokens/s | launches |\n|---|---|---|---|---|", gpu.name);
    let told = steps(
        &gpu.device,
        || 1e3 * browser::seconds(),
        |row| {
            let [median, fastest, slowest] = row.ms.map(|ms| ms.round());
            let speed = row.tokens_per_second.round();
            console_log!("| {} | {} | {median} ({fastest} to {slowest}) | {speed} | {} |", row.what, row.model, row.launches);
        },
    );
    told.await.unwrap();
}

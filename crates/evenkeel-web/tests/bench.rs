//! Steps and rollouts of the small models timed in a dedicated worker of a real browser: `cargo xtask bench-web`.

#![cfg(target_family = "wasm")]

use evenkeel_core::bench::{NoRival, StepRow, steps};
use evenkeel_kernels::bench::Timing;
use evenkeel_kernels::{DeviceChoice, select};
use evenkeel_web::browser;
use wasm_bindgen_test::{console_log, wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[wasm_bindgen_test]
async fn bench() {
    let gpu = select(DeviceChoice::Gpu).await.unwrap();
    console_log!("| {} | ms (fastest to slowest) | tokens/s | launches |\n|---|---|---|---|", gpu.name);
    let tell = |row: StepRow| {
        let Timing { median_ms, fastest_ms, slowest_ms } = row.ours.warm;
        let times = format!("{median_ms:.0} ({fastest_ms:.0} to {slowest_ms:.0})");
        console_log!("| {} | {times} | {:.0} | {} |", row.workload, row.tokens_per_second, row.launches);
    };
    let told = steps(&gpu.device, || 1e3 * browser::seconds(), None::<&mut NoRival>, "", tell);
    told.await.unwrap();
}

//! The dedicated worker: owns the WebGPU device and the storage, and does all the computing.

#![forbid(unsafe_code)]

#[cfg(target_family = "wasm")]
fn main() {
    evenkeel_web::worker::start();
}

#[cfg(not(target_family = "wasm"))]
fn main() {
    eprintln!("This program runs in a browser: build it with `trunk build`.");
}

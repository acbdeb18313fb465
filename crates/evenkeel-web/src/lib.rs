//! The browser front end: a worker that trains and a page that only shows.
//!
//! The two say nothing to each other but `evenkeel_core::event`'s `Event`s and `Command`s (`wire`). `bin/worker.rs` owns the device and
//! the storage; `bin/page.rs` spawns the worker and hands its events to `web/page/main.js`, and must not reach for burn, so that the page
//! stays small.

#![forbid(unsafe_code)]

#[cfg(target_family = "wasm")]
pub mod browser;
pub mod kept;
#[cfg(target_family = "wasm")]
pub mod opfs;
pub mod own;
#[cfg(target_family = "wasm")]
pub mod wire;
#[cfg(target_family = "wasm")]
pub mod worker;

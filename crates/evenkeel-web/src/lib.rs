//! The browser front end: a worker that trains and a page that only shows.
//!
//! [`protocol`] is everything the two say to each other. `bin/worker.rs` owns the device; `bin/page.rs` spawns the
//! worker and hands its events to `web/main.js`, and must not reach for burn, so that the page stays small.

pub mod protocol;

#[cfg(target_family = "wasm")]
pub mod selfcheck;
#[cfg(target_family = "wasm")]
pub mod wire;

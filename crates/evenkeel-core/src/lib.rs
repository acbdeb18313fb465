//! RLHF for small language models: models, data and trainers on burn tensors.
//!
//! No files, threads, clocks or arguments here: a front end reads bytes, hands them over and consumes typed
//! [`event::Event`]s. Everything that reads a value back from the device is `async`.

#![forbid(unsafe_code)]

pub mod bench;
pub mod data;
pub mod error;
pub mod estimate;
pub mod event;
pub mod figures;
pub mod model;
pub mod recipe;
pub mod record;
pub mod rng;
pub mod selfcheck;
pub mod text;
pub mod train;
pub mod world;

pub use error::{Error, Result, sentence};

//! Everything that needs a device or `../shared`, in one binary because each links burn.
//!
//! `parity` compares with PyTorch's numbers, `generation` checks what is written, `hf` loading and saving,
//! `chat` templates.

#[path = "suite/support.rs"]
mod support;

#[path = "suite/parity.rs"]
mod parity;

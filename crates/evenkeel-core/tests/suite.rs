//! Everything that needs a device or `../shared`, in one binary because each links burn.
//!
//! `parity` compares with PyTorch's numbers, `generation` checks what is written, `hf` loading and saving,
//! `chat` templates.

#![forbid(unsafe_code)]

#[path = "suite/support.rs"]
mod support;

#[path = "suite/chat.rs"]
mod chat;
#[path = "suite/generation.rs"]
mod generation;
#[path = "suite/hf.rs"]
mod hf;
#[path = "suite/launches.rs"]
mod launches;
#[path = "suite/parity.rs"]
mod parity;

#[path = "suite/invariances.rs"]
mod invariances;

#[path = "suite/ppo_golden.rs"]
mod ppo_golden;

#[path = "suite/toy.rs"]
mod toy;

#[path = "suite/resume.rs"]
mod resume;

#[path = "suite/demo.rs"]
mod demo;

#[path = "suite/lesson.rs"]
mod lesson;

#[path = "suite/numbers.rs"]
mod numbers;

#[path = "suite/commands.rs"]
mod commands;

#[path = "suite/fuzz.rs"]
mod fuzz;

//! The contract with every front end: what a run says ([`Event`]) and what it can be told ([`Command`]).
//!
//! The terminal, `events.jsonl` and the page consume the same events; nothing else leaves a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Metric name (TRL's names: `loss`, `grad_norm`, `rewards/margins`, …) to value. Ordered, so that output is stable.
pub type Metrics = BTreeMap<String, f64>;

/// What a run says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run begins: how many optimiser steps it will take and on what.
    Started { stage: String, total_steps: u64, parameters: u64, device: String },
    /// One optimiser step is done (for PPO one iteration: a rollout and its updates). `step` counts from 1.
    Step { step: u64, metrics: Metrics },
    /// Held-out metrics after `step`, names prefixed `eval_`.
    Eval { step: u64, metrics: Metrics },
    /// A completion that the model wrote during training.
    Sample {
        step: u64,
        prompt: String,
        completion: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        score: Option<f64>,
    },
    /// A checkpoint is durable.
    Checkpoint { step: u64 },
    /// Something the user should know that does not stop the run.
    Warning { message: String },
    /// The run ended as planned, or early for the reason given.
    Finished {
        step: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The run ended by an error.
    Failed { step: u64, message: String },
}

/// What a run can be told while it goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Wait after the step in progress.
    Pause,
    /// Go on after [`Command::Pause`].
    Resume,
    /// Finish the step, checkpoint and end.
    Stop,
    /// Write a checkpoint after the step in progress.
    Checkpoint,
    /// Change a setting of the running trainer by its recipe path, such as `ppo.kl_coef`.
    Set { path: String, value: f64 },
}

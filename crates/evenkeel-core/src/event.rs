//! The contract with every front end: what a run says ([`Event`]) and what it can be told ([`Command`]).
//!
//! The terminal, `events.jsonl` and the page consume the same events; nothing else leaves a run. The second half of each
//! enum belongs to the lesson (`world::lesson`), which the page's worker plays; an unknown kind is an error on either side.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::world::Kind;
use crate::world::demo::{Comparison, Plan, SampleRow};

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

    /// The worker listens from now on: always its first word.
    Ready {
        version: String,
        /// The presets, by name.
        plans: BTreeMap<String, Plan>,
        /// Every trainer's recipe with its defaults, by stage: what a form is made of.
        recipes: BTreeMap<String, serde_json::Value>,
        /// A lesson that can be gone on with.
        #[serde(skip_serializing_if = "Option::is_none")]
        unfinished: Option<Unfinished>,
        /// A run on the visitor's own model that can be gone on with.
        #[serde(skip_serializing_if = "Option::is_none")]
        own: Option<UnfinishedOwn>,
    },
    /// The device in use, and whether its kernels agree with their CPU twins.
    Device {
        name: String,
        /// As `evenkeel_kernels::Selected` says: "browser webgpu", "cpu", …
        backend: String,
        /// Computes on the CPU.
        software: bool,
        /// Optional features that the adapter has, by WebGPU's names.
        features: Vec<String>,
        checks: Vec<Check>,
        /// How long the checks took.
        milliseconds: f64,
    },
    /// So many of the pipelines that come next are compiled.
    Compiling { done: usize, total: usize },
    /// The device is gone and the worker with it: start another worker, and go on with what it kept.
    Lost { message: String },
    /// Where the lesson stands; said after every command and whenever it changes.
    State {
        playing: bool,
        /// The run in progress; empty: none.
        stage: String,
        step: u64,
        total_steps: u64,
        /// What is still to be run, in order.
        queue: Vec<String>,
        /// Models that can be talked to, saved and forked.
        models: Vec<String>,
    },
    /// What the model in training answers to the same few prompts, as it learns.
    Answers { step: u64, rows: Vec<Answer> },
    /// Rows as the trainer sees them, token by token.
    Rows { rows: Vec<Vec<Token>> },
    /// Answers that wait for the visitor's ranking ([`Command::Rank`]).
    Ranking { index: u64, prompt: String, kind: Kind, answers: Vec<String> },
    /// The visitor's ranking was taken; `simulated` is the order that the simulated labeller gives. `count`: how many there are now.
    Ranked { index: u64, order: Vec<usize>, simulated: Vec<usize>, count: usize },
    /// The reward model's scores of held-out pairs.
    Scores { step: u64, chosen: Vec<f32>, rejected: Vec<f32> },
    /// What a change of an answer is worth to the reward model, and what it is worth in truth. Means over held-out prompts.
    Liking { step: u64, rows: Vec<Liking> },
    /// PPO's iteration `step` enters this part of the loop.
    Phase { step: u64, phase: Phase },
    /// Some episodes of PPO's iteration `step`, token by token.
    Episodes { step: u64, kl_coef: f64, cliprange: f64, episodes: Vec<Shown> },
    /// The iteration's answers whose reward exceeds their gold score most, both in standard deviations of the rollout; most fooling first.
    Fooled { step: u64, rows: Vec<Answer> },
    /// A held-out pair of DPO, token by token.
    Pairs { step: u64, beta: f64, pairs: Vec<ShownPair> },
    /// Every model on the same held-out prompts.
    Compared { rows: Vec<Comparison>, samples: Vec<SampleRow> },
    /// What a finished run cost.
    Cost {
        stage: String,
        seconds: f64,
        steps: u64,
        tokens: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    },
    /// A model's reply to [`Command::Chat`], growing until `done`.
    Reply { id: u64, model: String, text: String, done: bool },
    /// Everything up to here survives a reload.
    Saved { stage: String, step: u64 },
    /// A run on the visitor's own model that can be gone on with now.
    Kept { own: UnfinishedOwn },
    /// A folder to be kept by the visitor: its name and files.
    Folder { name: String, files: Vec<File> },
    /// What a run on the visitor's own model and data will take ([`Command::Estimate`]).
    Estimate {
        /// The lines that the command line prints before a run.
        text: String,
        steps: u64,
        bytes: u64,
        /// Unknown where the device's speed is.
        seconds: Option<f64>,
        /// Problems with the recipe, the model or the data; empty: it can start.
        problems: Vec<String>,
    },
}

/// A lesson that was interrupted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unfinished {
    pub plan: Plan,
    pub stage: String,
    pub step: u64,
}

/// A run on the visitor's own model that was interrupted, and its newest checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnfinishedOwn {
    pub stage: String,
    pub step: u64,
}

/// One kernel's comparison with its CPU twin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub kernel: String,
    /// Largest difference, in units of the tolerance: passed up to 1.
    pub error: f64,
    pub passed: bool,
}

/// An answer and its judgements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub prompt: String,
    pub kind: Kind,
    pub text: String,
    pub gold: f64,
    /// The reward model's score, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward: Option<f64>,
}

/// A token as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    pub text: String,
    /// Whether its log-probability is trained on.
    pub trained: bool,
}

/// What the reward model makes of a habit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Liking {
    /// `thanks`, `more_thanks`, `ramble`, `wrong`, `refusal`.
    pub habit: String,
    pub reward: f64,
    pub gold: f64,
}

/// The parts of a PPO iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Rollout,
    Score,
    Kl,
    Advantage,
    Update,
}

/// One episode of PPO; per-token lists have one entry per token of the answer. What is not known yet is empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    pub prompt: String,
    pub tokens: Vec<String>,
    /// The reward model's score, and the gold score that no trainer sees.
    pub score: f64,
    pub gold: f64,
    pub logprobs: Vec<f64>,
    pub ref_logprobs: Vec<f64>,
    pub rewards: Vec<f64>,
    pub values: Vec<f64>,
    pub advantages: Vec<f64>,
    /// π_new/π_old after the iteration's updates.
    pub ratios: Vec<f64>,
}

/// One pair of DPO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownPair {
    pub prompt: String,
    pub chosen: Scored,
    pub rejected: Scored,
}

/// An answer under policy and reference, token by token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    pub tokens: Vec<String>,
    pub logprobs: Vec<f64>,
    pub ref_logprobs: Vec<f64>,
}

/// A file by its name within a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct File {
    pub name: String,
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// What a run can be told while it goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
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

    /// Begin a lesson, or go on with the unfinished one. `device`: "auto", "gpu" or "cpu".
    Open { plan: Plan, device: String, resume: bool },
    /// One step and no more (in slow motion, `page.slow_motion`: one phase of a PPO iteration).
    Advance,
    /// Run this stage next, after whatever it needs that has not been run.
    Go { stage: String },
    /// Run PPO once more from `step` of the PPO run `run`, with another β (and, from step 0, another seed).
    Fork { run: String, step: u64, kl_coef: f64, seed: Option<u64> },
    /// Give the visitor something to rank.
    Ask,
    /// The visitor's order of the answers of ranking `index`, best first.
    Rank { index: u64, order: Vec<usize> },
    /// Let a model answer.
    Chat { id: u64, model: String, prompt: String, temperature: f64, seed: u64 },
    /// Hand out a model in Hugging Face layout ([`Event::Folder`]).
    Save { model: String },
    /// Hand out a finished run as the command line's run folder ([`Event::Folder`]).
    SaveRun { run: String },
    /// Look at a run on the visitor's own model and data before it starts.
    Estimate { recipe: serde_json::Value, model: Vec<File>, data: File },
    /// Start it, or go on with the unfinished one.
    Train { resume: bool },
    /// Keep a run folder that was begun elsewhere as the unfinished run, with the model and rows that it was begun with ([`Event::Kept`]). `run`: its
    /// files by their paths within it, those of `model/` left out.
    Adopt { model: Vec<File>, data: File, run: Vec<File> },
    /// Forget the lesson that is kept.
    Forget,
    /// Forget the run on the visitor's own model that is kept.
    ForgetOwn,
}

//! What can be typed: flags and their help, no meaning. Recipes carry the settings; flags are few and a test freezes them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Trains small language models through all of RLHF: SFT, reward model, PPO and DPO.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// A verb per job.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the whole pipeline on a small built-in world, nothing to download
    Demo(DemoArgs),
}

/// Where tensors live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DeviceFlag {
    /// A real GPU if there is one, else the CPU
    #[default]
    Auto,
    /// A GPU, software Vulkan included; fails if there is none
    Gpu,
    /// The CPU
    Cpu,
}

/// `evenkeel demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Run folder [default: runs/DATE-TIME-demo-sSEED]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Where tensors live
    #[arg(long, value_enum, default_value_t, value_name = "DEVICE")]
    pub device: DeviceFlag,
    /// Seed of the world and of every random draw
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Also train PPO at β ∈ {0, .02, .05, .1, .3} with three seeds each, for the reward–KL frontier
    #[arg(long)]
    pub sweep: bool,
}

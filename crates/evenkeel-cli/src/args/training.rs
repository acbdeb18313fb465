//! Flags of the training verbs: shared ones, and one struct per verb for its examples and its own flags.

use std::path::PathBuf;

use clap::Args;
use evenkeel_core::recipe::Assignment;

use super::DeviceFlag;

/// What every training verb takes. Flags win over `--set`, which wins over the recipe, which wins over the defaults.
#[derive(Debug, Clone, Default, Args)]
pub struct TrainArgs {
    /// Recipe: strict TOML; `evenkeel recipe STAGE` prints one with every setting
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A setting by its path or any unambiguous tail of it, such as learning_rate=1e-3; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<Assignment>,
    /// Model to start from: a folder in Hugging Face layout (recipe: model.path)
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Training rows: .jsonl, .jsonl.gz or .json (recipe: data.train)
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Held-out rows (recipe: data.eval)
    #[arg(long, value_name = "FILE")]
    pub eval_data: Option<PathBuf>,
    /// Run folder [default: runs/DATE-TIME-STAGE-MODEL-sSEED]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Where tensors live
    #[arg(long, value_enum, default_value_t, value_name = "DEVICE")]
    pub device: DeviceFlag,
    /// Seed of every random draw (recipe: seed)
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Optimiser steps; for PPO, iterations (recipe: training.max_steps)
    #[arg(long, value_name = "N")]
    pub max_steps: Option<u64>,
    /// Count and list bad rows instead of stopping at the first (recipe: data.skip_bad_rows)
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Go on with an interrupted run from its last checkpoint; takes the recipe from the run folder
    #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "out"])]
    pub resume: Option<PathBuf>,
}

/// `evenkeel sft`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Rows are prompt/completion (trained on the completion), messages (trained on the assistant's turns), text, or token ids.

Examples:
  evenkeel sft --model MODEL --data rows.jsonl
  evenkeel sft --config recipes/sft.toml --model MODEL --data rows.jsonl --set learning_rate=1e-4 --set packing=true
  evenkeel sft --model MODEL --data train.jsonl --eval-data held-out.jsonl --max-steps 200 --out runs/first
  evenkeel sft --resume runs/first")]
pub struct SftArgs {
    /// Shared flags.
    #[command(flatten)]
    pub train: TrainArgs,
}

/// `evenkeel reward`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Rows are prompt/chosen/rejected, chosen/rejected with the prompt inside, or rankings prompt/responses, best first: all pairs
of a ranking are one element of the batch. A model without a score head gets one, drawn from the seed.

Examples:
  evenkeel reward --model runs/SFT/model --data pairs.jsonl
  evenkeel reward --model runs/SFT/model --data rankings.jsonl --set eval_fraction=0.1 --set center_rewards_coefficient=0.01")]
pub struct RewardArgs {
    /// Shared flags.
    #[command(flatten)]
    pub train: TrainArgs,
}

/// `evenkeel dpo`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Rows are as for `reward`. The reference is a frozen clone of the starting model unless --reference names another.

Examples:
  evenkeel dpo --model runs/SFT/model --data pairs.jsonl
  evenkeel dpo --model runs/SFT/model --data pairs.jsonl --set beta=0.05 --set loss_type=ipo")]
pub struct DpoArgs {
    /// Shared flags.
    #[command(flatten)]
    pub train: TrainArgs,
    /// Reference model [default: the starting model; recipe: model.reference]
    #[arg(long, value_name = "DIR")]
    pub reference: Option<PathBuf>,
}

/// `evenkeel ppo`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Rows are prompts; of other shapes the prompt is taken. The reference is a frozen clone of the starting model unless
--reference names another; the value model starts from the reward model. A step is one rollout and its updates.

Examples:
  evenkeel ppo --model runs/SFT/model --reward-model runs/REWARD/model --data prompts.jsonl
  evenkeel ppo --config recipes/ppo.toml --model runs/SFT/model --reward-model runs/REWARD/model --data prompts.jsonl --set kl_coef=0.1")]
pub struct PpoArgs {
    /// Shared flags.
    #[command(flatten)]
    pub train: TrainArgs,
    /// Reference model [default: the starting model; recipe: model.reference]
    #[arg(long, value_name = "DIR")]
    pub reference: Option<PathBuf>,
    /// Reward model: *ForSequenceClassification with one label (recipe: model.reward_model)
    #[arg(long, value_name = "DIR")]
    pub reward_model: Option<PathBuf>,
}

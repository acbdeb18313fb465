//! Flags of the verbs that only run a model.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use evenkeel_core::model::KvCacheDtype;

use super::{DeviceFlag, at_least_one};

/// Sampling, named as in `generation_config.json`; what is not given comes from the model's own file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Sampling (default: the model's generation_config.json)")]
pub struct SamplingArgs {
    /// Most tokens to write
    #[arg(long, value_name = "N")]
    pub max_new_tokens: Option<usize>,
    /// Sample; false: always the likeliest token
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub do_sample: Option<bool>,
    /// Divides the logits; below 1 sharpens (implies --do-sample)
    #[arg(long, value_name = "X")]
    pub temperature: Option<f64>,
    /// Only among the K likeliest tokens; 0: all
    #[arg(long, value_name = "K")]
    pub top_k: Option<usize>,
    /// Only among the likeliest tokens that together have probability P
    #[arg(long, value_name = "P")]
    pub top_p: Option<f64>,
    /// Only among tokens at least P times as likely as the likeliest
    #[arg(long, value_name = "P")]
    pub min_p: Option<f64>,
    /// Above 1: tokens already written become less likely
    #[arg(long, value_name = "X")]
    pub repetition_penalty: Option<f64>,
    /// How keys and values of earlier tokens are stored [default: float32]
    #[arg(long, value_enum, value_name = "TYPE")]
    pub kv_cache_dtype: Option<KvCacheFlag>,
    /// Seed of the draws
    #[arg(long, default_value_t = 42, value_name = "N")]
    pub seed: u64,
}

/// How keys and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KvCacheFlag {
    /// Single precision
    Float32,
    /// Half precision, 11 significant bits: half the memory
    Float16,
}

impl From<KvCacheFlag> for KvCacheDtype {
    fn from(flag: KvCacheFlag) -> Self {
        match flag {
            KvCacheFlag::Float32 => Self::Float32,
            KvCacheFlag::Float16 => Self::Float16,
        }
    }
}

/// `evenkeel generate`
#[derive(Debug, Args)]
#[command(after_long_help = "\
With --prompt the completion is printed as text as it is written. With --data (or --json) each row gives one JSON object
{\"prompt\", \"completion\"}. A model with a chat template gets --prompt as the user's turn unless --raw is given.

Examples:
  evenkeel generate --model MODEL --prompt 'Once upon a time'
  evenkeel generate --model MODEL --prompt 'Hello' --temperature 0.8 --top-p 0.95 --seed 1 --max-new-tokens 64
  evenkeel generate --model MODEL --data prompts.jsonl > answers.jsonl")]
pub struct GenerateArgs {
    /// Folder in Hugging Face layout
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// What to complete; repeatable; empty: from the beginning-of-text token
    #[arg(long, value_name = "TEXT", required_unless_present = "data", conflicts_with = "data")]
    pub prompt: Vec<String>,
    /// Rows with prompts: .jsonl, .jsonl.gz or .json
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Prompts per batch
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = at_least_one())]
    pub batch_size: usize,
    /// Give --prompt to the model as it is, without its chat template
    #[arg(long)]
    pub raw: bool,
    /// Print JSON objects for --prompt too
    #[arg(long)]
    pub json: bool,
    /// Where tensors live
    #[arg(long, value_enum, default_value_t, value_name = "DEVICE")]
    pub device: DeviceFlag,
    /// Sampling.
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

/// `evenkeel chat`
#[derive(Debug, Args)]
#[command(after_long_help = "\
One line per turn; the conversation so far is kept. With two models both answer each turn from the same seed, each with its
own history. /new forgets the conversation, /quit or end of input leaves. Works in a pipe: echo 'Hello' | evenkeel chat MODEL

Examples:
  evenkeel chat runs/SFT/model
  evenkeel chat runs/SFT/model runs/DPO/model --temperature 0.7 --seed 3")]
pub struct ChatArgs {
    /// One or two folders in Hugging Face layout
    #[arg(value_name = "MODEL", required = true, num_args = 1..=2)]
    pub models: Vec<PathBuf>,
    /// First message of the conversation, for models with a chat template
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Where tensors live
    #[arg(long, value_enum, default_value_t, value_name = "DEVICE")]
    pub device: DeviceFlag,
    /// Sampling.
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

/// `evenkeel score`
#[derive(Debug, Args)]
#[command(after_long_help = "\
One JSON object per row, in order: {\"logprob\", \"tokens\", \"token_logprobs\"} of the completion, or of every token after the
first where there is no prompt; {\"chosen\": {…}, \"rejected\": {…}} for pairs, {\"responses\": [{…}]} for rankings. From a reward
model each is {\"score\"}.

Examples:
  evenkeel score --model MODEL --data pairs.jsonl > scores.jsonl
  evenkeel score --model runs/REWARD/model --data pairs.jsonl | head -3")]
pub struct ScoreArgs {
    /// A language model, or a reward model
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Rows: .jsonl, .jsonl.gz or .json
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Longest sequence in tokens
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = at_least_one())]
    pub max_length: usize,
    /// Rows per batch
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = at_least_one())]
    pub batch_size: usize,
    /// Count and list bad rows instead of stopping at the first
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Where tensors live
    #[arg(long, value_enum, default_value_t, value_name = "DEVICE")]
    pub device: DeviceFlag,
}

/// `evenkeel eval`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Prompt/completion, messages and text give perplexity. Pairs and rankings give preference accuracy: by the implicit reward
log π/π_ref with --reference, by the reward model's scores if --model is one. --reward-model and --reference together
with prompts sample answers and give reward and KL.

Examples:
  evenkeel eval --model runs/SFT/model --data held-out.jsonl
  evenkeel eval --model runs/DPO/model --reference runs/SFT/model --data pairs.jsonl
  evenkeel eval --model runs/PPO/model --reference runs/SFT/model --reward-model runs/REWARD/model --data prompts.jsonl --json")]
pub struct EvalArgs {
    /// A language model, or a reward model
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Rows: .jsonl, .jsonl.gz or .json
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Reference for implicit rewards and KL
    #[arg(long, value_name = "DIR")]
    pub reference: Option<PathBuf>,
    /// Scores sampled answers
    #[arg(long, value_name = "DIR")]
    pub reward_model: Option<PathBuf>,
    /// Longest sequence in tokens
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = at_least_one())]
    pub max_length: usize,
    /// Rows per batch
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = at_least_one())]
    pub batch_size: usize,
    /// Count and list bad rows instead of stopping at the first
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Where tensors live
    #[arg(long, value_enum, default_value_t, value_name = "DEVICE")]
    pub device: DeviceFlag,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// Sampling.
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

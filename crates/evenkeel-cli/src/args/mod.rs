//! What can be typed: flags and their help, no meaning. Recipes carry the settings; flags are few and a test freezes them.

mod inference;
mod training;

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use evenkeel_core::recipe::Stage;

pub use inference::{ChatArgs, EvalArgs, GenerateArgs, SamplingArgs, ScoreArgs};
pub use training::{DpoArgs, PpoArgs, RewardArgs, SftArgs, TrainArgs};

/// Trains small language models through all of RLHF: SFT, reward model, PPO and DPO.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, about, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXAMPLES: &str = "\
Start here:
  evenkeel demo                                        the whole pipeline in minutes, nothing to download
  evenkeel sft --model MODEL --data rows.jsonl         fine-tune a model in Hugging Face layout
  evenkeel dpo --model runs/SFT/model --data pairs.jsonl
  evenkeel chat runs/SFT/model runs/DPO/model          talk to both, side by side
`evenkeel help VERB` explains a verb and shows examples.
Results go to stdout, everything else to stderr. Exit codes: 0 done, 2 bad input, 1 any other failure.";

/// A verb per job.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the whole pipeline on a small built-in world, nothing to download
    Demo(DemoArgs),
    /// Supervised fine-tuning on prompts and answers, chats or plain text
    Sft(SftArgs),
    /// Train a reward model from pairs or rankings of answers
    Reward(RewardArgs),
    /// Optimise a policy against a reward model, held to its start by a KL penalty
    Ppo(PpoArgs),
    /// Optimise a policy on pairs directly, without a reward model
    Dpo(DpoArgs),
    /// Complete prompts
    Generate(GenerateArgs),
    /// Talk to a model, or to two side by side
    Chat(ChatArgs),
    /// Print log-probabilities, or a reward model's scores, as JSON lines
    Score(ScoreArgs),
    /// Measure perplexity, preference accuracy, reward and KL on held-out rows
    Eval(EvalArgs),
    /// Show what a data file holds: shape, counts, lengths, trained tokens in colour
    Data(DataArgs),
    /// Check every kernel on this device against its CPU twin
    Selfcheck(SelfcheckArgs),
    /// Show what a model folder holds: architecture, parameters, tokenizer
    Info(InfoArgs),
    /// Draw one or more runs as a self-contained HTML page
    Report(ReportArgs),
    /// Time evenkeel's kernels against burn's own operations
    Bench(BenchArgs),
    /// Print a stage's recipe with every setting, its default and its meaning
    Recipe(RecipeArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
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

/// A number of things that 0 makes no sense of.
fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// The stages as `recipe` takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StageFlag {
    /// Supervised fine-tuning
    Sft,
    /// Reward model
    Reward,
    /// PPO
    Ppo,
    /// DPO
    Dpo,
}

impl From<StageFlag> for Stage {
    fn from(flag: StageFlag) -> Self {
        match flag {
            StageFlag::Sft => Stage::Sft,
            StageFlag::Reward => Stage::Reward,
            StageFlag::Ppo => Stage::Ppo,
            StageFlag::Dpo => Stage::Dpo,
        }
    }
}

/// `evenkeel demo`
#[derive(Debug, Args)]
#[command(after_long_help = "\
SFT, preferences, reward model, PPO at the default β, PPO at β = 0, DPO on the same preferences, and a comparison by an
exact score that no trainer ever sees. Ends with a table and report.html in the run folder.

Examples:
  evenkeel demo
  evenkeel demo --device gpu --seed 7 --out runs/my-demo
  evenkeel demo --sweep                   adds the reward–KL frontier; takes much longer")]
pub struct DemoArgs {
    /// Run folder [default: runs/DATE-TIME-demo-sSEED]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Where tensors live
    #[arg(long, value_enum, default_value_t, value_name = "DEVICE")]
    pub device: DeviceFlag,
    /// Size: small, tiny (weaker, faster), micro (shows the parts at work and learns next to nothing)
    #[arg(long, default_value = "small", value_name = "NAME")]
    pub preset: String,
    /// Seed of the world and of every random draw
    #[arg(long, default_value_t = 42, value_name = "N")]
    pub seed: u64,
    /// Also train PPO at β ∈ {0, .02, .05, .1, .3} with three seeds each, for the reward–KL frontier
    #[arg(long)]
    pub sweep: bool,
}

/// `evenkeel selfcheck`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  evenkeel selfcheck
  evenkeel selfcheck --device gpu")]
pub struct SelfcheckArgs {
    /// Where tensors live
    #[arg(long, value_enum, default_value_t, value_name = "DEVICE")]
    pub device: DeviceFlag,
}

/// `evenkeel data`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  evenkeel data pairs.jsonl                        shape and counts
  evenkeel data pairs.jsonl --model MODEL          token lengths, and which tokens are trained on
  evenkeel data rows.jsonl.gz --model MODEL --skip-bad-rows")]
pub struct DataArgs {
    /// `.jsonl`, `.jsonl.gz` or `.json`
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Model folder whose tokenizer and chat template are used
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Longest sequence in tokens
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = at_least_one())]
    pub max_length: usize,
    /// Rows to show
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub rows: usize,
    /// Count and list bad rows instead of stopping at the first
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// `evenkeel info`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  evenkeel info MODEL
  evenkeel info runs/RUN/model --json")]
pub struct InfoArgs {
    /// Folder in Hugging Face layout
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// `evenkeel report`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  evenkeel report runs/RUN                             writes runs/RUN/report.html
  evenkeel report runs/A runs/B --out compare.html     both runs in the same charts")]
pub struct ReportArgs {
    /// Run folders
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// The page [default: report.html in the first run folder]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `evenkeel bench`
#[derive(Debug, Args)]
#[command(after_long_help = "\
`kernels`: each kernel and the same mathematics composed of burn's own operations, in turn on the same tensors: median,
fastest and slowest milliseconds, the share of what the device can do at best (two kernels that only copy or only compute),
memory held, and burn's time over ours (above 1: evenkeel is faster).
`steps`: SFT, DPO and PPO steps and rollouts of two small models, with --against in turn with another program's.
`scaling`: SFT steps over batch sizes, contexts and vocabularies, and how time grows.
`endurance`: whether a run of many SFT steps, or a tenth as many PPO iterations, grows slower or holds more memory.

Examples:
  evenkeel bench --device gpu
  evenkeel bench kernels --only attention
  evenkeel bench steps --only 'sft S'
  evenkeel bench endurance --steps 5000
  evenkeel bench --json > bench.jsonl")]
pub struct BenchArgs {
    /// What to time [default: kernels and steps]
    #[arg(value_enum)]
    pub part: Option<BenchPart>,
    /// Where tensors live
    #[arg(long, value_enum, default_value_t, value_name = "DEVICE")]
    pub device: DeviceFlag,
    /// Only kernels or steps whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// Time steps in turn with this program's, which answers the commands of tools/stock-burn
    #[arg(long, value_name = "PROGRAM")]
    pub against: Option<PathBuf>,
    /// Steps of `endurance`; for PPO, ten times its iterations
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1000..))]
    pub steps: u64,
    /// Print one JSON object per row instead of a table
    #[arg(long)]
    pub json: bool,
}

/// What `evenkeel bench` times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BenchPart {
    /// Single kernels against burn's operations
    Kernels,
    /// Whole training steps and rollouts
    Steps,
    /// Steps over batch sizes, contexts and vocabularies
    Scaling,
    /// A long run's steps against a short one's
    Endurance,
}

/// `evenkeel recipe`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  evenkeel recipe ppo                     every setting of PPO, with its default and meaning
  evenkeel recipe dpo > dpo.toml          a file to edit and pass as --config")]
pub struct RecipeArgs {
    /// Which trainer
    #[arg(value_enum, value_name = "STAGE")]
    pub stage: StageFlag,
}

/// `evenkeel completions`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  evenkeel completions bash > ~/.local/share/bash-completion/completions/evenkeel
  evenkeel completions fish > ~/.config/fish/completions/evenkeel.fish")]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests;

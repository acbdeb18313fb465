//! Whole training steps and rollouts of two small models, timed with the caller's clock, in turn with another program's where there is
//! one.
//!
//! The data are token ids by a formula: only shapes matter here.

mod endurance;

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use evenkeel_kernels::bench::Timing;
use evenkeel_kernels::profile;
use serde_json::json;

use crate::Result;
use crate::data::{Preference, Prompt, Sequence};
use crate::event::Metrics;
use crate::model::{Head, Model, ModelConfig, Sampling, generate};
use crate::recipe::{Recipe, Stage};
use crate::train::compile_ahead;
use crate::train::dpo::DpoTrainer;
use crate::train::ppo::{PpoTrainer, RewardSource};
use crate::train::run::Trainer;
use crate::train::sft::SftTrainer;

pub use endurance::{Endurance, Held, Long, endurance};

/// Timed steps, after one that compiles, and of those that take longer than [`LONG_MS`].
const RUNS: usize = 7;
const RUNS_IF_LONG: usize = 3;
const LONG_MS: f64 = 5000.0;
/// Rows and tokens of a rollout.
const PROMPTS: usize = 64;
const PROMPT_TOKENS: u32 = 16;
const NEW_TOKENS: usize = 32;

/// A model and the batch that it is trained on.
#[derive(Debug, Clone)]
pub struct BenchModel {
    pub name: &'static str,
    pub config: ModelConfig,
    pub rows: usize,
    pub tokens: usize,
}

impl BenchModel {
    /// S: vocabulary 512, width 128, 4 layers of 4 heads, 8 rows of 128 tokens.
    pub fn small() -> Self {
        Self { name: "S", config: llama(512, 128, 4, 4), rows: 8, tokens: 128 }
    }

    /// M: vocabulary 4096, width 256, 6 layers of 8 heads, 4 rows of 256 tokens.
    pub fn medium() -> Self {
        Self { name: "M", config: llama(4096, 256, 6, 8), rows: 4, tokens: 256 }
    }

    /// Too small to be of use, so that thousands of steps take minutes: vocabulary 64, width 32, 2 layers of 2 heads, 2 rows of 16 tokens.
    pub fn tiny() -> Self {
        Self { name: "tiny", config: llama(64, 32, 2, 2), rows: 2, tokens: 16 }
    }

    /// Any model of a `config.json`.
    pub fn of(config: ModelConfig, rows: usize, tokens: usize) -> Self {
        Self { name: "", config, rows, tokens }
    }

    fn sequences(&self) -> Vec<Sequence> {
        (0..self.rows as u32).map(|i| sequence(&self.config, i, self.tokens as u32)).collect()
    }

    /// The model before its first step.
    fn init(&self, device: &Device) -> Model {
        Model::init(self.config.clone(), Head::Lm, 1, device)
    }

    /// A trainer whose every step is one pass over all rows.
    pub fn sft(&self, device: &Device) -> SftTrainer {
        self.sft_of(&self.init(device))
    }

    /// As [`BenchModel::sft`], of a model of this one's shape with weights of its own.
    pub fn sft_of(&self, model: &Model) -> SftTrainer {
        let mut recipe = Recipe::default_for(Stage::Sft);
        recipe.training.max_steps = u64::MAX;
        recipe.training.per_device_train_batch_size = self.rows;
        SftTrainer::new(&recipe, model, self.sequences(), vec![])
    }

    /// As [`BenchModel::sft`]: pairs whose two answers together are all rows.
    async fn dpo(&self, device: &Device) -> Result<DpoTrainer> {
        let mut recipe = Recipe::default_for(Stage::Dpo);
        recipe.training.max_steps = u64::MAX;
        recipe.training.per_device_train_batch_size = self.rows / 2;
        let pairs: Vec<_> = self.sequences().chunks(2).map(|pair| Preference { responses: pair.to_vec(), margin: 0.0 }).collect();
        DpoTrainer::new(&recipe, &self.init(device), None, &pairs, &[]).await
    }

    /// A trainer whose every step is an iteration: so many prompts, so many new tokens, 4 epochs.
    async fn ppo(&self, device: &Device, prompts: usize, new_tokens: usize) -> Result<PpoTrainer> {
        let mut recipe = Recipe::default_for(Stage::Ppo);
        recipe.training.max_steps = u64::MAX;
        let ppo = recipe.ppo.as_mut().expect("the stage has its section");
        (ppo.rollout_batch_size, ppo.response_length, ppo.num_ppo_epochs) = (prompts, new_tokens, 4);
        let policy = self.init(device);
        let judge = RewardSource::Model(policy.with_score_head(2));
        let prompts = self.prompts(prompts).into_iter().map(|ids| Prompt { ids, text: String::new() }).collect();
        PpoTrainer::new(&recipe, &policy, None, judge, None, prompts, &[]).await
    }

    /// Its like with other rows, tokens and vocabulary.
    fn sized(&self, rows: usize, tokens: usize, vocab: usize) -> Self {
        let mut config = self.config.clone();
        (config.vocab_size, config.max_positions) = (vocab, config.max_positions.max(tokens));
        Self { name: self.name, config, rows, tokens }
    }

    fn prompts(&self, count: usize) -> Vec<Vec<u32>> {
        (0..count as u32).map(|i| sequence(&self.config, i, PROMPT_TOKENS).ids).collect()
    }
}

fn llama(vocab: usize, width: usize, layers: usize, heads: usize) -> ModelConfig {
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab, "hidden_size": width,
        "intermediate_size": 4 * width, "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": heads,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": false,
        "initializer_range": 0.02, "bos_token_id": 0, "eos_token_id": 1
    });
    ModelConfig::from_value("config", config).expect("the benchmark's own configuration is valid")
}

fn sequence(config: &ModelConfig, i: u32, tokens: u32) -> Sequence {
    let ids = (0..tokens).map(|t| (t * 31 + i * 7) % config.vocab_size as u32).collect();
    Sequence { ids, mask: (0..tokens).map(|t| t > 0).collect() }
}

/// What one timed step is a step of. Its name is the command of `tools/stock-burn` for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    Sft(Size),
    Dpo(Size),
    /// So many rows, of 32 new tokens each after 16.
    Rollout(Size, usize),
    /// An iteration: 64 prompts of 16 tokens, 32 new ones, reward, reference, value and 4 epochs.
    Ppo(Size),
}

/// Which model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    S,
    M,
}

impl Size {
    fn model(self) -> BenchModel {
        match self {
            Self::S => BenchModel::small(),
            Self::M => BenchModel::medium(),
        }
    }
}

impl Workload {
    /// In the order of the table.
    pub const ALL: [Self; 7] = [
        Self::Sft(Size::S),
        Self::Sft(Size::M),
        Self::Dpo(Size::S),
        Self::Dpo(Size::M),
        Self::Rollout(Size::S, 1),
        Self::Rollout(Size::S, PROMPTS),
        Self::Ppo(Size::S),
    ];

    /// Tokens trained on or written in one step.
    pub fn tokens(self) -> usize {
        match self {
            Self::Sft(size) | Self::Dpo(size) => {
                let model = size.model();
                model.rows * model.tokens
            }
            Self::Rollout(_, rows) => rows * NEW_TOKENS,
            Self::Ppo(_) => PROMPTS * NEW_TOKENS,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sft(size) => write!(f, "sft {size:?}"),
            Self::Dpo(size) => write!(f, "dpo {size:?}"),
            Self::Rollout(size, rows) => write!(f, "rollout {size:?} {rows}"),
            Self::Ppo(size) => write!(f, "ppo {size:?}"),
        }
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        let rollout = || {
            let (size, rows) = name.strip_prefix("rollout ")?.split_once(' ')?;
            let size = [Size::S, Size::M].into_iter().find(|known| format!("{known:?}") == size)?;
            Some(Self::Rollout(size, rows.parse().ok().filter(|&rows| rows > 0)?))
        };
        let known = Self::ALL.into_iter().find(|workload| workload.to_string() == name).or_else(rollout);
        known.ok_or_else(|| format!("no workload {name}: sft or dpo S or M, ppo S, or rollout S or M and how many rows"))
    }
}

/// A workload on a device, ready for its next step.
pub struct Task {
    prepared: Prepared,
    steps: u64,
}

#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is not moved")]
enum Prepared {
    Sft(SftTrainer),
    Dpo(DpoTrainer),
    Rollout { policy: Model, prompts: Vec<Vec<u32>> },
    Ppo(PpoTrainer),
}

/// What a step took.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    pub ms: f64,
    /// Of those, in a PPO iteration, what its rollout took: sampling, then what policy, reference and critic say.
    pub rollout_ms: Option<f64>,
    /// Before the update; nothing of a rollout and of PPO.
    pub loss: Option<f64>,
}

impl Task {
    /// # Errors
    /// [`crate::Error::Device`].
    pub async fn prepare(workload: Workload, device: &Device) -> Result<Self> {
        let prepared = match workload {
            Workload::Sft(size) => Prepared::Sft(size.model().sft(device)),
            Workload::Dpo(size) => Prepared::Dpo(size.model().dpo(device).await?),
            Workload::Rollout(size, rows) => {
                let model = size.model();
                Prepared::Rollout { prompts: model.prompts(rows), policy: model.init(device) }
            }
            Workload::Ppo(size) => Prepared::Ppo(size.model().ppo(device, PROMPTS, NEW_TOKENS).await?),
        };
        Ok(Self { prepared, steps: 0 })
    }

    /// Its steps are SFT steps of a trainer at hand.
    pub fn of(trainer: SftTrainer) -> Self {
        Self { prepared: Prepared::Sft(trainer), steps: 0 }
    }

    /// One step, waited for. `clock` as in [`steps`].
    ///
    /// # Errors
    /// [`crate::Error::Device`], [`crate::Error::NonFinite`].
    pub async fn step(&mut self, clock: &impl Fn() -> f64) -> Result<Taken> {
        self.steps += 1;
        let (start, step) = (clock(), self.steps);
        let (mut rollout_ms, mut metrics) = (None, Metrics::new());
        match &mut self.prepared {
            Prepared::Sft(trainer) => metrics = first_or_next(trainer, step).await?,
            Prepared::Dpo(trainer) => metrics = first_or_next(trainer, step).await?,
            Prepared::Rollout { policy, prompts } => {
                let sampling = Sampling { max_new_tokens: NEW_TOKENS, ..Sampling::default() };
                let seeds: Vec<_> = (0..prompts.len() as u64).collect();
                generate(policy, prompts, &sampling, &seeds, &mut |_, _| {}).await?;
            }
            Prepared::Ppo(trainer) => {
                if step == 1 {
                    compile_ahead(trainer, &mut |_| {}).await?;
                }
                let rollout = trainer.rollout(step).await?;
                // Waits for the models.
                rollout.logprobs().await?;
                rollout_ms = Some(clock() - start);
                let scores = trainer.score(&rollout).await?;
                let experience = trainer.advantages(rollout, &scores);
                trainer.update(step, &experience).await?;
            }
        }
        Ok(Taken { ms: clock() - start, rollout_ms, loss: metrics.get("loss").copied() })
    }
}

/// A step as runs take it.
async fn first_or_next<T: Trainer>(trainer: &mut T, step: u64) -> Result<Metrics> {
    if step == 1 {
        compile_ahead(trainer, &mut |_| {}).await?;
    }
    trainer.step(step).await
}

/// Floating-point operations per second of a training step on `device`, counted as [`crate::estimate::Estimate::seconds`] does: of one block of
/// width 128 and 512 tokens, so that what is no product is in it too. `clock` as in [`steps`].
///
/// # Errors
/// [`crate::Error::Device`].
pub async fn speed(device: &Device, clock: impl Fn() -> f64) -> Result<f64> {
    const TIMED: u64 = 2;
    let model = BenchModel { name: "", config: llama(512, 128, 1, 4), rows: 4, tokens: 128 };
    let mut task = Task::of(model.sft(device));
    // The first step compiles.
    task.step(&clock).await?;
    let mut fastest = f64::INFINITY;
    for _ in 0..TIMED {
        fastest = fastest.min(task.step(&clock).await?.ms);
    }
    let operations = 6 * model.config.num_parameters(Head::Lm) * model.rows * model.tokens;
    Ok(operations as f64 / (fastest.max(f64::MIN_POSITIVE) / 1e3))
}

/// Another program that does the same work.
#[expect(async_fn_in_trait, reason = "one thread owns the benchmark")]
pub trait Rival {
    /// What [`Rival::step`] is a step of, by [`Workload`]'s name.
    async fn prepare(&mut self, workload: &str) -> Result<()>;
    /// → milliseconds, and bytes that its allocator holds, where it says
    async fn step(&mut self) -> Result<(f64, Option<u64>)>;
}

/// For a benchmark that has none.
#[derive(Debug)]
pub enum NoRival {}

impl Rival for NoRival {
    async fn prepare(&mut self, _: &str) -> Result<()> {
        match *self {}
    }

    async fn step(&mut self) -> Result<(f64, Option<u64>)> {
        match *self {}
    }
}

/// One program's part in a line of the table.
#[derive(Debug, Clone)]
pub struct Steps {
    /// The first step, compiling and tuning included.
    pub first_ms: f64,
    pub warm: Timing,
    /// Bytes that the allocator holds after the steps, where it says.
    pub reserved: Option<u64>,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct StepRow {
    pub workload: Workload,
    pub ours: Steps,
    pub rivals: Option<Steps>,
    /// Tokens trained on or written, per second of the median.
    pub tokens_per_second: f64,
    /// GPU launches of one step; 0 on the CPU backend.
    pub launches: usize,
    /// The rollout's share of a PPO iteration's time.
    pub rollout_share: Option<f64>,
}

/// Times every workload whose name contains `only`, each step in turn with one of the rival, and tells each row as soon as it is known.
/// `clock` returns milliseconds since any fixed moment.
///
/// # Errors
/// [`crate::Error::Device`], and what the rival says.
pub async fn steps(
    device: &Device,
    clock: impl Fn() -> f64,
    mut rival: Option<&mut impl Rival>,
    only: &str,
    mut tell: impl FnMut(StepRow),
) -> Result<()> {
    for workload in Workload::ALL.into_iter().filter(|workload| workload.to_string().contains(only)) {
        device.memory_cleanup();
        let mut task = Task::prepare(workload, device).await?;
        let (mut ours, mut theirs, mut shares) = (vec![task.step(&clock).await?.ms], vec![], vec![]);
        let (mut launches, mut rivals_reserved) = (0, None);
        if let Some(rival) = &mut rival {
            rival.prepare(&workload.to_string()).await?;
            theirs.push(rival.step().await?.0);
        }
        let mut runs = RUNS;
        while ours.len() <= runs {
            let observation = profile::observe(false);
            let Taken { ms, rollout_ms, .. } = task.step(&clock).await?;
            launches = profile::total(&observation.take()).count;
            ours.push(ms);
            shares.extend(rollout_ms.map(|rollout_ms| rollout_ms / ms));
            if let Some(rival) = &mut rival {
                let (ms, reserved) = rival.step().await?;
                rivals_reserved = reserved;
                theirs.push(ms);
            }
            if ours.iter().chain(&theirs).skip(1).any(|&ms| ms > LONG_MS) {
                runs = RUNS_IF_LONG;
            }
        }
        let ours = Steps::of(ours, device.memory_pool_usage().map(|usage| usage.bytes_reserved));
        tell(StepRow {
            workload,
            tokens_per_second: workload.tokens() as f64 / ours.warm.median_ms * 1e3,
            ours,
            rivals: rival.is_some().then(|| Steps::of(theirs, rivals_reserved)),
            launches,
            rollout_share: (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64),
        });
    }
    Ok(())
}

impl Steps {
    /// The first time is the first step's.
    fn of(mut times_ms: Vec<f64>, reserved: Option<u64>) -> Self {
        let warm = times_ms.split_off(1);
        Self { first_ms: times_ms[0], warm: Timing::of(warm), reserved }
    }
}

/// SFT steps of model S with one of its sizes varied.
#[derive(Debug, Clone)]
pub struct Scaling {
    /// `batch`, `context` or `vocabulary`.
    pub size: &'static str,
    /// Each value, and the median milliseconds and tokens per second of a step there.
    pub points: Vec<(usize, f64, f64)>,
    /// Slope of log milliseconds over log value between the first point and the last: 1 where time grows with the size.
    pub exponent: f64,
}

/// Times model S over batch sizes, contexts and vocabularies. `clock` as in [`steps`].
///
/// # Errors
/// [`crate::Error::Device`].
pub async fn scaling(device: &Device, clock: impl Fn() -> f64, mut tell: impl FnMut(Scaling)) -> Result<()> {
    let small = BenchModel::small();
    let vocab = small.config.vocab_size;
    let batch = [1, 4, 16, 64].map(|rows| (rows, small.sized(rows, small.tokens, vocab)));
    let context = [64, 256, 1024, 2048].map(|tokens| (tokens, small.sized(2, tokens, vocab)));
    let vocabulary = [512, 4096, 16_384, 50_257].map(|vocab| (vocab, small.sized(small.rows, small.tokens, vocab)));
    for (size, models) in [("batch", batch), ("context", context), ("vocabulary", vocabulary)] {
        let mut points = vec![];
        for (value, model) in models {
            device.memory_cleanup();
            let mut trainer = model.sft(device);
            let mut times = vec![];
            for step in 1..=1 + RUNS_IF_LONG {
                let start = clock();
                trainer.step(step as u64).await?;
                times.push(clock() - start);
            }
            let ms = Timing::of(times.split_off(1)).median_ms;
            points.push((value, ms, (model.rows * model.tokens) as f64 / ms * 1e3));
        }
        let ([first, .., last], slope) = (&points[..], |a: f64, b: f64| (b / a).ln()) else { unreachable!("four points") };
        let exponent = slope(first.1, last.1) / slope(first.0 as f64, last.0 as f64);
        tell(Scaling { size, points, exponent });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_known_by_its_name() {
        for workload in Workload::ALL.into_iter().chain([Workload::Rollout(Size::M, 7)]) {
            assert_eq!(workload.to_string().parse(), Ok(workload));
        }
        for name in ["", "sft", "sft L", "rollout S", "rollout S 0", "rollout S x", "sft S 3"] {
            assert!(name.parse::<Workload>().is_err(), "{name}");
        }
    }

    #[test]
    fn another_programs_steps_are_in_turn_with_ours() {
        struct Counting(Vec<&'static str>);
        impl Rival for Counting {
            async fn prepare(&mut self, workload: &str) -> Result<()> {
                assert_eq!(workload, "rollout S 1");
                self.0.push("prepare");
                Ok(())
            }

            async fn step(&mut self) -> Result<(f64, Option<u64>)> {
                self.0.push("step");
                Ok((2.0, Some(3)))
            }
        }
        let (device, mut rival, mut rows) = (Device::flex(), Counting(vec![]), vec![]);
        // By this clock ours take no time.
        let told = steps(&device, || 0.0, Some(&mut rival), "rollout S 1", |row| rows.push(row));
        pollster::block_on(told).unwrap();
        assert_eq!(rival.0, [&["prepare"][..], &["step"; RUNS + 1]].concat());
        let [row] = &rows[..] else { panic!("{rows:?}") };
        let theirs = row.rivals.as_ref().expect("there is another program");
        assert_eq!((theirs.first_ms, theirs.warm.median_ms, theirs.reserved), (2.0, 2.0, Some(3)));
        assert_eq!((row.ours.warm.median_ms, row.rollout_share), (0.0, None));
    }
}

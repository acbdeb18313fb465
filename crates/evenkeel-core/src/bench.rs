//! Whole training steps and rollouts of two small models, timed with the caller's clock.
//!
//! The data are token ids by a formula: only shapes matter here.

use burn::tensor::Device;
use evenkeel_kernels::profile;
use serde_json::json;

use crate::Result;
use crate::data::{Preference, Prompt, Sequence};
use crate::model::{Head, Model, ModelConfig, Sampling, generate};
use crate::recipe::{Recipe, Stage};
use crate::train::dpo::DpoTrainer;
use crate::train::ppo::{PpoTrainer, RewardSource};
use crate::train::run::Trainer;
use crate::train::sft::SftTrainer;

/// Timed steps, after one that compiles.
const RUNS: usize = 3;
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

    /// Any model of a `config.json`.
    pub fn of(config: ModelConfig, rows: usize, tokens: usize) -> Self {
        Self { name: "", config, rows, tokens }
    }

    fn sequences(&self) -> Vec<Sequence> {
        (0..self.rows as u32).map(|i| sequence(&self.config, i, self.tokens as u32)).collect()
    }

    /// The model before its first step.
    pub fn init(&self, device: &Device) -> Model {
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
    ///
    /// # Errors
    /// [`crate::Error::Device`].
    pub async fn dpo(&self, device: &Device) -> Result<DpoTrainer> {
        let mut recipe = Recipe::default_for(Stage::Dpo);
        recipe.training.max_steps = u64::MAX;
        recipe.training.per_device_train_batch_size = self.rows / 2;
        let pairs: Vec<_> = self.sequences().chunks(2).map(|pair| Preference { responses: pair.to_vec(), margin: 0.0 }).collect();
        DpoTrainer::new(&recipe, &self.init(device), None, &pairs, &[]).await
    }

    /// A trainer whose every step is an iteration: 64 prompts, 32 new tokens, 4 epochs.
    ///
    /// # Errors
    /// [`crate::Error::Device`].
    pub async fn ppo(&self, device: &Device) -> Result<PpoTrainer> {
        let mut recipe = Recipe::default_for(Stage::Ppo);
        recipe.training.max_steps = u64::MAX;
        let ppo = recipe.ppo.as_mut().expect("the stage has its section");
        (ppo.rollout_batch_size, ppo.response_length, ppo.num_ppo_epochs) = (PROMPTS, NEW_TOKENS, 4);
        let policy = self.init(device);
        let judge = RewardSource::Model(policy.with_score_head(2));
        let prompts = self.prompts(PROMPTS).into_iter().map(|ids| Prompt { ids, text: String::new() }).collect();
        PpoTrainer::new(&recipe, &policy, None, judge, None, prompts, &[]).await
    }

    /// Has `policy` write 32 tokens after each of `count` prompts.
    ///
    /// # Errors
    /// [`crate::Error::Device`].
    pub async fn roll_out(&self, policy: &Model, count: usize) -> Result<()> {
        let sampling = Sampling { max_new_tokens: NEW_TOKENS, ..Sampling::default() };
        let (prompts, seeds) = (self.prompts(count), (0..count as u64).collect::<Vec<_>>());
        generate(policy, &prompts, &sampling, &seeds, &mut |_, _| {}).await?;
        Ok(())
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

/// One line of the table.
#[derive(Debug, Clone)]
pub struct StepRow {
    pub what: &'static str,
    pub model: &'static str,
    /// Median, fastest and slowest, in milliseconds.
    pub ms: [f64; 3],
    /// Tokens trained on or written, per second of the median.
    pub tokens_per_second: f64,
    /// GPU launches of one step; 0 on the CPU backend.
    pub launches: usize,
}

/// Times SFT, DPO, a rollout of one row and of 64, and the parts of a PPO iteration (64 prompts, 32 new tokens, 4 epochs), and tells each
/// row as soon as it is known.  `clock` returns milliseconds since any fixed moment.
///
/// # Errors
/// [`crate::Error::Device`].
pub async fn steps(device: &Device, clock: impl Fn() -> f64, mut tell: impl FnMut(StepRow)) -> Result<()> {
    let (small, medium) = (BenchModel::small(), BenchModel::medium());
    for model in [&small, &medium] {
        tell(training("SFT step", model, &mut model.sft(device), &clock).await?);
    }
    tell(training("DPO step", &small, &mut small.dpo(device).await?, &clock).await?);
    for count in [1, PROMPTS] {
        tell(rollout(&small, count, device, &clock).await?);
    }
    ppo(&small, device, &clock).await?.into_iter().for_each(tell);
    Ok(())
}

async fn training(what: &'static str, model: &BenchModel, trainer: &mut impl Trainer, clock: &impl Fn() -> f64) -> Result<StepRow> {
    let (mut times, mut launches) = (Vec::new(), 0);
    for step in 1..=RUNS + 1 {
        let observation = profile::observe(false);
        let start = clock();
        trainer.step(step as u64).await?;
        times.push(clock() - start);
        launches = profile::total(&observation.take()).count;
    }
    Ok(row(what, model, times.split_off(1), model.rows * model.tokens, launches))
}

async fn rollout(model: &BenchModel, count: usize, device: &Device, clock: &impl Fn() -> f64) -> Result<StepRow> {
    let policy = model.init(device);
    let (mut times, mut launches) = (Vec::new(), 0);
    for _ in 0..=RUNS {
        let observation = profile::observe(false);
        let start = clock();
        model.roll_out(&policy, count).await?;
        times.push(clock() - start);
        launches = profile::total(&observation.take()).count;
    }
    Ok(row(if count == 1 { "rollout, 1 row" } else { "rollout, 64 rows" }, model, times.split_off(1), count * NEW_TOKENS, launches))
}

/// One iteration after one that compiles; its rollout's part (sampling, then what policy, reference and critic say) by itself.
async fn ppo(model: &BenchModel, device: &Device, clock: &impl Fn() -> f64) -> Result<Vec<StepRow>> {
    let mut trainer = model.ppo(device).await?;
    trainer.step(1).await?;
    let observation = profile::observe(false);
    let start = clock();
    let rollout = trainer.rollout(2).await?;
    let (rolled_out, rollout_launches) = (clock() - start, profile::total(&observation.take()).count);
    let scores = trainer.score(&rollout).await?;
    let experience = trainer.advantages(rollout, &scores);
    trainer.update(2, &experience).await?;
    let (all, launches) = (clock() - start, profile::total(&observation.take()).count);
    let tokens = PROMPTS * NEW_TOKENS;
    Ok(vec![
        row("PPO iteration", model, vec![all], tokens, rollout_launches + launches),
        row("its rollout", model, vec![rolled_out], tokens, rollout_launches),
    ])
}

fn row(what: &'static str, model: &BenchModel, mut times: Vec<f64>, tokens: usize, launches: usize) -> StepRow {
    times.sort_by(f64::total_cmp);
    let ms = [times[times.len() / 2], times[0], times[times.len() - 1]];
    StepRow { what, model: model.name, ms, tokens_per_second: tokens as f64 / ms[0] * 1e3, launches }
}

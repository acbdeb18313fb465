//! Sizes and settings of the pipeline; the default fits ten minutes on two CPU cores, and twenty where they play a GPU.
//!
//! β is 0.5: rewards have unit variance here, and at TRL's 0.05 so small a reward model is over-optimised with the anchor too.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::recipe::{Recipe, SchedulerType, Stage};
use crate::world::{self, MAX_ANSWER_TOKENS};
use crate::{Error, Result};

/// How much of everything.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Seed of the world and of every draw.
    pub seed: u64,
    /// The model: width of its residual stream (heads of 32 share it, the MLP is twice as wide) and number of layers.
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    /// Optimiser steps of SFT, of `sft_rows` demonstrations each; every demonstration is seen once.
    pub sft_steps: u64,
    pub sft_rows: usize,
    /// Training prompts that get four answers each, ranked by the labeller.
    pub ranked_prompts: usize,
    /// Passes of the reward model over the rankings.
    pub reward_epochs: f64,
    /// PPO iterations and prompts per rollout.
    pub ppo_iterations: u64,
    pub ppo_rows: usize,
    /// β of the anchored PPO run.
    pub kl_coef: f64,
    /// DPO steps, of `dpo_pairs` pairs each.
    pub dpo_steps: u64,
    pub dpo_pairs: usize,
    /// Held-out prompts that all models answer at the end.
    pub held_out: usize,
    /// Also trace PPO over several β and seeds.
    pub sweep: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 42,
            hidden_size: 128,
            num_hidden_layers: 2,
            sft_steps: 250,
            sft_rows: 64,
            ranked_prompts: 1024,
            reward_epochs: 2.0,
            ppo_iterations: 40,
            ppo_rows: 64,
            kl_coef: 0.5,
            dpo_steps: 80,
            dpo_pairs: 32,
            held_out: 256,
            sweep: false,
        }
    }
}

/// Strengths of the anchor in the sweep, each with `SWEEP_SEEDS` seeds.
pub(in crate::world) const SWEEP_BETAS: [f64; 5] = [0.0, 0.02, 0.05, 0.1, 0.3];
pub(in crate::world) const SWEEP_SEEDS: u64 = 3;
/// Iterations of PPO between two looks at its samples.
pub(super) const SAMPLE_STEPS: u64 = 5;
const HEAD_DIM: usize = 32;
/// What a page may ask for: more than any tab can train, and less than fills the memory before the first step.
const MOST_WIDTH: u64 = 1024;
const MOST_LAYERS: u64 = 32;
const MOST_ROWS: u64 = 1 << 16;
const MOST_STEPS: u64 = 1 << 20;
/// Answers per prompt that the labeller ranks: A > B > C > D.
pub(super) const ANSWERS_PER_PROMPT: usize = 4;
/// One ranking in eight is kept from the reward model, to measure it.
pub(super) const HELD_OUT_RANKINGS: usize = 8;

impl Plan {
    /// The presets of the page by name; `small` is the default, with which the command line's demo runs. `tiny` is for weak GPUs, and
    /// `micro` for tests: it shows every part at work, 50 steps of each run, and learns next to nothing.
    pub fn presets() -> BTreeMap<String, Self> {
        let small = Self::default();
        let tiny = Self { hidden_size: 64, sft_steps: 200, ranked_prompts: 512, ppo_iterations: 32, ..small.clone() };
        let micro = Self {
            hidden_size: 32,
            num_hidden_layers: 1,
            sft_steps: 50,
            sft_rows: 8,
            ranked_prompts: 16,
            reward_epochs: 50.0,
            ppo_iterations: 50,
            ppo_rows: 8,
            dpo_steps: 50,
            dpo_pairs: 4,
            held_out: 8,
            ..small.clone()
        };
        [("small", small), ("tiny", tiny), ("micro", micro)].map(|(name, plan)| (name.to_string(), plan)).into()
    }

    /// # Errors
    /// Names the first size with which nothing can be trained.
    pub fn check(&self) -> Result<()> {
        let sizes = [
            ("hidden_size", self.hidden_size as u64, MOST_WIDTH),
            ("num_hidden_layers", self.num_hidden_layers as u64, MOST_LAYERS),
            ("sft_steps", self.sft_steps, MOST_STEPS),
            ("sft_rows", self.sft_rows as u64, MOST_ROWS),
            ("ranked_prompts", self.ranked_prompts as u64, MOST_ROWS),
            ("ppo_iterations", self.ppo_iterations, MOST_STEPS),
            ("ppo_rows", self.ppo_rows as u64, MOST_ROWS),
            ("dpo_steps", self.dpo_steps, MOST_STEPS),
            ("dpo_pairs", self.dpo_pairs as u64, MOST_ROWS),
            ("held_out", self.held_out as u64, MOST_ROWS),
        ];
        let refused = |name: &str, problem: &str, remedy: &str| Err(Error::input(format!("plan.{name}"), problem, remedy));
        if let Some((name, size, most)) = sizes.iter().find(|(_, size, most)| !(1..=*most).contains(size)) {
            return refused(name, &format!("is {size}"), &format!("give 1 to {most}"));
        }
        if !self.hidden_size.is_multiple_of(HEAD_DIM) {
            return refused("hidden_size", "does not divide into heads of 32", "give a multiple of 32");
        }
        if self.ranked_prompts < 2 * HELD_OUT_RANKINGS {
            return refused("ranked_prompts", "leaves too few rankings to hold some out", "give 16 or more");
        }
        if !((self.kl_coef as f32).is_finite() && self.kl_coef >= 0.0) {
            return refused("kl_coef", "is not a number of 0 or more", "give 0 or more");
        }
        if !(self.reward_epochs > 0.0 && self.reward_epochs <= MOST_STEPS as f64) {
            return refused("reward_epochs", "is not a number above 0", &format!("give a number above 0, at most {MOST_STEPS}"));
        }
        Ok(())
    }

    /// The `config.json` of the world's model of this size.
    pub(super) fn model_config(&self) -> Value {
        let mut config = world::model_config();
        let heads = self.hidden_size / HEAD_DIM;
        for (key, value) in [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", 2 * self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", heads),
            ("num_key_value_heads", heads),
        ] {
            config[key] = value.into();
        }
        config
    }

    /// From scratch: a learning rate that only a small model bears.
    pub fn sft(&self) -> Recipe {
        let mut recipe = self.recipe(Stage::Sft, 2e-3, self.sft_rows);
        recipe.training.max_steps = self.sft_steps;
        recipe.training.warmup_steps = 20;
        recipe.training.lr_scheduler_type = SchedulerType::Cosine;
        recipe.data.shuffle = false;
        recipe
    }

    /// Started from the SFT model, as the chapter says.
    pub fn reward(&self) -> Recipe {
        let mut recipe = self.recipe(Stage::Reward, 5e-4, 16);
        recipe.training.num_train_epochs = self.reward_epochs;
        recipe.training.warmup_steps = 10;
        recipe.reward.as_mut().expect("a reward recipe").center_rewards_coefficient = 0.01;
        recipe
    }

    /// Rewards are normalised to unit variance, so that β means the same whatever the reward model's scale.
    pub fn ppo(&self, kl_coef: f64, seed: u64) -> Recipe {
        let mut recipe = self.recipe(Stage::Ppo, 1.5e-4, self.ppo_rows);
        recipe.seed = seed;
        recipe.training.max_steps = self.ppo_iterations;
        recipe.training.lr_scheduler_type = SchedulerType::Constant;
        recipe.training.sample_steps = SAMPLE_STEPS;
        let ppo = recipe.ppo.as_mut().expect("a PPO recipe");
        ppo.rollout_batch_size = self.ppo_rows;
        ppo.response_length = MAX_ANSWER_TOKENS;
        ppo.temperature = 1.0;
        ppo.num_mini_batches = 2;
        ppo.kl_coef = kl_coef;
        ppo.normalize_rewards = true;
        ppo.value_learning_rate = 5e-4;
        ppo.vf_coef = 1.0;
        ppo.target_kl = 0.1;
        recipe
    }

    /// All six pairs of each ranking.
    pub fn dpo(&self) -> Recipe {
        let mut recipe = self.recipe(Stage::Dpo, 3e-4, self.dpo_pairs);
        recipe.training.max_steps = self.dpo_steps;
        recipe.training.warmup_steps = 5;
        recipe
    }

    fn recipe(&self, stage: Stage, learning_rate: f64, rows: usize) -> Recipe {
        let mut recipe = Recipe::default_for(stage);
        recipe.seed = self.seed;
        recipe.training.learning_rate = learning_rate;
        recipe.training.per_device_train_batch_size = rows;
        recipe.training.per_device_eval_batch_size = 64;
        recipe
    }
}

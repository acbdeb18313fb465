//! Sizes and settings of the pipeline; the default fits ten minutes on two CPU cores, and twenty where they play a GPU.
//!
//! β is 0.5: rewards have unit variance here, and at TRL's 0.05 so small a reward model is over-optimised with the anchor too.

use crate::recipe::{Recipe, SchedulerType, Stage};
use crate::world::MAX_ANSWER_TOKENS;

/// How much of everything.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Plan {
    /// Seed of the world and of every draw.
    pub seed: u64,
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
            sft_steps: 250,
            sft_rows: 64,
            ranked_prompts: 1024,
            reward_epochs: 2.0,
            ppo_iterations: 20,
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
pub(super) const SWEEP_BETAS: [f64; 5] = [0.0, 0.02, 0.05, 0.1, 0.3];
pub(super) const SWEEP_SEEDS: u64 = 3;
/// Answers per prompt that the labeller ranks: A > B > C > D.
pub(super) const ANSWERS_PER_PROMPT: usize = 4;
/// One ranking in eight is kept from the reward model, to measure it.
pub(super) const HELD_OUT_RANKINGS: usize = 8;

impl Plan {
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
        let mut recipe = self.recipe(Stage::Ppo, 3e-4, self.ppo_rows);
        recipe.seed = seed;
        recipe.training.max_steps = self.ppo_iterations;
        recipe.training.lr_scheduler_type = SchedulerType::Constant;
        recipe.training.sample_steps = 5;
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

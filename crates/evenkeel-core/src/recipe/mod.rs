//! Recipes: every setting of a run, the same struct for the command line and the page.
//!
//! Names and defaults are TRL's (`transformers.TrainingArguments`, `SFTConfig`, `RewardConfig`, `DPOConfig`, `PPOConfig`)
//! unless a field says otherwise. [`Recipe::parse`] reads strict TOML; [`Recipe::to_toml`] writes every default out.

mod parse;
mod validate;

use serde::{Deserialize, Serialize};

use crate::model::KvCacheDtype;

pub use parse::{Assignment, Problem};

/// Which trainer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Supervised fine-tuning.
    Sft,
    /// Reward model from preferences.
    Reward,
    /// Proximal policy optimisation against a reward, with a KL anchor.
    Ppo,
    /// Direct preference optimisation.
    Dpo,
}

impl Stage {
    /// The verb of the command line and the recipe's section.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Sft => "sft",
            Stage::Reward => "reward",
            Stage::Ppo => "ppo",
            Stage::Dpo => "dpo",
        }
    }
}

/// One run of one trainer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Which trainer.
    pub stage: Stage,
    /// Seed of every random draw of the run.
    pub seed: u64,
    /// Where the models come from.
    pub model: ModelSection,
    /// Where the data comes from and how it is read.
    pub data: DataSection,
    /// Optimiser, schedule, batch, logging: what all trainers share.
    pub training: Training,
    /// Only with `stage = "sft"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sft: Option<Sft>,
    /// Only with `stage = "reward"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward: Option<Reward>,
    /// Only with `stage = "dpo"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dpo: Option<Dpo>,
    /// Only with `stage = "ppo"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ppo: Option<Ppo>,
}

/// `[model]`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// Folder in Hugging Face layout that training starts from.
    pub path: String,
    /// Reference model of DPO and PPO; empty: a frozen clone of the starting weights.
    pub reference: String,
    /// Reward model of PPO (a `*ForSequenceClassification` folder with one label).
    pub reward_model: String,
    /// Value model of PPO; empty: a clone of the reward model.
    pub value_model: String,
}

/// `[data]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// Training rows: `.jsonl`, `.jsonl.gz` or `.json`.
    pub train: String,
    /// Held-out rows; empty: none, or `eval_fraction` of the training rows.
    pub eval: String,
    /// Share of the training rows held out when `eval` is empty.
    pub eval_fraction: f64,
    /// Longest sequence in tokens (TRL: `max_length`).
    pub max_length: usize,
    /// Visit rows in a new random order each epoch; false: file order.
    pub shuffle: bool,
    /// Count and list bad rows instead of stopping at the first.
    pub skip_bad_rows: bool,
}

impl Default for DataSection {
    fn default() -> Self {
        Self { train: String::new(), eval: String::new(), eval_fraction: 0.0, max_length: 1024, shuffle: true, skip_bad_rows: false }
    }
}

/// Learning-rate schedules of transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchedulerType {
    /// The learning rate throughout, after warm-up.
    Constant,
    /// Down to zero at the last step in a straight line.
    Linear,
    /// Down to zero at the last step along half a cosine.
    Cosine,
}

/// `[training]`: names and defaults of `transformers.TrainingArguments`; `learning_rate` as the trainer's TRL config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Passes over the data, fractions allowed.
    pub num_train_epochs: f64,
    /// Optimiser steps (PPO: iterations); 0: as `num_train_epochs` says.
    pub max_steps: u64,
    /// Rows per forward pass.
    pub per_device_train_batch_size: usize,
    /// Forward passes per optimiser step; the step equals one on the large batch.
    pub gradient_accumulation_steps: usize,
    /// Compute each block's activations once more for the gradient instead of keeping them: slower, in less memory.
    pub gradient_checkpointing: bool,
    /// Shape of the learning rate over the run.
    pub lr_scheduler_type: SchedulerType,
    /// Steps of linear warm-up; takes precedence over `warmup_ratio` when not 0.
    pub warmup_steps: u64,
    /// Share of the run's steps spent in warm-up.
    pub warmup_ratio: f64,
    /// AdamW's decoupled decay; biases and normalisation weights are never decayed.
    pub weight_decay: f64,
    /// AdamW's β₁.
    pub adam_beta1: f64,
    /// AdamW's β₂.
    pub adam_beta2: f64,
    /// AdamW's ε.
    pub adam_epsilon: f64,
    /// Global gradient norm is clipped to this; 0: not clipped.
    pub max_grad_norm: f64,
    /// Pass over a batch whose loss or gradient is not finite, and count it, instead of stopping there (NeMo's name).
    pub skip_nan_grad: bool,
    /// Read the metrics every so many steps, of all of them together; each step is a line of `events.jsonl`.
    pub logging_steps: u64,
    /// Evaluate every so many steps; 0: only at the end.
    pub eval_steps: u64,
    /// Rows per forward pass in evaluation.
    pub per_device_eval_batch_size: usize,
    /// Write a checkpoint every so many steps; 0: only at the end.
    pub save_steps: u64,
    /// Keep this many checkpoints, the newest ones and the best one among them; 0: all.
    pub save_total_limit: usize,
    /// Metric that picks the best checkpoint (any logged `eval_…` name); empty: the last one is the result.
    pub metric_for_best_model: String,
    /// Whether more of that metric is better.
    pub greater_is_better: bool,
    /// Write a few sampled completions every so many steps; 0: none.
    pub sample_steps: u64,
}

impl Training {
    fn with_learning_rate(learning_rate: f64) -> Self {
        Self {
            learning_rate,
            num_train_epochs: 3.0,
            max_steps: 0,
            per_device_train_batch_size: 8,
            gradient_accumulation_steps: 1,
            gradient_checkpointing: false,
            lr_scheduler_type: SchedulerType::Linear,
            warmup_steps: 0,
            warmup_ratio: 0.0,
            weight_decay: 0.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            max_grad_norm: 1.0,
            skip_nan_grad: false,
            logging_steps: 1,
            eval_steps: 0,
            per_device_eval_batch_size: 8,
            save_steps: 0,
            save_total_limit: 2,
            metric_for_best_model: String::new(),
            greater_is_better: false,
            sample_steps: 0,
        }
    }
}

/// `[sft]`: TRL's `SFTConfig`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sft {
    /// Several documents per row of the batch; they cannot see each other.
    pub packing: bool,
    /// Train on the completion alone; absent: yes for prompt/completion rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_only_loss: Option<bool>,
    /// Train on the assistant's turns alone; absent: yes for `messages` rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assistant_only_loss: Option<bool>,
}

/// `[reward]`: TRL's `RewardConfig`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reward {
    /// c of the centring term c·mean((r_w + r_l)²); 0: off (TRL recommends 0.01).
    pub center_rewards_coefficient: f64,
}

/// DPO's losses; TRL's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DpoLoss {
    /// −log σ(βΔ); with `label_smoothing` ε: cDPO, −(1−ε) log σ(βΔ) − ε log σ(−βΔ).
    Sigmoid,
    /// max(0, 1 − βΔ).
    Hinge,
    /// (Δ̄ − 1/(2β))² on length-normalised log-ratios.
    Ipo,
    /// [−(1−ε) log σ(βΔ) + ε log σ(−βΔ)] / (1 − 2ε).
    Robust,
    /// −log σ(βΔ̄) on length-normalised log-ratios.
    SigmoidNorm,
}

/// `[dpo]`: TRL's `DPOConfig`; `label_smoothing` also works with `sigmoid` (cDPO), which TRL dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dpo {
    /// Strength of the anchor.
    pub beta: f64,
    /// Which loss.
    pub loss_type: DpoLoss,
    /// ε: share of preferences assumed flipped; below 0.5.
    pub label_smoothing: f64,
    /// Weight of an added negative log-likelihood of the chosen completion (mean per token); 0: off. RPO's α.
    pub rpo_alpha: f64,
    /// Compute the reference's log-probabilities once before training instead of live.
    pub precompute_ref_log_probs: bool,
}

impl Default for Dpo {
    fn default() -> Self {
        Self { beta: 0.1, loss_type: DpoLoss::Sigmoid, label_smoothing: 0.0, rpo_alpha: 0.0, precompute_ref_log_probs: false }
    }
}

/// Per-token estimators of KL(π‖π_ref) (Schulman 2020); r = π_ref/π.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlEstimator {
    /// −log r: unbiased, can be negative.
    K1,
    /// r − 1 − log r: unbiased, never negative.
    K3,
}

/// Where the value function lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueFunction {
    /// A model of its own, started from the reward model.
    Model,
    /// A linear head on the actor's trunk, started at zero.
    Head,
}

/// `[ppo]`: TRL's `PPOConfig`, and what it lacks. `max_steps` and epochs of `[training]` count iterations here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ppo {
    /// Prompts per rollout.
    pub rollout_batch_size: usize,
    /// Longest response in tokens.
    pub response_length: usize,
    /// Sampling temperature; log-probabilities use it everywhere.
    pub temperature: f64,
    /// How the rollout stores the keys and values of earlier tokens.
    pub kv_cache_dtype: KvCacheDtype,
    /// Passes over each rollout.
    pub num_ppo_epochs: usize,
    /// Optimiser steps per pass; `gradient_accumulation_steps` splits each further.
    pub num_mini_batches: usize,
    /// β of the KL penalty; the starting value under the adaptive controller.
    pub kl_coef: f64,
    /// Estimator inside the reward.
    pub kl_estimator: KlEstimator,
    /// KL per sequence that the adaptive controller steers to (Ziegler et al. 2019); 0: β stays fixed.
    pub kl_target: f64,
    /// The controller's horizon in episodes.
    pub kl_horizon: f64,
    /// ε of the clipped policy loss.
    pub cliprange: f64,
    /// ε of the clipped value loss.
    pub cliprange_value: f64,
    /// Weight of the value loss.
    pub vf_coef: f64,
    /// Weight of the entropy bonus.
    pub entropy_coef: f64,
    /// Discount.
    pub gamma: f64,
    /// GAE's λ.
    pub lam: f64,
    /// Scale rewards to unit variance before GAE.
    pub whiten_rewards: bool,
    /// Subtracted from the score of a response without a stop token; 0: off.
    pub missing_eos_penalty: f64,
    /// Scores are clipped to ±this; 0: off.
    pub reward_clip: f64,
    /// Normalise scores by their running mean and standard deviation.
    pub normalize_rewards: bool,
    /// Stop a rollout's updates once the approximate KL to the rollout policy passes this; 0: off.
    pub target_kl: f64,
    /// Put the score one past the last token, as TRL does, instead of on it.
    pub score_one_past_end: bool,
    /// A value model of its own, or a head on the actor.
    pub value_function: ValueFunction,
    /// Learning rate of the value function; 0: as the policy's.
    pub value_learning_rate: f64,
    /// Iterations at the start that train the value function alone.
    pub critic_warmup_steps: u64,
}

impl Default for Ppo {
    fn default() -> Self {
        Self {
            rollout_batch_size: 64,
            response_length: 53,
            temperature: 0.7,
            kv_cache_dtype: KvCacheDtype::Float32,
            num_ppo_epochs: 4,
            num_mini_batches: 1,
            kl_coef: 0.05,
            kl_estimator: KlEstimator::K1,
            kl_target: 0.0,
            kl_horizon: 10_000.0,
            cliprange: 0.2,
            cliprange_value: 0.2,
            vf_coef: 0.1,
            entropy_coef: 0.0,
            gamma: 1.0,
            lam: 0.95,
            whiten_rewards: false,
            missing_eos_penalty: 0.0,
            reward_clip: 0.0,
            normalize_rewards: false,
            target_kl: 0.0,
            score_one_past_end: false,
            value_function: ValueFunction::Model,
            value_learning_rate: 0.0,
            critic_warmup_steps: 0,
        }
    }
}

impl Recipe {
    /// The defaults of `stage`; learning rates are TRL's (SFT 2e-5, reward 1e-4, DPO 1e-6, PPO 3e-6).
    pub fn default_for(stage: Stage) -> Self {
        let learning_rate = match stage {
            Stage::Sft => 2e-5,
            Stage::Reward => 1e-4,
            Stage::Dpo => 1e-6,
            Stage::Ppo => 3e-6,
        };
        Self {
            stage,
            seed: 42,
            model: ModelSection::default(),
            data: DataSection::default(),
            training: Training::with_learning_rate(learning_rate),
            sft: (stage == Stage::Sft).then(Sft::default),
            reward: (stage == Stage::Reward).then(Reward::default),
            dpo: (stage == Stage::Dpo).then(Dpo::default),
            ppo: (stage == Stage::Ppo).then(Ppo::default),
        }
    }
}

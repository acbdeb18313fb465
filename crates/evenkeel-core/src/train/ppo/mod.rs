//! PPO with a KL anchor: actor, frozen reference, reward, value function.
//!
//! Follows TRL's last `PPOTrainer` and "The N implementation details of RLHF with PPO" (numbers below), with these deviations, each
//! an option or a mended defect: the score stands on the last token (TRL: one past it), every mean is over real tokens alone,
//! minibatches really step, gradients are clipped, rollouts stop at a set of tokens, β can adapt, updates can stop early.
//! One iteration is four public steps: [`PpoTrainer::rollout`], [`PpoTrainer::score`], [`PpoTrainer::advantages`], [`PpoTrainer::update`].

mod experience;
mod rollout;
mod update;

use serde::{Deserialize, Serialize};

use super::maths::RunningMoments;
use super::optimizer::AdamW;
use super::order::Order;
use super::pending::Pending;
use super::run::Trainer;
use super::state::same_reference;
use crate::data::Prompt;
use crate::error::{Error, Result};
use crate::event::Metrics;
use crate::model::Model;
use crate::recipe::{Ppo, Recipe, ValueFunction};
use crate::text::Text;

pub use experience::{Episode, Experience, Numbers, Rollout};
pub use update::UpdateStats;

/// Judges whole responses. Closures `FnMut(&Prompt, &[u32], &str) -> f32` are reward functions too.
pub trait RewardFunction {
    /// The score of one response: the prompt, the response's token ids (stop token included) and its text (empty without a tokenizer).
    fn score(&mut self, prompt: &Prompt, response: &[u32], text: &str) -> f32;
}

impl<F: FnMut(&Prompt, &[u32], &str) -> f32> RewardFunction for F {
    fn score(&mut self, prompt: &Prompt, response: &[u32], text: &str) -> f32 {
        self(prompt, response, text)
    }
}

/// Where scores come from.
#[expect(clippy::large_enum_variant, reason = "a trainer has one, and moves it once")]
pub enum RewardSource {
    /// A reward model, frozen, read at the last real token of prompt + response.
    Model(Model),
    /// Anything else.
    Function(Box<dyn RewardFunction>),
}

/// Where values come from.
pub(crate) enum Critic {
    /// A model of its own.
    Model { model: Model, optimizer: AdamW },
    /// A linear head on the actor's trunk, zero at the start (detail 11).
    Head { head: Model, optimizer: AdamW },
}

/// What survives from one iteration to the next beside the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Controller {
    #[serde(with = "super::state::exact")]
    kl_coef: f64,
    episodes: u64,
    tokens: u64,
    scores: RunningMoments,
}

/// What a checkpoint holds beside weights and moments.
#[derive(Serialize, Deserialize)]
struct Counters {
    controller: Controller,
    reference: String,
}

/// Trains a policy against a reward.
pub struct PpoTrainer {
    /// The actor.
    pub policy: Model,
    /// Frozen.
    pub reference: Model,
    /// Held-out prompts for [`Trainer::evaluate`].
    pub eval: Vec<Prompt>,
    /// Turns responses into text for reward functions and samples.
    pub text: Option<Text>,
    reward: RewardSource,
    critic: Critic,
    reference_digest: String,
    optimizer: AdamW,
    prompts: Vec<Prompt>,
    stop: Vec<u32>,
    order: Order,
    config: Ppo,
    recipe: Recipe,
    controller: Controller,
    shown: Vec<(String, String, Option<f64>)>,
}

impl PpoTrainer {
    /// Without a `reference` the live weights of `policy` are cloned. The value model is `value`, else a clone of the reward model,
    /// else (reward functions) the policy's trunk with a zero score head. `stop` are the tokens that end a response.
    ///
    /// # Errors
    /// A vocabulary that differs between the models; [`Error::Device`].
    pub async fn new(
        recipe: &Recipe,
        policy: &Model,
        reference: Option<Model>,
        reward: RewardSource,
        value: Option<Model>,
        prompts: Vec<Prompt>,
        stop: &[u32],
    ) -> Result<Self> {
        let config = recipe.ppo.clone().unwrap_or_default();
        let reference = reference.unwrap_or_else(|| policy.clone()).frozen();
        same_vocabulary("model.reference", policy, &reference)?;
        let start = match (&reward, value) {
            (_, Some(model)) => model,
            (RewardSource::Model(model), None) => model.clone(),
            (RewardSource::Function(_), None) => policy.with_zero_score_head(),
        };
        if let RewardSource::Model(model) = &reward {
            same_vocabulary("model.reward_model", policy, model)?;
        }
        same_vocabulary("model.value_model", policy, &start)?;
        let policy = policy.for_training(&recipe.training);
        let mut training = recipe.training.clone();
        let optimizer = AdamW::new(&policy, &training);
        training.weight_decay = 0.0;
        let critic = match config.value_function {
            ValueFunction::Model => {
                let model = start.for_training(&recipe.training);
                Critic::Model { optimizer: AdamW::new(&model, &training), model }
            }
            ValueFunction::Head => {
                let head = policy.zero_score_head_alone().trainable();
                Critic::Head { optimizer: AdamW::new(&head, &training), head }
            }
        };
        Ok(Self {
            reference_digest: reference.digest().await?,
            order: Order::in_chunks(prompts.len(), config.rollout_batch_size, recipe),
            controller: Controller { kl_coef: config.kl_coef, episodes: 0, tokens: 0, scores: RunningMoments::default() },
            recipe: recipe.clone(),
            stop: stop.to_vec(),
            eval: vec![],
            text: None,
            shown: vec![],
            policy,
            reference,
            reward,
            critic,
            optimizer,
            prompts,
            config,
        })
    }

    /// β as it is now.
    pub fn kl_coef(&self) -> f64 {
        self.controller.kl_coef
    }

    /// ε of the clipped policy loss.
    pub fn cliprange(&self) -> f64 {
        self.config.cliprange
    }

    /// The prompts of iteration `step`, counted from 1; wraps round a short list until the rollout is full.
    pub fn prompts(&self, step: u64) -> Vec<Prompt> {
        let rows = self.order.rows(step);
        let wanted = self.config.rollout_batch_size;
        rows.iter().cycle().take(wanted).map(|&i| self.prompts[i].clone()).collect()
    }

    /// The rows of these episodes' prompts, counted from 1, each once.
    fn prompt_rows(&self, step: u64, episodes: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let rows = self.order.rows(step);
        let mut named: Vec<usize> = episodes.into_iter().map(|episode| rows[episode % rows.len()] + 1).collect();
        named.sort_unstable();
        named.dedup();
        named
    }

    /// Whether the reference still has the weights it started with.
    ///
    /// # Errors
    /// [`Error::Device`], also when the weights changed: that is a defect of evenkeel.
    pub async fn verify_reference(&self) -> Result<()> {
        if self.reference.digest().await? == self.reference_digest {
            Ok(())
        } else {
            Err(Error::Device("the reference model changed during training".into()))
        }
    }
}

fn same_vocabulary(place: &str, policy: &Model, other: &Model) -> Result<()> {
    let (ours, theirs) = (policy.config.vocab_size, other.config.vocab_size);
    if ours == theirs {
        return Ok(());
    }
    Err(Error::input(place, format!("has {theirs} tokens, the policy {ours}"), "all models of PPO must share one tokenizer"))
}

impl Trainer for PpoTrainer {
    fn total_steps(&self) -> u64 {
        self.order.total_steps(&self.recipe.training)
    }

    /// What is read decides what is launched next; here every answer is as long as may be.
    async fn rehearse(&mut self) -> Result<()> {
        self.rehearse_iteration().await
    }

    async fn launch(&mut self, step: u64) -> Result<Pending> {
        let bad = |what: &str, rows: Vec<usize>| Error::NonFinite { step, what: what.into(), rows, moved: false };
        let rollout = match self.rollout(step).await {
            Err(Error::Logits { prompt, .. }) => return Err(bad("a logit", self.prompt_rows(step, [prompt - 1]))),
            rollout => rollout?,
        };
        let scores = self.score(&rollout).await?;
        let unsound: Vec<usize> = (0..scores.len()).filter(|&episode| !scores[episode].0.is_finite()).collect();
        if !unsound.is_empty() {
            return Err(bad("the score of a response", self.prompt_rows(step, unsound)));
        }
        let experience = self.advantages(rollout, &scores);
        let stats = self.update(step, &experience).await?;
        Ok(Pending::known(self.metrics(step, &experience, &stats)))
    }

    async fn evaluate(&mut self) -> Result<Metrics> {
        let prompts = self.eval.clone();
        let rollout = self.rollout_on("eval", 0, &prompts).await?;
        let scores = self.raw_scores(&rollout).await?;
        let [logprobs, ref_logprobs] = rollout.logprobs().await?;
        let kl = logprobs.iter().flatten().zip(ref_logprobs.iter().flatten()).map(|(p, r)| p - r);
        let n = rollout.episodes.len() as f64;
        Ok(Metrics::from([
            ("eval_objective/kl".into(), kl.sum::<f64>() / n),
            ("eval_objective/scores".into(), scores.iter().sum::<f64>() / n),
        ]))
    }

    /// Its earlier minibatches have been trained on.
    fn fails_cleanly(&self) -> bool {
        false
    }

    async fn finish(&mut self) -> Result<()> {
        self.verify_reference().await
    }

    fn model(&self) -> &Model {
        &self.policy
    }

    fn parts(&mut self) -> Vec<(&'static str, &mut Model, &mut AdamW)> {
        let (critic, optimizer) = match &mut self.critic {
            Critic::Model { model, optimizer } => (model, optimizer),
            Critic::Head { head, optimizer } => (head, optimizer),
        };
        vec![("policy", &mut self.policy, &mut self.optimizer), ("value", critic, optimizer)]
    }

    fn counters(&self) -> serde_json::Value {
        let counters = Counters { controller: self.controller.clone(), reference: self.reference_digest.clone() };
        serde_json::to_value(counters).expect("counters are plain data")
    }

    fn restore_counters(&mut self, counters: &serde_json::Value) -> std::result::Result<(), String> {
        let Counters { controller, reference } = Counters::deserialize(counters).map_err(|e| e.to_string())?;
        same_reference(&reference, &self.reference_digest)?;
        self.controller = controller;
        Ok(())
    }

    fn set(&mut self, path: &str, value: f64) -> bool {
        if !(value as f32).is_finite() || value < 0.0 {
            return false;
        }
        match path {
            "ppo.kl_coef" => self.controller.kl_coef = value,
            "ppo.entropy_coef" => self.config.entropy_coef = value,
            "training.learning_rate" => self.recipe.training.learning_rate = value,
            _ => return false,
        }
        true
    }

    fn samples(&mut self) -> Vec<(String, String, Option<f64>)> {
        self.shown.clone()
    }

    fn has_eval(&self) -> bool {
        !self.eval.is_empty()
    }
}

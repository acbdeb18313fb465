//! The pipeline as a person walks it: one run at a time, one step at a time, with every model kept to go on from.
//!
//! [`Lesson`] owns the world and the models; a [`Run`] is one stage in progress. `evenkeel demo` drives it from the first stage to the
//! last; the page's worker through a [`Player`], which obeys [`Command`](crate::event::Command)s. The trainers are those of `train`, with
//! nothing but tokens to see. The gold score enters in two places alone: the labeller, who ranks, and the monitor, which watches what PPO
//! samples and tells nobody.

mod compare;
mod keep;
mod labels;
mod plan;
mod player;
mod ppo;
mod run;
mod show;

use std::collections::BTreeMap;

use burn::tensor::Device;

use super::{Question, World, tokenizer};
use crate::data::{Preference, Prompt, Sequence};
use crate::event::Event;
use crate::model::{Head, Model, ModelConfig, Sampling};
use crate::recipe::Recipe;
use crate::text::{Text, TextFiles};
use crate::{Error, Result};

pub use plan::Plan;
pub(in crate::world) use plan::{SWEEP_BETAS, SWEEP_SEEDS};
pub use player::{Guest, Player};
pub use run::Run;

use labels::Asked;
use ppo::History;

/// The stages in order; forks and sweeps have names of their own.
pub const STAGES: [&str; 7] = ["sft", "preferences", "reward", "ppo", NO_ANCHOR, "dpo", "compare"];
/// PPO at β = 0.
pub const NO_ANCHOR: &str = "ppo β=0";

/// Everything that the runs share.
pub struct Lesson {
    pub plan: Plan,
    /// Tokenizer and chat template of every model.
    pub text: Text,
    /// How answers are sampled.
    pub sampling: Sampling,
    /// The runs' language models by name, in the order of training; the first, "base", is untrained.
    pub models: Vec<(String, Model)>,
    /// Trained by the run "reward".
    pub reward: Option<Model>,
    /// The simulated labeller's.
    pub rankings: Vec<Preference>,
    /// The visitor's.
    pub own_rankings: Vec<Preference>,
    /// The reward model and DPO learn from the visitor's rankings alone.
    pub only_own: bool,
    /// Whether runs also say what a page shows and a log has no use for, and can be forked.
    pub shows: bool,
    world: World,
    device_name: String,
    histories: BTreeMap<String, History>,
    asked: BTreeMap<u64, Asked>,
}

impl Lesson {
    /// An untrained model in the world of the plan's seed.
    ///
    /// # Errors
    /// A plan with a size of zero.
    pub fn new(plan: &Plan, device: &Device, device_name: &str) -> Result<Self> {
        plan.check()?;
        let world = World::new(plan.seed);
        let files = TextFiles {
            tokenizer: tokenizer::train(&world)?.into_bytes(),
            config: Some(tokenizer::config().to_string().into_bytes()),
            ..TextFiles::default()
        };
        let config = ModelConfig::from_value("world", plan.model_config())?;
        let base = Model::init(config, Head::Lm, plan.seed, device);
        Ok(Self {
            plan: plan.clone(),
            text: Text::from_files("world", files)?,
            sampling: Sampling { max_new_tokens: super::MAX_ANSWER_TOKENS, stop: vec![tokenizer::EOS], ..Sampling::default() },
            models: vec![("base".to_string(), base)],
            reward: None,
            rankings: Vec::new(),
            own_rankings: Vec::new(),
            only_own: false,
            shows: false,
            world,
            device_name: device_name.to_string(),
            histories: BTreeMap::new(),
            asked: BTreeMap::new(),
        })
    }

    /// What must have been run before `stage` can be.
    pub fn needs(&self, stage: &str) -> Vec<&'static str> {
        let done = |stage: &str| match stage {
            "preferences" => !self.rankings.is_empty() || self.only_own && !self.own_rankings.is_empty(),
            "reward" => self.reward.is_some(),
            _ => self.model(stage).is_ok(),
        };
        let needed: &[&str] = match stage {
            "sft" => &[],
            "preferences" => &["sft"],
            "reward" | "dpo" => &["sft", "preferences"],
            _ => &["sft", "preferences", "reward"],
        };
        needed.iter().copied().filter(|stage| !done(stage)).collect()
    }

    /// The language model that the run `name` left.
    ///
    /// # Errors
    /// There is none yet.
    pub fn model(&self, name: &str) -> Result<&Model> {
        let found = self.models.iter().find(|(known, _)| known == name).map(|(_, model)| model);
        found.ok_or_else(|| Error::input("model", format!("`{name}` has not been trained yet"), "run its stage first"))
    }

    /// The settings of a run that has been done.
    fn recipe(&self, run: &str) -> Result<Recipe> {
        match run {
            "sft" => Ok(self.plan.sft()),
            "reward" => Ok(self.plan.reward()),
            "dpo" => Ok(self.plan.dpo()),
            ppo => self.ppo_recipe(ppo),
        }
    }

    fn reward_model(&self) -> Result<&Model> {
        self.reward.as_ref().ok_or_else(|| Error::input("model", "there is no reward model yet", "run the stage `reward` first"))
    }

    /// Drops what was built on an earlier run of `stage`, which begins anew.
    fn make_way_for(&mut self, stage: &str) {
        match stage {
            "sft" => {
                self.models.truncate(1);
                self.rankings.clear();
                self.own_rankings.clear();
                self.asked.clear();
            }
            "preferences" => self.rankings.clear(),
            "reward" => {}
            _ => return,
        }
        self.reward = None;
        self.models.retain(|(name, _)| ["base", "sft", "dpo"].contains(&name.as_str()));
        self.histories.clear();
    }

    /// Keeps a run's model, in the place of an older one of that name.
    fn keep_model(&mut self, name: &str, model: Model) {
        match self.models.iter_mut().find(|(known, _)| known == name) {
            Some((_, kept)) => *kept = model,
            None => self.models.push((name.to_string(), model)),
        }
    }

    /// A prompt as token ids, up to where the answer begins.
    fn prompt_ids(&self, question: &str) -> Result<Vec<u32>> {
        self.text.encode(&tokenizer::prompt_text(question), false)
    }

    /// A conversation as token ids; the answer and its EOS are marked.
    fn conversation(&self, question: &str, answer: &str) -> Result<Sequence> {
        let answer = self.text.encode(&tokenizer::answer_text(answer), false)?;
        Ok(sequence(&self.prompt_ids(question)?, &answer))
    }

    /// An answer's ids as the text that is judged.
    fn answer_text(&self, ids: &[u32]) -> String {
        self.text.decode(ids, true).trim().to_string()
    }

    fn prompt(&self, question: &Question) -> Result<Prompt> {
        Ok(Prompt { ids: self.prompt_ids(&question.text)?, text: question.text.clone() })
    }

    fn started(&self, stage: &str, total_steps: u64) -> Event {
        let parameters = self.models[0].1.params.num_elements() as u64;
        Event::Started { stage: stage.to_string(), total_steps, parameters, device: self.device_name.clone() }
    }
}

/// Prompt and answer, the answer marked.
fn sequence(prompt: &[u32], answer: &[u32]) -> Sequence {
    let ids: Vec<u32> = prompt.iter().chain(answer).copied().collect();
    let mask = (0..ids.len()).map(|t| t >= prompt.len()).collect();
    Sequence { ids, mask }
}

//! The models that a run starts from: checked by their configurations first, loaded when the plan has passed.

use std::path::{Path, PathBuf};

use anyhow::Result;
use evenkeel_core::Error;
use evenkeel_core::data;
use evenkeel_core::estimate::Size;
use evenkeel_core::model::{Head, Model, ModelConfig, load_text};
use evenkeel_core::recipe::{Recipe, Stage};
use evenkeel_core::text::Text;
use evenkeel_core::train::run::Models;
use evenkeel_kernels::Selected;

use crate::model_folder::ModelFolder;

/// One model folder and its configuration.
pub struct Source {
    folder: ModelFolder,
    /// `config.json`.
    pub config: ModelConfig,
}

/// Every model of a run.
pub struct Sources {
    /// Trained.
    pub policy: Source,
    reference: Option<Source>,
    /// PPO's judge.
    pub reward: Option<Source>,
    value: Option<Source>,
}

impl Source {
    /// Opens a folder that must hold a model with `head`; `setting` names it in errors.
    pub fn open(setting: &str, path: &str, head: Option<Head>) -> Result<Self> {
        let folder = ModelFolder::open(Path::new(path))?;
        let config = folder.config()?;
        let (is, wanted) = match head {
            Some(Head::Lm) => ("a reward model", "a language model (*ForCausalLM)"),
            _ => ("a language model", "a reward model (*ForSequenceClassification with one label), such as `evenkeel reward` makes"),
        };
        if head.is_some_and(|head| head != config.head()) {
            return Err(Error::input(format!("{setting} = {path}"), format!("is {is}"), format!("give {wanted}")).into());
        }
        Ok(Self { folder, config })
    }

    /// What the plan needs to know.
    pub fn size(&self) -> Size {
        Size::of(&self.config, self.config.head())
    }

    /// Weights.
    pub fn parameters(&self) -> u64 {
        self.size().parameters
    }

    fn optional(setting: &str, path: &str, head: Head) -> Result<Option<Self>> {
        if path.is_empty() { Ok(None) } else { Self::open(setting, path, Some(head)).map(Some) }
    }

    fn load(&self, selected: &Selected) -> Result<Model> {
        Ok(self.folder.load(selected)?.model)
    }
}

impl Sources {
    /// Reads the configuration of every model that the recipe names.
    pub fn check(recipe: &Recipe) -> Result<Self> {
        let paths = &recipe.model;
        // A reward model starts from a language model, or goes on from a reward model.
        let head = (recipe.stage != Stage::Reward).then_some(Head::Lm);
        let policy = Source::open("model.path", &paths.path, head)?;
        let ppo = recipe.stage == Stage::Ppo;
        let anchored = ppo || recipe.stage == Stage::Dpo;
        let only = |wanted: bool, path: &str| if wanted { path.to_owned() } else { String::new() };
        let sources = Self {
            reference: Source::optional("model.reference", &only(anchored, &paths.reference), Head::Lm)?,
            reward: Source::optional("model.reward_model", &only(ppo, &paths.reward_model), Head::Score)?,
            value: Source::optional("model.value_model", &only(ppo, &paths.value_model), Head::Score)?,
            policy,
        };
        sources.same_vocabulary(recipe)?;
        Ok(sources)
    }

    /// Token ids pass from one model to the other, so they must mean the same.
    fn same_vocabulary(&self, recipe: &Recipe) -> Result<()> {
        let paths = &recipe.model;
        let others = [
            ("model.reference", &paths.reference, &self.reference),
            ("model.reward_model", &paths.reward_model, &self.reward),
            ("model.value_model", &paths.value_model, &self.value),
        ];
        let wanted = self.policy.config.vocab_size;
        for (setting, path, source) in others {
            let Some(found) = source.as_ref().map(|s| s.config.vocab_size).filter(|&found| found != wanted) else { continue };
            let problem = format!("has a vocabulary of {found}, but the trained model's has {wanted}");
            return Err(Error::input(format!("{setting} = {path}"), problem, "give a model with the same tokenizer").into());
        }
        Ok(())
    }

    /// The trained model's tokenizer, if it has one.
    pub fn text(&self) -> Result<Option<Text>> {
        Ok(load_text(&self.policy.folder, &self.policy.config)?)
    }

    /// The longest sequence that the recipe and the model's context allow; PPO's prompts leave room for the response.
    pub fn longest_sequence(&self, recipe: &Recipe) -> Result<usize> {
        Ok(data::longest_sequence(recipe, &self.policy.config)?)
    }

    /// The weight files of every model.
    pub fn weights(&self) -> Result<Vec<PathBuf>> {
        let all = [Some(&self.policy), self.reference.as_ref(), self.reward.as_ref(), self.value.as_ref()];
        let lists = all.into_iter().flatten().map(|source| source.folder.weights()).collect::<Result<Vec<_>>>()?;
        Ok(lists.concat())
    }

    /// Loads every model onto the device.
    pub fn load(&self, recipe: &Recipe, selected: &Selected) -> Result<Models> {
        let pretrained = self.policy.folder.load(selected)?;
        let load = |source: &Option<Source>| source.as_ref().map(|s| s.load(selected)).transpose();
        let (reference, reward, value) = (load(&self.reference)?, load(&self.reward)?, load(&self.value)?);
        Ok(Models { reference, reward, value, ..Models::new(recipe, pretrained) })
    }
}

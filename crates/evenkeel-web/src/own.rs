//! The visitor's own model and data: looked at before anything starts, then trained by the run loop of the command line.

use std::cell::RefCell;

use evenkeel_core::data::{self, DataFiles, Rows};
use evenkeel_core::estimate::{Estimate, Room, Size};
use evenkeel_core::event::{Event, File, UnfinishedOwn};
use evenkeel_core::model::{Head, Model, ModelConfig, NamedFiles, Pretrained, load, load_text, save};
use evenkeel_core::recipe::{Recipe, Stage};
use evenkeel_core::record::{self, DataFile, Record};
use evenkeel_core::train::run::{Commands, Front, Models, Store, run};
use evenkeel_core::train::state::{self, LATEST, Standing};
use evenkeel_core::world::lesson::Guest;
use evenkeel_core::{Error, Result};
use evenkeel_kernels::Selected;

use crate::kept::{self, Input, RunStore};

/// What has been looked at and can be started, and the judge for PPO.
#[derive(Default)]
pub struct Own {
    ready: Option<Ready>,
    reward: Option<Model>,
    /// The run whose checkpoints are in storage still.
    last: Option<String>,
}

/// Where a run would compute, and the bytes that it may take there, if known.
pub struct Place {
    pub device: String,
    pub room: Room,
    /// As in [`Estimate::speed`].
    pub speed: Option<f64>,
}

struct Ready {
    recipe: Recipe,
    files: NamedFiles,
    data: File,
    rows: Rows,
}

/// The one file of rows that the visitor dropped.
struct OneFile<'a>(&'a File);

impl DataFiles for OneFile<'_> {
    fn for_each_piece(&self, name: &str, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let known = name.to_lowercase();
        if known.ends_with(".jsonl") || known.ends_with(".json") {
            return each(&self.0.bytes);
        }
        Err(Error::input(name, "is not called .jsonl, .jsonl.gz or .json", "convert it to one JSON object a line"))
    }
}

impl Own {
    /// What a run will take, and what is wrong with it.
    pub fn estimate(&mut self, recipe: serde_json::Value, model: Vec<File>, data: File, on: &Place) -> Event {
        self.ready = None;
        match self.look(recipe, model, data, on) {
            Ok(event) => event,
            Err(problems) => Event::Estimate { text: String::new(), steps: 0, bytes: 0, seconds: None, problems },
        }
    }

    fn look(&mut self, recipe: serde_json::Value, model: Vec<File>, data: File, on: &Place) -> std::result::Result<Event, Vec<String>> {
        let one = |error: Error| vec![error.to_string()];
        let mut recipe: Recipe = serde_json::from_value(recipe).map_err(|error| vec![format!("the recipe: {error}")])?;
        let files = NamedFiles { place: "model".into(), files: model.into_iter().map(|file| (file.name, file.bytes)).collect() };
        // The files are what was dropped, whatever the form's fields say.
        (recipe.model.path, recipe.data.train, recipe.data.eval) = ("model".into(), data.name.clone(), String::new());
        if recipe.stage == Stage::Ppo {
            recipe.model.reward_model = "own reward".into();
            if self.reward.is_none() {
                return Err(vec!["PPO needs a reward model with the same tokenizer: train one first, with the stage `reward`".into()]);
            }
        }
        let problems: Vec<String> = recipe.problems().iter().map(ToString::to_string).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let found = files.files.iter().find(|file| file.0 == "config.json");
        let bytes = found.ok_or_else(|| vec!["model/config.json is missing: add the files of a Hugging Face model".to_string()])?;
        let config = ModelConfig::from_json("model/config.json", &bytes.1).map_err(one)?;
        if recipe.stage != Stage::Reward && config.head() == Head::Score {
            return Err(vec!["model is a reward model: give a language model (*ForCausalLM)".into()]);
        }
        let text = load_text(&files, &config).map_err(one)?;
        let longest = data::longest_sequence(&recipe, &config).map_err(one)?;
        let mut lines = Vec::new();
        let rows =
            data::load(&recipe, text.as_ref(), config.vocab_size, longest, &OneFile(&data), &mut |line| lines.push(line)).map_err(one)?;
        if rows.train.is_empty() {
            return Err(vec![format!("{} has no row left to train on: see the notes of the rows that were left out", data.name)]);
        }
        let estimate = Estimate {
            recipe: &recipe,
            policy: Size::of(&config, config.head()),
            reward: self.reward.as_ref().map(|model| Size::of(&model.config, Head::Score)),
            data: rows.amount,
            eval_rows: rows.eval.as_ref().map_or(0, |eval| eval.len() as u64),
            device: on.device.clone(),
            speed: on.speed,
        };
        estimate.check(&on.room).map_err(one)?;
        let facts = estimate.facts(on.room.memory).into_iter().map(|(label, fact)| format!("{label}: {fact}"));
        let text = facts.chain(lines).collect::<Vec<_>>().join("\n");
        let event =
            Event::Estimate { text, steps: estimate.steps(), bytes: estimate.memory(), seconds: estimate.seconds(), problems: vec![] };
        self.ready = Some(Ready { recipe, files, data, rows });
        Ok(event)
    }

    /// Trains what was looked at last, or goes on with the run that is kept. → the run's name and its model; its time is
    /// for the caller to measure.
    ///
    /// # Errors
    /// Nothing was looked at or kept; the files, the device, the storage.
    pub async fn train<S: Store, C: Commands>(
        &mut self,
        resume: bool,
        on: (&Selected, &Place),
        store: &mut S,
        commands: &mut C,
        say: &mut dyn FnMut(Event),
    ) -> Result<(String, Guest)> {
        let (selected, place) = on;
        if resume {
            self.reopen(store, selected, place).await?;
        }
        let none = || Error::input("train", "came before an estimate", "look at the run first");
        let Ready { recipe, mut files, data, rows } = self.ready.take().ok_or_else(none)?;
        let name = format!("own {}", recipe.stage.name());
        let read = files_read(&data, &files.files);
        self.last = None;
        if !resume && let Err(error) = kept::begin(store, &recipe, &mut files.files, data).await {
            say(Event::Warning { message: format!("This run will not survive a reload ({error}).") });
        }
        let mut models = Models::new(&recipe, load(&files, &selected.device)?);
        models.reward = self.reward.clone();
        let (text, sampling) = (models.text.clone(), models.sampling.clone());
        let said = RefCell::default();
        let mut run_store = RunStore::new(store, &said);
        let standing = if resume { state::standing(&mut run_store).await? } else { Standing::default() };
        standing.passed_over.into_iter().for_each(|message| say(Event::Warning { message }));
        let mut earlier = match standing.step {
            Some(step) => run_store.events(step).await?,
            None => Vec::new(),
        };
        let mut tell = |event: Event| {
            // The page tells these runs from the lesson's by their name.
            let (event, before) = match event {
                Event::Started { total_steps, parameters, device, .. } => {
                    (Event::Started { stage: name.clone(), total_steps, parameters, device }, std::mem::take(&mut earlier))
                }
                event => (event, Vec::new()),
            };
            for event in [event].into_iter().chain(before) {
                said.borrow_mut().push(event.clone());
                say(event);
            }
        };
        let front = Front { store: &mut run_store, on_event: &mut tell, commands, device: selected.name.clone() };
        let model = run(&recipe, models, rows.train, rows.eval, front, standing.step).await?;
        kept::end(store).await?;
        self.last = Some(name.clone());
        if recipe.stage == Stage::Reward {
            kept::write_reward(store, &save(&model, text.as_ref(), &sampling).await?).await?;
            self.reward = Some(model.clone());
        }
        let pretrained = Pretrained { model, text, sampling };
        Ok((name, Guest { pretrained, recipe, read, events: said.into_inner(), seconds: 0.0 }))
    }

    /// The newest checkpoint of the run `name`, for its run folder; nothing where storage has another run's.
    ///
    /// # Errors
    /// The storage.
    pub async fn checkpoint<S: Store>(&self, name: &str, store: &mut S) -> Result<Vec<(String, Vec<u8>)>> {
        match &self.last {
            Some(last) if last == name => state::newest(&mut RunStore::new(store, &RefCell::default())).await,
            _ => Ok(Vec::new()),
        }
    }

    /// Keeps a run folder that was begun elsewhere, with the model and rows that it was begun with, as the unfinished run.
    ///
    /// # Errors
    /// What is no run folder, holds no whole checkpoint, or was begun with other files; the storage.
    pub async fn adopt<S: Store>(
        &mut self,
        input: (Vec<File>, File),
        run: Vec<File>,
        place: &Place,
        store: &mut S,
    ) -> Result<UnfinishedOwn> {
        let remedy = "drop the folder of a run that the command line began";
        let refused = |problem: String| Error::input("the run folder", problem, remedy);
        let file = |name: &str| {
            let found = run.iter().find(|file| file.name == name).map(|file| file.bytes.as_slice());
            found.ok_or_else(|| refused(format!("has no {name}")))
        };
        file(&format!("{LATEST}/step"))?;
        let toml = String::from_utf8_lossy(file("recipe.toml")?).into_owned();
        let stage = Recipe::stage_of(&toml).ok_or_else(|| refused("has a recipe that names no stage".into()))?;
        let recipe =
            Recipe::parse(stage, &toml, &[]).map_err(|problems| refused(format!("has a recipe with problems: {}", problems[0])))?;
        let (model, data) = input;
        let wanted = Record::from_json("run.json", file("run.json")?)?.data;
        let named: Vec<_> = model.iter().map(|file| (file.name.clone(), file.bytes.clone())).collect();
        // Rows, then weights, as the command line lists them; rows that were packed are not what they were.
        for (was, is) in wanted.iter().zip(files_read(&data, &named)).filter(|(was, _)| !was.path.ends_with(".gz")) {
            if was.sha256 != is.sha256 {
                let problem = format!("is not {}, which the run began with (SHA-256 differs)", was.path);
                return Err(Error::input(is.path, problem, "choose the model and the rows that the run began with"));
            }
        }
        let events = record::events("events.jsonl", file("events.jsonl")?)?;
        let said = events.into_iter().filter_map(|event| serde_json::from_value(event).ok()).collect();
        let value = serde_json::to_value(&recipe).expect("a recipe is plain data");
        self.look(value, model.clone(), data.clone(), place).map_err(|problems| refused(problems.join("; ")))?;
        self.last = None;
        kept::adopt(store, &recipe, (model, data), run, said).await?;
        let standing = state::standing(&mut RunStore::new(store, &RefCell::default())).await?;
        match standing.step {
            Some(step) => Ok(UnfinishedOwn { stage: stage.name().into(), step }),
            None => Err(refused("has no checkpoint".into())),
        }
    }

    /// Whether a run of `recipe` needs the reward model of an earlier visit.
    pub fn needs_judge(&self, recipe: &serde_json::Value) -> bool {
        self.reward.is_none() && recipe["stage"] == Stage::Ppo.name()
    }

    /// Loads the last reward model that was trained here, if any.
    ///
    /// # Errors
    /// The storage; files that are no reward model.
    pub async fn recall_judge<S: Store>(&mut self, store: &mut S, selected: &Selected) -> Result<()> {
        if self.reward.is_none()
            && let Some(files) = kept::reward(store).await?
        {
            self.reward = Some(load(&NamedFiles { place: "own reward".into(), files }, &selected.device)?.model);
        }
        Ok(())
    }

    /// Looks again at the run that is kept.
    async fn reopen<S: Store>(&mut self, store: &mut S, selected: &Selected, place: &Place) -> Result<()> {
        let broken = |problem: String| Error::input("the run that was kept", problem, "begin a new one");
        let Input { recipe, model, data } = kept::input(store).await?.ok_or_else(|| broken("is not whole".into()))?;
        if recipe.stage == Stage::Ppo {
            self.recall_judge(store, selected).await?;
        }
        let recipe = serde_json::to_value(recipe).map_err(|error| broken(error.to_string()))?;
        self.look(recipe, model, data, place).map(drop).map_err(|problems| broken(problems.join("; ")))
    }
}

/// Rows, then weights: what the command line checks before it goes on with a run.
fn files_read(data: &File, model: &[(String, Vec<u8>)]) -> Vec<DataFile> {
    let weights = model.iter().filter(|(name, _)| name.ends_with(".safetensors")).map(|(name, bytes)| DataFile::of(name, bytes));
    [DataFile::of(&data.name, &data.bytes)].into_iter().chain(weights).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(recipe: &Recipe, model: Vec<File>, rows: &str) -> Vec<String> {
        let data = File { name: "rows.jsonl".into(), bytes: rows.into() };
        match Own::default().estimate(
            serde_json::to_value(recipe).unwrap(),
            model,
            data,
            &Place { device: "CPU".into(), room: Room::default(), speed: None },
        ) {
            Event::Estimate { problems, .. } => problems,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_trained_is_said_before_it_starts() {
        let sft = Recipe::default_for(Stage::Sft);
        assert!(estimate(&sft, vec![], "{}")[0].contains("config.json is missing"));
        let config = File { name: "config.json".into(), bytes: br#"{"model_type":"mamba","architectures":["MambaForCausalLM"]}"#.to_vec() };
        assert!(estimate(&sft, vec![config], "{}")[0].contains("amba"));
        let mut broken = sft.clone();
        broken.training.learning_rate = -1.0;
        assert!(estimate(&broken, vec![], "{}")[0].contains("learning_rate"));
        assert!(estimate(&Recipe::default_for(Stage::Ppo), vec![], "{}")[0].contains("reward model"));
    }
}

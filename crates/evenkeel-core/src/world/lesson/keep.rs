//! A lesson in storage: gone on with after a reload, the numbers are those of the undisturbed one, bit for bit.
//!
//! Finished models are written once, in Hugging Face layout. Everything else is one folder, written whole: where the lesson stands, the
//! events so far, and the running trainer's state.

use std::collections::BTreeMap;

use super::ppo::History;
use super::run::Work;
use super::{Lesson, Plan, Run};
use crate::data::Preference;
use crate::event::{Event, Unfinished};
use crate::model::{NamedFiles, load, save};
use crate::train::kept::LoopState;
use crate::train::run::{Store, Trainer, collect};
use crate::train::state::{self, Folder, Place};
use crate::{Error, Result};

const FOLDER: &str = "lesson";
const STANDING: &str = "lesson.json";
const EVENTS: &str = "events.jsonl";
/// The reward model among the kept models; no run is called so.
const REWARD: &str = "reward model";

/// Where a lesson stands.
#[derive(serde::Serialize, serde::Deserialize)]
struct Standing {
    plan: Plan,
    models: Vec<String>,
    has_reward: bool,
    rankings: Vec<Preference>,
    own_rankings: Vec<Preference>,
    only_own: bool,
    histories: BTreeMap<String, History>,
    queue: Vec<String>,
    run: Option<KeptRun>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct KeptRun {
    name: String,
    step: u64,
    tokens: f64,
    seconds: f64,
    collected: Vec<Preference>,
}

/// A lesson as it was kept.
pub(super) struct Resumed {
    pub lesson: Lesson,
    pub run: Option<Run>,
    /// Seconds that the run had taken.
    pub seconds: f64,
    pub queue: Vec<String>,
    pub events: Vec<Event>,
}

/// The lesson that `store` keeps, if any.
pub(super) async fn unfinished<S: Store>(store: &mut S) -> Result<Option<Unfinished>> {
    let Some(bytes) = store.read(FOLDER, STANDING).await? else { return Ok(None) };
    // What an older version kept cannot be gone on with, and need not be.
    let Ok(standing) = serde_json::from_slice::<Standing>(&bytes) else { return Ok(None) };
    let (stage, step) = standing.run.map_or_else(Default::default, |run| (run.name, run.step));
    Ok(Some(Unfinished { plan: standing.plan, stage, step }))
}

/// Forgets it.
pub(super) async fn forget<S: Store>(store: &mut S) -> Result<()> {
    store.remove_folder(FOLDER).await
}

impl Lesson {
    /// Writes one finished model.
    pub(super) async fn write_model<S: Store>(&self, name: &str, store: &mut S) -> Result<()> {
        let (folder, model) = if name == "reward" { (REWARD, self.reward_model()?) } else { (name, self.model(name)?) };
        store.write_folder(&model_folder(folder), &save(model, None, &self.sampling).await?).await
    }

    /// Writes where the lesson stands. Nothing is written in the middle of a PPO iteration: false.
    pub(super) async fn write<S: Store>(
        &self,
        run: Option<&mut Run>,
        seconds: f64,
        queue: Vec<String>,
        events: &[Event],
        store: &mut S,
    ) -> Result<bool> {
        let mut files = Vec::new();
        let mut kept = None;
        if let Some(run) = run {
            let at = LoopState { step: run.step, ..LoopState::default() };
            let mut collected = Vec::new();
            match &mut run.work {
                Work::Ppo(ppo) if !ppo.between_iterations() => return Ok(false),
                Work::Sft(trainer) => files = collect(Folder::state(trainer, &at)).await?,
                Work::Reward(trainer) => files = collect(Folder::state(trainer, &at)).await?,
                Work::Ppo(ppo) => files = collect(Folder::state(&mut ppo.trainer, &at)).await?,
                Work::Dpo(trainer) => files = collect(Folder::state(trainer, &at)).await?,
                Work::Collect(rankings) => collected = rankings.clone(),
                Work::Compare(_) => {}
            }
            kept = Some(KeptRun { name: run.name.clone(), step: run.step, tokens: run.tokens, seconds, collected });
        }
        let standing = Standing {
            plan: self.plan.clone(),
            models: self.models.iter().skip(1).map(|(name, _)| name.clone()).collect(),
            has_reward: self.reward.is_some(),
            rankings: self.rankings.clone(),
            own_rankings: self.own_rankings.clone(),
            only_own: self.only_own,
            histories: self.histories.clone(),
            queue,
            run: kept,
        };
        let lines = events.iter().map(|event| serde_json::to_string(event).expect("events are plain data") + "\n");
        files.push((EVENTS.into(), lines.collect::<String>().into_bytes()));
        files.push((STANDING.into(), serde_json::to_vec(&standing).expect("a standing is plain data")));
        store.write_folder(FOLDER, &files).await?;
        Ok(true)
    }

    /// The lesson that `store` keeps, as far as it had come.
    pub(super) async fn resume<S: Store>(device: &burn::tensor::Device, device_name: &str, store: &mut S) -> Result<Resumed> {
        let broken = |problem: String| Error::input("the lesson that was kept", problem, "begin a new one");
        let bytes = store.read(FOLDER, STANDING).await?.ok_or_else(|| broken("is not there".into()))?;
        let standing: Standing = serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
        let lines = store.read(FOLDER, EVENTS).await?.unwrap_or_default();
        let events = String::from_utf8_lossy(&lines).lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>();
        let mut lesson = Lesson::new(&standing.plan, device, device_name)?;
        lesson.shows = true;
        for name in &standing.models {
            lesson.models.push((name.clone(), read_model(name, device, store).await?));
        }
        if standing.has_reward {
            lesson.reward = Some(read_model(REWARD, device, store).await?);
        }
        (lesson.rankings, lesson.own_rankings, lesson.only_own) = (standing.rankings, standing.own_rankings, standing.only_own);
        lesson.histories = standing.histories;
        let mut resumed =
            Resumed { lesson, run: None, seconds: 0.0, queue: standing.queue, events: events.map_err(|e| broken(e.to_string()))? };
        if let Some(kept) = standing.run {
            resumed.seconds = kept.seconds;
            resumed.run = Some(resumed.lesson.resume_run(kept, store).await.map_err(|e| broken(e.to_string()))?);
        }
        Ok(resumed)
    }

    async fn resume_run<S: Store>(&mut self, kept: KeptRun, store: &mut S) -> Result<Run> {
        let history = self.histories.get(&kept.name).cloned();
        let mut run = self.prepare(&kept.name).await?;
        match &mut run.work {
            Work::Sft(trainer) => restore(trainer, store).await?,
            Work::Reward(trainer) => restore(trainer, store).await?,
            Work::Dpo(trainer) => restore(trainer, store).await?,
            Work::Ppo(ppo) => {
                restore(&mut ppo.trainer, store).await?;
                let history = history.unwrap_or_default();
                ppo.apply(&history, |after| after <= kept.step);
                self.histories.insert(kept.name.clone(), history);
            }
            Work::Collect(rankings) => *rankings = kept.collected,
            // Nothing was kept of it: the models answer again.
            Work::Compare(_) => return Ok(run),
        }
        (run.step, run.tokens) = (kept.step, kept.tokens);
        Ok(run)
    }
}

async fn restore<T: Trainer, S: Store>(trainer: &mut T, store: &mut S) -> Result<()> {
    let restored = state::restore_from(trainer, &mut Place { store, folder: FOLDER }).await;
    restored.map(|_| ()).map_err(|problem| Error::input(FOLDER, problem, "begin a new one"))
}

fn model_folder(name: &str) -> String {
    format!("models/{name}")
}

async fn read_model<S: Store>(name: &str, device: &burn::tensor::Device, store: &mut S) -> Result<crate::model::Model> {
    let place = model_folder(name);
    let mut files = Vec::new();
    for file in ["config.json", "model.safetensors"] {
        if let Some(bytes) = store.read(&place, file).await? {
            files.push((file.to_string(), bytes));
        }
    }
    Ok(load(&NamedFiles { place, files }, device)?.model)
}

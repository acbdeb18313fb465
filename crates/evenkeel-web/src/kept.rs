//! A run on the visitor's own model in storage, to be gone on with after a reload.
//!
//! `own/input` holds the recipe and the visitor's files until the run is over, `own/run` its checkpoints and events, and `own/reward`
//! the last reward model, which judges PPO.

use std::cell::RefCell;
use std::collections::BTreeMap;

use evenkeel_core::event::{Event, File, UnfinishedOwn};
use evenkeel_core::recipe::Recipe;
use evenkeel_core::train::run::{Files, Store};
use evenkeel_core::train::state::LATEST;
use evenkeel_core::{Error, Result};

const INPUT: &str = "own/input";
const RUN: &str = "own/run";
const REWARD: &str = "own/reward";
/// Beside the model's own files; no Hugging Face model has files of these names.
const ABOUT: &str = "evenkeel-run.json";
const ROWS: &str = "evenkeel-rows";
const EVENTS: &str = "events";

#[derive(serde::Serialize, serde::Deserialize)]
struct About {
    recipe: Recipe,
    model: Vec<String>,
    data: String,
}

/// What a run was started with.
pub struct Input {
    pub recipe: Recipe,
    pub model: Vec<File>,
    pub data: File,
}

/// Keeps what a run is started with, in the place of an earlier run. The model's files are lent, not copied: they may fill memory.
pub async fn begin<S: Store>(store: &mut S, recipe: &Recipe, model: &mut Vec<(String, Vec<u8>)>, data: File) -> Result<()> {
    forget(store).await?;
    let about = About { recipe: recipe.clone(), model: model.iter().map(|(name, _)| name.clone()).collect(), data: data.name };
    model.push((ABOUT.into(), serde_json::to_vec(&about).expect("a recipe is plain data")));
    model.push((ROWS.into(), data.bytes));
    let written = store.write_folder(INPUT, model).await;
    model.truncate(about.model.len());
    written
}

/// What the unfinished run was started with; `None` where there is none.
pub async fn input<S: Store>(store: &mut S) -> Result<Option<Input>> {
    let Some(About { recipe, model, data }) = about(store).await? else { return Ok(None) };
    let mut files = Vec::new();
    for name in model {
        let Some(bytes) = store.read(INPUT, &name).await? else { return Ok(None) };
        files.push(File { name, bytes });
    }
    let Some(bytes) = store.read(INPUT, ROWS).await? else { return Ok(None) };
    Ok(Some(Input { recipe, model: files, data: File { name: data, bytes } }))
}

/// Keeps a run that was begun elsewhere: what it was started with, its checkpoints, and what it said.
pub async fn adopt<S: Store>(store: &mut S, recipe: &Recipe, input: (Vec<File>, File), run: Vec<File>, said: Vec<Event>) -> Result<()> {
    let (model, data) = input;
    let mut model = model.into_iter().map(|file| (file.name, file.bytes)).collect();
    begin(store, recipe, &mut model, data).await?;
    let mut folders: BTreeMap<String, Vec<(String, Vec<u8>)>> = BTreeMap::new();
    for File { name, bytes } in run {
        if let Some((folder, file)) = name.rsplit_once('/').filter(|(folder, _)| folder.starts_with("checkpoints/")) {
            folders.entry(folder.to_owned()).or_default().push((file.to_owned(), bytes));
        }
    }
    let latest = folders.remove(LATEST).unwrap_or_default();
    let said = RefCell::new(said);
    let mut kept = RunStore::new(store, &said);
    for (folder, files) in folders {
        kept.write_folder(&folder, &files).await?;
    }
    // After the checkpoints that it names, as a run writes it.
    kept.write_folder(LATEST, &latest).await
}

/// The run that can be gone on with: one that has a checkpoint.
pub async fn unfinished<S: Store>(store: &mut S) -> Result<Option<UnfinishedOwn>> {
    let Some(about) = about(store).await? else { return Ok(None) };
    let step = latest(&mut RunStore::new(store, &RefCell::default())).await?;
    Ok(step.map(|step| UnfinishedOwn { stage: about.recipe.stage.name().into(), step }))
}

/// Forgets it.
pub async fn forget<S: Store>(store: &mut S) -> Result<()> {
    store.remove_folder(INPUT).await?;
    store.remove_folder(RUN).await
}

/// The run is over: nothing is left to go on with.
pub async fn end<S: Store>(store: &mut S) -> Result<()> {
    store.remove_folder(INPUT).await
}

pub async fn write_reward<S: Store>(store: &mut S, files: &[(String, Vec<u8>)]) -> Result<()> {
    store.write_folder(REWARD, files).await
}

/// The last reward model's `config.json` and `model.safetensors`.
pub async fn reward<S: Store>(store: &mut S) -> Result<Option<Vec<(String, Vec<u8>)>>> {
    let mut files = Vec::new();
    for name in ["config.json", "model.safetensors"] {
        let Some(bytes) = store.read(REWARD, name).await? else { return Ok(None) };
        files.push((name.to_string(), bytes));
    }
    Ok(Some(files))
}

async fn about<S: Store>(store: &mut S) -> Result<Option<About>> {
    // What an older version kept cannot be gone on with, and need not be.
    Ok(store.read(INPUT, ABOUT).await?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// The step of the newest checkpoint.
async fn latest<S: Store>(run: &mut RunStore<'_, S>) -> Result<Option<u64>> {
    let bytes = run.read(LATEST, "step").await?;
    Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok()))
}

/// The run's folders within `store`. What was said so far is kept with every checkpoint.
pub struct RunStore<'a, S> {
    store: &'a mut S,
    said: &'a RefCell<Vec<Event>>,
}

impl<'a, S: Store> RunStore<'a, S> {
    pub fn new(store: &'a mut S, said: &'a RefCell<Vec<Event>>) -> Self {
        Self { store, said }
    }

    /// What was said up to the checkpoint of `last`.
    pub async fn events(&mut self, last: u64) -> Result<Vec<Event>> {
        let bytes = self.read(EVENTS, "events.jsonl").await?.unwrap_or_default();
        let lines = String::from_utf8_lossy(&bytes);
        let events = lines.lines().map(serde_json::from_str).collect::<std::result::Result<Vec<Event>, _>>();
        let events = events.map_err(|error| Error::Storage(format!("{RUN}/{EVENTS}: {error}")))?;
        Ok(events.into_iter().filter(|event| step_of(event).is_some_and(|step| step <= last)).collect())
    }
}

/// The step that an event of a curve tells of.
fn step_of(event: &Event) -> Option<u64> {
    match event {
        Event::Step { step, .. } | Event::Eval { step, .. } | Event::Sample { step, .. } => Some(*step),
        _ => None,
    }
}

impl<S: Store> Store for RunStore<'_, S> {
    async fn write(&mut self, name: &str, files: impl Files) -> Result<()> {
        if name == LATEST {
            let lines =
                self.said.borrow().iter().map(|e| serde_json::to_string(e).expect("events are plain data") + "\n").collect::<String>();
            self.store.write_folder(&format!("{RUN}/{EVENTS}"), &[("events.jsonl".into(), lines.into_bytes())]).await?;
        }
        self.store.write(&format!("{RUN}/{name}"), files).await
    }

    async fn read_part(&mut self, folder: &str, file: &str, from: u64, most: usize) -> Result<Option<Vec<u8>>> {
        self.store.read_part(&format!("{RUN}/{folder}"), file, from, most).await
    }

    async fn remove_folder(&mut self, name: &str) -> Result<()> {
        self.store.remove_folder(&format!("{RUN}/{name}")).await
    }
}

//! What a run leaves behind, the same whoever ran it: `run.json`'s record, and a run folder's files.

use serde::{Deserialize, Serialize};

use crate::event::{Event, File};
use crate::recipe::Recipe;

/// `run.json`: where a run comes from and how it went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// evenkeel's version.
    pub version: String,
    /// `sft`, `reward`, `dpo`, `ppo` or `demo`.
    pub stage: String,
    /// `running`, `finished`, `stopped` or `failed`.
    pub status: String,
    /// Why it stopped or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where tensors lived: the adapter's name and its API.
    pub device: String,
    /// Seed of every random draw.
    pub seed: u64,
    /// Parameters of the trained model.
    pub parameters: u64,
    /// Files that the run read.
    pub data: Vec<DataFile>,
    /// UTC; empty where the front end has no calendar.
    pub started: String,
    /// UTC, once it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<String>,
    /// Wall-clock time of all its sessions.
    pub seconds: f64,
    /// Optimiser steps done.
    pub steps: u64,
    /// Largest resident memory of the process, where the system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
}

/// One data file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// As given.
    pub path: String,
    /// Of the file as it lies on disk.
    pub sha256: String,
    /// Size on disk.
    pub bytes: u64,
}

impl Record {
    /// As it is written.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a record is plain data") + "\n"
    }
}

/// A run folder without checkpoints, as the command line writes one: `recipe.toml`, `run.json`, `events.jsonl`, `samples.jsonl` and
/// `model/`. `events` are what the run said, from [`Event::Started`] on; of them those are kept that the command line keeps too.
pub fn run_folder(recipe: &Recipe, events: &[Event], seconds: f64, model: Vec<(String, Vec<u8>)>) -> Vec<File> {
    let mut record = Record {
        version: env!("CARGO_PKG_VERSION").into(),
        stage: recipe.stage.name().into(),
        status: "stopped".into(),
        seed: recipe.seed,
        seconds,
        ..Record::default()
    };
    let (mut lines, mut samples) = (String::new(), String::new());
    for event in events {
        let mut event = event.clone();
        match &mut event {
            Event::Started { stage, parameters, device, .. } => {
                stage.clone_from(&record.stage);
                (record.parameters, record.device) = (*parameters, device.clone());
            }
            Event::Step { step, .. } => record.steps = *step,
            Event::Finished { reason, .. } => {
                record.reason.clone_from(reason);
                record.status = if reason.is_some() { "stopped" } else { "finished" }.into();
            }
            Event::Eval { .. } | Event::Sample { .. } => {}
            _ => continue,
        }
        let line = serde_json::to_string(&event).expect("events are plain data") + "\n";
        if matches!(event, Event::Sample { .. }) {
            samples += &line;
        }
        lines += &line;
    }
    let texts = [("recipe.toml", recipe.to_toml()), ("run.json", record.to_json()), ("events.jsonl", lines), ("samples.jsonl", samples)];
    let texts = texts.map(|(name, text)| File { name: name.into(), bytes: text.into_bytes() });
    texts.into_iter().chain(model.into_iter().map(|(name, bytes)| File { name: format!("model/{name}"), bytes })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Stage;

    #[test]
    fn a_folder_tells_what_the_run_said() {
        let events = [
            Event::Started { stage: "own sft".into(), total_steps: 2, parameters: 7, device: "GPU".into() },
            Event::Step { step: 1, metrics: [("loss".to_owned(), 0.5)].into() },
            Event::Sample { step: 1, prompt: "p".into(), completion: "c".into(), score: None },
            Event::Saved { stage: "own sft".into(), step: 1 },
            Event::Step { step: 2, metrics: [("loss".to_owned(), 0.25)].into() },
            Event::Finished { step: 2, reason: None },
        ];
        let files = run_folder(&Recipe::default_for(Stage::Sft), &events, 1.5, vec![("config.json".into(), b"{}".to_vec())]);
        let text = |name: &str| String::from_utf8(files.iter().find(|f| f.name == name).unwrap().bytes.clone()).unwrap();
        let record: Record = serde_json::from_str(&text("run.json")).unwrap();
        let said = (record.stage.as_str(), record.status.as_str(), record.device.as_str(), record.parameters, record.steps, record.seconds);
        assert_eq!(said, ("sft", "finished", "GPU", 7, 2, 1.5));
        assert_eq!(text("events.jsonl").lines().count(), 5);
        assert!(text("events.jsonl").starts_with(r#"{"event":"started","stage":"sft""#));
        assert_eq!(text("samples.jsonl").lines().count(), 1);
        assert_eq!((text("recipe.toml"), text("model/config.json").as_str()), (Recipe::default_for(Stage::Sft).to_toml(), "{}"));
    }
}

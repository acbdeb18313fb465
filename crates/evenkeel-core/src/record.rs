//! What a run leaves behind, the same whoever ran it: `run.json`'s record, and a run folder's files.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Event, File};
use crate::recipe::Recipe;
use crate::train::state::sha256;
use crate::{Error, Result};

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

impl DataFile {
    /// A file that is in memory.
    pub fn of(path: &str, bytes: &[u8]) -> Self {
        Self { path: path.to_owned(), sha256: sha256(bytes), bytes: bytes.len() as u64 }
    }
}

impl Record {
    /// Reads a `run.json`; `place` names it in errors.
    ///
    /// # Errors
    /// What is no record.
    pub fn from_json(place: &str, bytes: &[u8]) -> Result<Self> {
        let record: Self = serde_json::from_slice(bytes)
            .map_err(|e| Error::input(place, format!("is not a run's record ({e})"), "give another run folder"))?;
        if !(record.seconds.is_finite() && record.seconds >= 0.0) {
            return Err(Error::input(format!("{place}: seconds"), format!("{} is no length of time", record.seconds), "give 0 or more"));
        }
        Ok(record)
    }

    /// As it is written.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a record is plain data") + "\n"
    }
}

/// The events of an `events.jsonl`, oldest first, of whatever version; `place` names the file in errors. A last line without an end is
/// what a killed run was writing, and is left out.
///
/// # Errors
/// The first line that is no event.
pub fn events(place: &str, bytes: &[u8]) -> Result<Vec<Value>> {
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let mut events = Vec::new();
    for (i, line) in bytes[..whole].split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty()) {
        let broken = |problem: String| {
            Error::input(
                format!("{place}:{}", i + 1),
                format!("is not an event ({problem})"),
                "remove the line, or give another run folder",
            )
        };
        let event: Value = serde_json::from_slice(line).map_err(|e| broken(e.to_string()))?;
        if !event["event"].is_string() {
            return Err(broken("it has no `event`".into()));
        }
        events.push(event);
    }
    Ok(events)
}

/// A run folder without checkpoints, as the command line writes one: `recipe.toml`, `run.json`, `events.jsonl`, `samples.jsonl` and
/// `model/`. `read` is what the run was begun with. `events` are what it said, from [`Event::Started`] on; of them those are kept that the command
/// line keeps too.
pub fn run_folder(recipe: &Recipe, read: &[DataFile], events: &[Event], seconds: f64, model: Vec<(String, Vec<u8>)>) -> Vec<File> {
    let mut record = Record {
        version: env!("CARGO_PKG_VERSION").into(),
        stage: recipe.stage.name().into(),
        status: "stopped".into(),
        seed: recipe.seed,
        data: read.to_vec(),
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
    fn a_line_that_is_no_event_is_named_and_half_a_last_line_is_not() {
        let read = |text: &str| super::events("e", text.as_bytes()).map(|events| events.len()).map_err(|error| error.to_string());
        assert_eq!(read("{\"event\":\"later\"}\n\n{\"event\":\"step\"}\n{\"ev"), Ok(2));
        assert!(read("{\"event\":\"step\"}\nnonsense\n").unwrap_err().starts_with("e:2: is not an event"));
        assert!(read("{\"step\":1}\n").unwrap_err().contains("no `event`"));
    }

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
        let read = [DataFile::of("rows.jsonl", b"abc")];
        let files = run_folder(&Recipe::default_for(Stage::Sft), &read, &events, 1.5, vec![("config.json".into(), b"{}".to_vec())]);
        let text = |name: &str| String::from_utf8(files.iter().find(|f| f.name == name).unwrap().bytes.clone()).unwrap();
        let record: Record = serde_json::from_str(&text("run.json")).unwrap();
        let said = (record.stage.as_str(), record.status.as_str(), record.device.as_str(), record.parameters, record.steps, record.seconds);
        assert_eq!(said, ("sft", "finished", "GPU", 7, 2, 1.5));
        assert_eq!((record.data[0].bytes, &record.data[0].sha256[..8]), (3, "ba7816bf"));
        assert_eq!(text("events.jsonl").lines().count(), 5);
        assert!(text("events.jsonl").starts_with(r#"{"event":"started","stage":"sft""#));
        assert_eq!(super::events("events.jsonl", text("events.jsonl").as_bytes()).unwrap().len(), 5);
        assert_eq!(text("samples.jsonl").lines().count(), 1);
        assert_eq!((text("recipe.toml"), text("model/config.json").as_str()), (Recipe::default_for(Stage::Sft).to_toml(), "{}"));
    }
}

//! `events.jsonl` and `samples.jsonl`: one line per event, flushed as it happens.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result};
use evenkeel_core::event::Event;
use evenkeel_core::record;
use serde_json::Value;

use crate::files;

const LOGS: [&str; 2] = ["events.jsonl", "samples.jsonl"];

/// Open logs of one run.
#[derive(Debug)]
pub struct EventLog {
    events: File,
    samples: File,
}

impl EventLog {
    /// Opens the logs of the run at `run`, creating them if needed.
    pub fn open(run: &Path) -> Result<Self> {
        let open = |name: &str| {
            let path = run.join(name);
            OpenOptions::new().create(true).append(true).open(&path).with_context(|| format!("cannot write {}", path.display()))
        };
        let [events, samples] = LOGS.map(open);
        let log = Self { events: events?, samples: samples? };
        files::sync_folder(run)?;
        Ok(log)
    }

    /// Everything written so far is on the disk when this returns.
    pub fn sync(&self) -> Result<()> {
        self.samples.sync_data().context("cannot sync samples.jsonl")?;
        self.events.sync_data().context("cannot sync events.jsonl")
    }

    /// Appends one event; a sample goes into both files.
    pub fn write(&mut self, event: &Event) -> Result<()> {
        let line = serde_json::to_string(event).expect("events are plain data") + "\n";
        if matches!(event, Event::Sample { .. }) {
            self.samples.write_all(line.as_bytes()).context("cannot write samples.jsonl")?;
        }
        self.events.write_all(line.as_bytes()).context("cannot write events.jsonl")
    }
}

/// Whether the logs that a run left can be gone on with.
pub fn check(run: &Path) -> Result<()> {
    for path in LOGS.map(|name| run.join(name)).iter().filter(|path| path.exists()) {
        record::events(&path.display().to_string(), &files::read(path, files::MOST_LOG, "remove it, or start a new run")?)?;
    }
    Ok(())
}

/// Before going on from the checkpoint of `step`: lines of later steps, which will be run again, are dropped, and so are a
/// half-written last line and the end of the interrupted session.
pub fn rewind(run: &Path, step: u64) -> Result<()> {
    for name in LOGS {
        let path = run.join(name);
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            bytes => bytes.with_context(|| format!("cannot read {}", path.display()))?,
        };
        // A line cut in the middle of a letter is no UTF-8.
        let text = String::from_utf8_lossy(&bytes);
        let keep = |line: &&str| serde_json::from_str::<Value>(line).is_ok_and(|event| belongs(&event, step));
        let kept: String = text.lines().filter(keep).map(|line| format!("{line}\n")).collect();
        files::write_atomic(&path, kept.as_bytes())?;
    }
    Ok(())
}

fn belongs(event: &Value, step: u64) -> bool {
    let kind = event["event"].as_str().unwrap_or_default();
    !matches!(kind, "finished" | "failed") && event["step"].as_u64().unwrap_or(0) <= step
}

/// The events of a run, oldest first.
pub fn read(run: &Path) -> Result<Vec<Value>> {
    let path = run.join("events.jsonl");
    let bytes = files::read(&path, files::MOST_LOG, "give the folder of a run that began")?;
    Ok(record::events(&path.display().to_string(), &bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_rewound_to_its_checkpoint() {
        let root = tempfile::tempdir().unwrap();
        let mut log = EventLog::open(root.path()).unwrap();
        let started = Event::Started { stage: "sft".into(), total_steps: 9, parameters: 1, device: "CPU".into() };
        log.write(&started).unwrap();
        for step in 1..=3 {
            log.write(&Event::Step { step, metrics: [("loss".to_owned(), 0.5)].into() }).unwrap();
            log.write(&Event::Sample { step, prompt: "p".into(), completion: "c".into(), score: None }).unwrap();
        }
        log.write(&Event::Finished { step: 3, reason: Some("asked to".into()) }).unwrap();
        // Cut in the middle of a letter, as a full disk leaves it.
        log.events.write_all("{\"event\":\"é".as_bytes().split_last().unwrap().1).unwrap();
        rewind(root.path(), 2).unwrap();
        let events = read(root.path()).unwrap();
        assert_eq!(events.len(), 5);
        assert_eq!(events[1].to_string(), r#"{"event":"step","step":1,"metrics":{"loss":0.5}}"#);
        assert_eq!(fs::read_to_string(root.path().join("samples.jsonl")).unwrap().lines().count(), 2);
    }
}

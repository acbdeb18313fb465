//! The run folder: one writer, every record durable.
//!
//! `recipe.toml`, `run.json`, `events.jsonl`, `samples.jsonl`, `checkpoints/`, `model/`; layout as ARCHITECTURE.md says.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use evenkeel_core::Error;
use evenkeel_core::record::{DataFile, Record};

use crate::{clock, files};

/// An open run folder. The lock is released when it is dropped, or when the process ends however it ends.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    record: Record,
    _lock: File,
}

/// Digests the file at `path`.
pub fn data_file(path: &Path) -> Result<DataFile> {
    let (sha256, bytes) = files::digest(path)?;
    Ok(DataFile { path: path.display().to_string(), sha256, bytes })
}

/// `runs/20261122-153000-dpo-smollm-s1`.
pub fn default_path(stage: &str, model: &str, seed: u64) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._".contains(c) { c } else { '-' };
    let name: String = model_name(model).chars().map(plain).collect();
    let name = if name.is_empty() { String::new() } else { format!("-{name}") };
    Path::new("runs").join(format!("{}-{stage}{name}-s{seed}", clock::stamp()))
}

/// The last telling part of a model's path: `runs/20261122-153000-sft-tiny-s1/model` is called by its run's model.
fn model_name(model: &str) -> String {
    let part = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let path = Path::new(model);
    let name = part(path);
    let Some(run) = path.parent().map(part).filter(|_| name == "model") else { return name };
    let words: Vec<&str> = run.split('-').collect();
    match words.as_slice() {
        [date, time, _stage, model @ .., _seed] if date.len() == 8 && time.len() == 6 && !model.is_empty() => model.join("-"),
        _ => run,
    }
}

impl RunFolder {
    /// A new run folder at `path`, which must not exist or be empty, but for what a run leaves that was killed before it began.
    pub fn create(path: &Path, recipe_toml: Option<&str>, record: Record) -> Result<Self> {
        refuse_used(path, recipe_toml)?;
        files::create_folder(path).map_err(|error| files::unwritable("--out", path, error))?;
        let lock = lock(path)?;
        refuse_used(path, recipe_toml)?;
        files::sweep(path);
        if let Some(toml) = recipe_toml {
            files::write_atomic(&path.join("recipe.toml"), toml.as_bytes())?;
        }
        let record = Record { version: env!("CARGO_PKG_VERSION").into(), status: "running".into(), started: clock::timestamp(), ..record };
        let run = Self { path: path.to_owned(), record, _lock: lock };
        run.save()?;
        Ok(run)
    }

    /// The interrupted run at `path`, to go on with, and what `look` makes of the locked folder before anything in it is changed. Files that
    /// changed since the run began are refused.
    pub fn reopen<T>(path: &Path, recipe_toml: &str, now: &Record, look: impl FnOnce() -> Result<T>) -> Result<(Self, T)> {
        Self::read_record(path)?;
        let lock = lock(path)?;
        // Again: whoever held the lock may have written.
        let mut record = Self::read_record(path)?;
        if let Some((was, _)) = record.data.iter().zip(&now.data).find(|(was, is)| was.sha256 != is.sha256) {
            let problem = "is not the file that the run began with (SHA-256 differs)";
            return Err(Error::input(was.path.clone(), problem, "restore it, or start a new run").into());
        }
        let seen = look()?;
        files::sweep(path);
        files::sweep(&path.join("checkpoints"));
        files::write_atomic(&path.join("recipe.toml"), recipe_toml.as_bytes())?;
        record = Record { status: "running".into(), reason: None, finished: None, device: now.device.clone(), ..record };
        let run = Self { path: path.to_owned(), record, _lock: lock };
        run.save()?;
        Ok((run, seen))
    }

    /// `run.json` of a run folder.
    pub fn read_record(path: &Path) -> Result<Record> {
        let file = path.join("run.json");
        let place = file.display().to_string();
        Ok(Record::from_json(&place, &files::read(&file, files::MOST_TEXT, "give the folder of a run that began")?)?)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The end of this session: `finished`, `stopped` or `failed`.
    pub fn finish(&mut self, status: &str, reason: Option<String>, steps: u64, seconds: f64) -> Result<()> {
        self.record.status = status.to_owned();
        self.record.reason = reason;
        self.record.steps = steps;
        self.record.seconds += seconds;
        self.record.finished = Some(clock::timestamp());
        self.record.peak_memory_bytes = crate::memory::peak();
        self.save()
    }

    fn save(&self) -> Result<()> {
        files::write_atomic(&self.path.join("run.json"), self.record.to_json().as_bytes())
    }
}

/// `run.json` is written last, so a folder without one may hold the lock, a half-written file, and the same recipe.
fn refuse_used(path: &Path, recipe_toml: Option<&str>) -> Result<()> {
    let ours = |name: &str| {
        let same_recipe = || fs::read_to_string(path.join(name)).ok().as_deref() == recipe_toml;
        name == LOCK || name.starts_with(".part-") || (name == "recipe.toml" && same_recipe())
    };
    let used = fs::read_dir(path).is_ok_and(|entries| entries.flatten().any(|entry| !ours(&entry.file_name().to_string_lossy())));
    if used || path.is_file() {
        let problem = "already exists and is not empty";
        return Err(Error::input(format!("--out {}", path.display()), problem, "choose another folder, or go on with --resume").into());
    }
    Ok(())
}

const LOCK: &str = ".lock";

fn lock(path: &Path) -> Result<File> {
    let file = path.join(LOCK);
    let open = File::create(&file).with_context(|| format!("cannot write {}", file.display()))?;
    match open.try_lock() {
        Ok(()) => Ok(open),
        Err(TryLockError::WouldBlock) => {
            let problem = "is in use by another evenkeel process";
            Err(Error::input(path.display().to_string(), problem, "wait for it, stop it, or choose another folder").into())
        }
        Err(TryLockError::Error(e)) => Err(e).with_context(|| format!("cannot lock {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let data = vec![DataFile { path: "rows.jsonl".into(), sha256: "ab".into(), bytes: 2 }];
        Record { stage: "sft".into(), seed: 3, data, ..Record::default() }
    }

    #[test]
    fn a_used_folder_is_refused_and_a_run_is_reopened() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        let mut run = RunFolder::create(&path, Some("stage = \"sft\"\n"), record()).unwrap();
        run.finish("stopped", Some("asked to".into()), 4, 1.5).unwrap();
        assert!(RunFolder::create(&path, None, record()).unwrap_err().to_string().contains("--resume"));
        let reopen = |look: fn() -> Result<u64>| RunFolder::reopen(&path, "", &record(), look);
        assert!(reopen(|| Ok(4)).unwrap_err().to_string().contains("in use"));
        drop(run);
        assert!(reopen(|| anyhow::bail!("no checkpoint")).is_err());
        assert_eq!(RunFolder::read_record(&path).unwrap().status, "stopped", "nothing was changed");
        let (_run, step) = reopen(|| Ok(4)).unwrap();
        assert_eq!(step, 4);
        let read = RunFolder::read_record(&path).unwrap();
        assert_eq!((read.status.as_str(), read.steps, read.seconds, read.finished), ("running", 4, 1.5, None));
    }

    #[test]
    fn a_run_killed_before_it_began_may_begin_again_with_the_same_recipe_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        fs::create_dir(&path).unwrap();
        for (name, content) in [(".lock", ""), (".part-run.json", "{"), ("recipe.toml", "seed = 1\n")] {
            fs::write(path.join(name), content).unwrap();
        }
        assert!(RunFolder::create(&path, Some("seed = 2\n"), record()).unwrap_err().to_string().contains("not empty"));
        drop(RunFolder::create(&path, Some("seed = 1\n"), record()).unwrap());
        assert!(!path.join(".part-run.json").exists());
        assert!(RunFolder::create(&path, Some("seed = 1\n"), record()).unwrap_err().to_string().contains("not empty"));
    }

    #[test]
    fn changed_data_is_refused_on_resume() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        drop(RunFolder::create(&path, None, record()).unwrap());
        let mut changed = record();
        changed.data[0].sha256 = "cd".into();
        assert!(RunFolder::reopen(&path, "", &changed, || Ok(())).unwrap_err().to_string().starts_with("rows.jsonl: is not the file"));
    }

    #[test]
    fn names_tell_stage_model_and_seed() {
        let name = |model: &str| default_path("dpo", model, 1).file_name().unwrap().to_string_lossy()[16..].to_owned();
        assert_eq!(name("models/Smol LM"), "dpo-Smol-LM-s1");
        assert_eq!(name("runs/20261122-153000-sft-tiny-s1/model"), "dpo-tiny-s1");
        assert_eq!(name("runs/mine/model/"), "dpo-mine-s1");
        assert_eq!(name(""), "dpo-s1");
    }
}

//! A run's folders on disk: whole or absent.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use evenkeel_core::train::run::{Files, Store};
use evenkeel_core::{Error, Result};

use crate::files;
use crate::listener::Listener;

/// Folders inside one run folder: `checkpoints/step-000200`, `checkpoints/LATEST`, `model`.
pub struct FileStore<'a> {
    root: PathBuf,
    /// What the run says: on the disk before any folder is, so that a checkpoint never knows of a step that the logs have lost.
    listener: Option<&'a Listener>,
}

impl<'a> FileStore<'a> {
    /// The folders of the run at `run`.
    pub fn new(run: &Path) -> Self {
        Self { root: run.to_owned(), listener: None }
    }

    /// The folders of a run that `listener` hears.
    pub fn heard_by(run: &Path, listener: &'a Listener) -> Self {
        Self { root: run.to_owned(), listener: Some(listener) }
    }

    /// Removes checkpoints that are not among `kept`: those that a killed run had not yet named, or no longer named.
    pub fn keep_only(&self, kept: &[u64]) {
        let folder = self.root.join("checkpoints");
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let step = name.to_str().and_then(|name| name.strip_prefix("step-")?.parse::<u64>().ok());
            if step.is_some_and(|step| !kept.contains(&step)) {
                // What cannot be removed is only untidy.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn inside(&self, name: &str) -> Result<PathBuf> {
        files::join_inside(&self.root, name).ok_or_else(|| Error::Storage(format!("`{name}` is not a name inside the run folder")))
    }
}

impl Store for FileStore<'_> {
    async fn write(&mut self, name: &str, files: impl Files) -> Result<()> {
        let path = self.inside(name)?;
        let synced = self.listener.map_or(Ok(()), Listener::sync);
        let written = match synced {
            Ok(()) => files::write_folder_atomic(&path, files).await,
            lost => lost,
        };
        // What could not be made says so itself.
        written.map_err(|e| e.downcast::<Error>().unwrap_or_else(|e| Error::Storage(format!("{e:#}"))))
    }

    async fn read_part(&mut self, folder: &str, file: &str, from: u64, most: usize) -> Result<Option<Vec<u8>>> {
        let path = self.inside(&format!("{folder}/{file}"))?;
        match read_part(&path, from, most as u64) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::Storage(format!("cannot read {} ({e})", path.display()))),
        }
    }

    async fn remove_folder(&mut self, name: &str) -> Result<()> {
        let path = self.inside(name)?;
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::Storage(format!("cannot remove {} ({e})", path.display()))),
            _ => Ok(()),
        }
    }
}

fn read_part(path: &Path, from: u64, most: u64) -> std::io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len().saturating_sub(from).min(most);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use evenkeel_core::event::Event;

    use super::*;

    #[test]
    fn folders_are_written_read_and_removed_inside_the_run_only() {
        let root = tempfile::tempdir().unwrap();
        let mut store = FileStore::new(root.path());
        pollster::block_on(async {
            store.write_folder("checkpoints/LATEST", &[("step".into(), b"7".to_vec())]).await.unwrap();
            assert_eq!(store.read("checkpoints/LATEST", "step").await, Ok(Some(b"7".to_vec())));
            assert_eq!(store.read("checkpoints/none", "step").await, Ok(None));
            store.remove_folder("checkpoints/LATEST").await.unwrap();
            store.remove_folder("checkpoints/LATEST").await.unwrap();
            assert_eq!(store.read("checkpoints/LATEST", "step").await, Ok(None));
            assert!(store.write_folder("../out", &[]).await.is_err() && store.remove_folder("/tmp").await.is_err());
            assert!(store.write_folder("model", &[("../x".into(), vec![])]).await.is_err());
        });
    }

    #[test]
    fn checkpoints_that_are_not_kept_go_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        for name in ["step-000002", "step-000004", "step-000006", "step-000004-mine", "LATEST"] {
            fs::create_dir_all(root.path().join("checkpoints").join(name)).unwrap();
        }
        FileStore::new(root.path()).keep_only(&[4]);
        let mut left: Vec<_> = fs::read_dir(root.path().join("checkpoints")).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["LATEST", "step-000004", "step-000004-mine"]);
    }

    /// Linux's /dev/full refuses every write, as a full disk does.
    #[test]
    #[cfg(target_os = "linux")]
    fn no_checkpoint_follows_a_line_that_the_log_has_lost() {
        let root = tempfile::tempdir().unwrap();
        let run = root.path();
        std::os::unix::fs::symlink("/dev/full", run.join("events.jsonl")).unwrap();
        let listener = Listener::open(run, "sft").unwrap();
        listener.hear(&Event::Step { step: 1, metrics: [("loss".to_owned(), 0.5)].into() });
        let mut store = FileStore::heard_by(run, &listener);
        let written = pollster::block_on(store.write_folder("checkpoints/step-000001", &[("a".into(), vec![1])]));
        assert!(written.unwrap_err().to_string().contains("cannot write events.jsonl: No space left on device"));
        assert!(!run.join("checkpoints").exists());
    }
}

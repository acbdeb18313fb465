//! A run's folders on disk: whole or absent.

use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_core::train::run::Store;
use evenkeel_core::{Error, Result};

use crate::files;

/// Folders inside one run folder: `checkpoints/step-000200`, `checkpoints/LATEST`, `model`.
#[derive(Debug)]
pub struct FileStore {
    root: PathBuf,
}

impl FileStore {
    /// The folders of the run at `run`.
    pub fn new(run: &Path) -> Self {
        Self { root: run.to_owned() }
    }

    /// The step of the newest checkpoint, if there is one.
    pub fn latest_step(&self) -> Option<u64> {
        const MOST: u64 = 64;
        let step = files::read(&self.root.join("checkpoints/LATEST/step"), MOST, "").ok()?;
        std::str::from_utf8(&step).ok()?.trim().parse().ok()
    }

    fn inside(&self, name: &str) -> Result<PathBuf> {
        files::join_inside(&self.root, name).ok_or_else(|| Error::Storage(format!("`{name}` is not a name inside the run folder")))
    }
}

impl Store for FileStore {
    async fn write_folder(&mut self, name: &str, files: &[(String, Vec<u8>)]) -> Result<()> {
        files::write_folder_atomic(&self.inside(name)?, files).map_err(|e| Error::Storage(format!("{e:#}")))
    }

    async fn read(&mut self, folder: &str, file: &str) -> Result<Option<Vec<u8>>> {
        let path = self.inside(&format!("{folder}/{file}"))?;
        match fs::read(&path) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_written_read_and_removed_inside_the_run_only() {
        let root = tempfile::tempdir().unwrap();
        let mut store = FileStore::new(root.path());
        pollster::block_on(async {
            store.write_folder("checkpoints/LATEST", &[("step".into(), b"7".to_vec())]).await.unwrap();
            assert_eq!(store.latest_step(), Some(7));
            assert_eq!(store.read("checkpoints/LATEST", "step").await, Ok(Some(b"7".to_vec())));
            assert_eq!(store.read("checkpoints/none", "step").await, Ok(None));
            store.remove_folder("checkpoints/LATEST").await.unwrap();
            store.remove_folder("checkpoints/LATEST").await.unwrap();
            assert_eq!(store.latest_step(), None);
            assert!(store.write_folder("../out", &[]).await.is_err() && store.remove_folder("/tmp").await.is_err());
            assert!(store.write_folder("model", &[("../x".into(), vec![])]).await.is_err());
        });
    }
}

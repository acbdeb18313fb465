//! Checkpoints as folders of the run folder: whole or absent, `checkpoints/LATEST` moved last.

use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_core::{Error, Result};

use crate::files;

/// Folders under `checkpoints/` of one run.
#[derive(Debug)]
pub struct FileStore {
    root: PathBuf,
}

impl FileStore {
    /// The checkpoints of the run at `run`.
    pub fn new(run: &Path) -> Self {
        Self { root: run.join("checkpoints") }
    }

    /// Writes all files of a folder, or none.
    pub fn write(&self, name: &str, files: &[(String, Vec<u8>)]) -> Result<()> {
        fs::create_dir_all(&self.root).map_err(storage)?;
        files::write_folder_atomic(&self.inside(name)?, files).map_err(|e| Error::Storage(format!("{e:#}")))
    }

    /// One file of a folder, if it is there.
    pub fn read(&self, folder: &str, file: &str) -> Result<Option<Vec<u8>>> {
        match fs::read(self.inside(folder)?.join(file)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(storage(e)),
        }
    }

    /// Removes a folder if it is there.
    pub fn remove(&self, name: &str) -> Result<()> {
        match fs::remove_dir_all(self.inside(name)?) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(storage(e)),
            _ => Ok(()),
        }
    }

    fn inside(&self, name: &str) -> Result<PathBuf> {
        files::join_inside(&self.root, name).ok_or_else(|| Error::Storage(format!("`{name}` is not a name inside the run folder")))
    }
}

fn storage(e: std::io::Error) -> Error {
    Error::Storage(e.to_string())
}

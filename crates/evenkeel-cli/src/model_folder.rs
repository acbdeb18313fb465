//! Model folders on disk, as core reads them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use evenkeel_core::Error;
use evenkeel_core::estimate::Size;
use evenkeel_core::model::{self, ModelConfig, ModelFiles, Pretrained};
use evenkeel_kernels::Selected;

use crate::files;

/// A folder in Hugging Face layout.
#[derive(Debug, Clone)]
pub struct ModelFolder(PathBuf);

impl ModelFolder {
    /// The folder at `path`, which must exist. A run folder stands for the model in it.
    pub fn open(path: &Path) -> Result<Self> {
        let place = path.display().to_string();
        if path.exists() && !path.is_dir() {
            return Err(Error::input(place, "is a file", "give the folder that holds config.json and model.safetensors").into());
        }
        if !path.is_dir() {
            let remedy = "give a folder in Hugging Face layout (config.json, model.safetensors, tokenizer.json)";
            return Err(Error::input(place, "does not exist", remedy).into());
        }
        let inside = path.join("model");
        let is_run = !path.join("config.json").exists() && inside.join("config.json").exists();
        Ok(Self(if is_run { inside } else { path.to_owned() }))
    }

    /// `config.json` alone: what the model is, before anything is allocated for it.
    pub fn config(&self) -> Result<ModelConfig> {
        let place = format!("{}/config.json", self.place());
        if !self.0.join("config.json").exists() {
            return Err(Error::input(place, "is missing", "give the folder of a Hugging Face model").into());
        }
        Ok(ModelConfig::from_json(&place, &self.read("config.json")?)?)
    }

    /// Its weight files.
    pub fn weights(&self) -> Result<Vec<PathBuf>> {
        let names = self.list()?.into_iter().filter(|name| name.ends_with(".safetensors"));
        Ok(names.map(|name| self.0.join(name)).collect())
    }

    /// The whole model on the selected device.
    pub fn load(&self, selected: &Selected) -> Result<Pretrained> {
        let config = self.config()?;
        Size::of(&config, config.head()).check(&self.place(), selected.largest_tensor)?;
        Ok(model::load(self, &selected.device)?)
    }
}

impl ModelFiles for ModelFolder {
    fn place(&self) -> String {
        self.0.display().to_string()
    }

    fn list(&self) -> evenkeel_core::Result<Vec<String>> {
        let unreadable = |e: std::io::Error| Error::input(self.place(), format!("cannot be read ({e})"), "check its permissions");
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(unreadable)? {
            names.extend(entry.map_err(unreadable)?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn read(&self, name: &str) -> evenkeel_core::Result<Vec<u8>> {
        let place = format!("{}/{name}", self.place());
        // The name may come from an index file: it must not lead out of the folder.
        let Some(path) = files::join_inside(&self.0, name) else {
            return Err(Error::input(place, "leads out of the model's folder", "do not trust this model; download it from its source"));
        };
        // Weights may be of any size; everything beside them is text.
        let most = if name.ends_with(".safetensors") { u64::MAX } else { files::MOST_TEXT };
        files::read(&path, most, "download the model again")
    }
}

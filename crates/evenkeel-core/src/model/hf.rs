//! Models in Hugging Face layout, from bytes to [`Pretrained`] and back. No files here: a front end reads and writes.

use std::collections::BTreeSet;

use burn::tensor::Device;
use serde_json::{Map, Value, json};

use super::config::{Head, ModelConfig};
use super::{Model, Sampling, layout, tensors};
use crate::text::{Text, TextFiles};
use crate::{Error, Result};

const CONFIG: &str = "config.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";
const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
const GENERATION: &str = "generation_config.json";

/// A model's folder, wherever it is: on disk, in a browser's storage, behind HTTP, embedded.
pub trait ModelFiles {
    /// Name of the folder for messages.
    fn place(&self) -> String;
    /// Names of the files in it.
    fn list(&self) -> Result<Vec<String>>;
    /// The bytes of one file.
    fn read(&self, name: &str) -> Result<Vec<u8>>;
}

/// A folder in memory.
#[derive(Debug, Clone, Default)]
pub struct NamedFiles {
    pub place: String,
    /// Name and bytes.
    pub files: Vec<(String, Vec<u8>)>,
}

impl ModelFiles for NamedFiles {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.files.iter().map(|file| file.0.clone()).collect())
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let found = self.files.iter().find(|file| file.0 == name).map(|file| file.1.clone());
        found.ok_or_else(|| Error::input(format!("{}/{name}", self.place), "is missing", "add it"))
    }
}

/// Everything that a model's folder holds.
#[derive(Debug, Clone)]
pub struct Pretrained {
    pub model: Model,
    /// Absent where the folder has no `tokenizer.json`.
    pub text: Option<Text>,
    /// From `generation_config.json`; greedy until the end token where there is none.
    pub sampling: Sampling,
}

/// Loads a folder: `config.json`, `model.safetensors` or its shards, and the tokenizer and generation settings if any.
pub fn load(files: &dyn ModelFiles, device: &Device) -> Result<Pretrained> {
    let folder = Folder { place: files.place(), names: files.list()?, files };
    let place = folder.at(CONFIG);
    let config = ModelConfig::from_json(&place, &folder.need(CONFIG, "give the folder of a Hugging Face model")?)?;
    let head = config.head();
    let params = folder.weights(&config, head, device)?;
    let sampling = match folder.read(GENERATION)? {
        Some(bytes) => Sampling::from_json(&folder.at(GENERATION), &bytes, &config)?,
        None => Sampling { do_sample: false, stop: config.eos.clone(), ..Sampling::default() },
    };
    let text = folder.text(&config)?;
    Ok(Pretrained { model: Model::from_params(config, params, head), text, sampling })
}

/// The tokenizer alone, without the weights: enough to encode data.
pub fn load_text(files: &dyn ModelFiles, config: &ModelConfig) -> Result<Option<Text>> {
    Folder { place: files.place(), names: files.list()?, files }.text(config)
}

/// The files of a folder that loads in transformers: same names, shapes and config; weights in float32, a tied head
/// written once.
pub async fn save(model: &Model, text: Option<&Text>, sampling: &Sampling) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = save_beside(model, text, sampling);
    files.insert(1, (WEIGHTS.to_owned(), tensors::Encoder::of(&model.params).collect().await?));
    Ok(files)
}

/// As [`save`], without [`WEIGHTS`].
pub(crate) fn save_beside(model: &Model, text: Option<&Text>, sampling: &Sampling) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![(CONFIG.to_owned(), pretty(&saved_config(model, text)))];
    if model.head == Head::Lm {
        let generation = sampling.to_json(model.config.bos, model.config.pad);
        files.push((GENERATION.to_owned(), pretty(&generation)));
    }
    files.extend(text.map(Text::files).unwrap_or_default());
    files
}

struct Folder<'a> {
    place: String,
    names: Vec<String>,
    files: &'a dyn ModelFiles,
}

impl Folder<'_> {
    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.place)
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        if self.has(name) { self.files.read(name).map(Some) } else { Ok(None) }
    }

    fn need(&self, name: &str, remedy: &str) -> Result<Vec<u8>> {
        self.read(name)?.ok_or_else(|| Error::input(self.at(name), "is missing", remedy))
    }

    fn weights(&self, config: &ModelConfig, head: Head, device: &Device) -> Result<super::Params> {
        let layout = layout::layout(config, head);
        let mut gathering = tensors::Gathering::new(config, &layout, device);
        let shards = self.shards()?;
        for shard in &shards {
            let bytes = self.need(shard, "the index names it; download the model again")?;
            gathering.add(&self.at(shard), &bytes)?;
        }
        let whole = if shards.len() == 1 { self.at(&shards[0]) } else { self.at(WEIGHTS_INDEX) };
        gathering.finish(&whole)
    }

    /// The safetensors files, in a fixed order.
    fn shards(&self) -> Result<Vec<String>> {
        if self.has(WEIGHTS) {
            return Ok(vec![WEIGHTS.to_owned()]);
        }
        let remedy = "weights are read from model.safetensors or its shards; convert other formats with transformers";
        if !self.has(WEIGHTS_INDEX) {
            return Err(Error::input(self.at(WEIGHTS), "is missing", remedy));
        }
        let again = "download the model again";
        let index: Value = serde_json::from_slice(&self.need(WEIGHTS_INDEX, remedy)?)
            .map_err(|e| Error::input(self.at(WEIGHTS_INDEX), format!("not JSON ({e})"), again))?;
        let names = index.get("weight_map").and_then(Value::as_object).map(|map| map.values().map(Value::as_str));
        let names: Option<BTreeSet<&str>> = names.and_then(Iterator::collect);
        let names = names
            .filter(|names| !names.is_empty())
            .ok_or_else(|| Error::input(self.at(WEIGHTS_INDEX), "has no weight_map of tensor to file", again))?;
        // A shard lies beside its index.
        if let Some(name) = names.iter().find(|name| name.contains(['/', '\\']) || **name == "..") {
            let problem = format!("names `{name}`, which is no file in this folder");
            return Err(Error::input(self.at(WEIGHTS_INDEX), problem, "do not trust this model; download it from its source"));
        }
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn text(&self, config: &ModelConfig) -> Result<Option<Text>> {
        let Some(tokenizer) = self.read("tokenizer.json")? else {
            return Ok(None);
        };
        let files = TextFiles {
            tokenizer,
            config: self.read("tokenizer_config.json")?,
            special_tokens: self.read("special_tokens_map.json")?,
            chat_template: self.read("chat_template.jinja")?,
        };
        let text = Text::from_files(&self.place, files)?.with_fallback_ids(config.bos, config.eos.first().copied(), config.pad);
        // What it puts around every text has ids of its own, which need not be in its vocabulary.
        let size = text.encode("", true)?.into_iter().map(|id| id as usize + 1).fold(text.vocab_size(), usize::max);
        if size > config.vocab_size {
            let problem = format!("knows ids up to {}, but the model's vocabulary has {}", size - 1, config.vocab_size);
            return Err(Error::input(self.at("tokenizer.json"), problem, "use the tokenizer that belongs to the model"));
        }
        Ok(Some(text))
    }
}

/// The original `config.json` with what saving changes: class, weight type, and the label of a score model.
fn saved_config(model: &Model, text: Option<&Text>) -> Value {
    let mut out: Map<String, Value> = model.config.raw.clone();
    let stem = model.config.arch.class_stem();
    let class = match (model.head, stem) {
        (Head::Lm, "GPT2") => "GPT2LMHeadModel".to_owned(),
        (Head::Lm, _) => format!("{stem}ForCausalLM"),
        (Head::Score, _) => format!("{stem}ForSequenceClassification"),
    };
    out.insert("architectures".into(), json!([class]));
    let type_key = if out.contains_key("torch_dtype") { "torch_dtype" } else { "dtype" };
    out.insert(type_key.into(), json!("float32"));
    if model.head == Head::Score {
        out.shift_remove("num_labels");
        out.entry("id2label").or_insert_with(|| json!({"0": "LABEL_0"}));
        out.entry("label2id").or_insert_with(|| json!({"LABEL_0": 0}));
        if out.get("pad_token_id").is_none_or(Value::is_null) {
            // transformers finds the last real token of a padded batch by this id and refuses to guess it.
            let pad = model.config.pad.or_else(|| text.and_then(|t| t.pad().or(t.eos()))).or(model.config.eos.first().copied());
            out.insert("pad_token_id".into(), json!(pad));
        }
    }
    Value::Object(out)
}

fn pretty(value: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("a JSON value can be written");
    bytes.push(b'\n');
    bytes
}

//! Checkpoints: weights, moments and counters as bytes, bit for bit.
//!
//! `state.safetensors` holds every trained part's weights and both AdamW moments in f32; `state.json` the rest. All randomness is
//! keyed by (seed, step), so there is no generator to save.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::forward::read;
use super::run::{LoopState, Store, Trainer};
use crate::error::{Error, Result};
use crate::model::Model;

/// The folder of one checkpoint.
pub fn folder(step: u64) -> String {
    format!("checkpoints/step-{step:06}")
}

/// What is kept of every parameter: its value and both moments of AdamW.
const KINDS: [&str; 3] = ["weight", "first", "second"];
const TENSORS: &str = "state.safetensors";
/// The files of a state, by name.
pub const FILES: [&str; 2] = [TENSORS, JSON];
const JSON: &str = "state.json";

#[derive(serde::Serialize, serde::Deserialize)]
struct State {
    at: LoopState,
    optimizer_steps: HashMap<String, u64>,
    counters: serde_json::Value,
}

/// A number as text, to be read back to the last bit: numbers in JSON are read by serde_json to the last bit but one.
pub(crate) mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What a checkpoint holds beside the model in Hugging Face layout.
///
/// # Errors
/// [`Error::Device`] when a weight cannot be read.
pub async fn files<T: Trainer>(trainer: &mut T, at: &LoopState) -> Result<Vec<(String, Vec<u8>)>> {
    let counters = trainer.counters();
    let (mut wanted, mut optimizer_steps) = (Vec::new(), HashMap::new());
    for (part, model, optimizer) in trainer.parts() {
        optimizer_steps.insert(part.to_owned(), optimizer.step);
        let weights = model.params.segments().iter().map(|segment| &segment.value);
        wanted.extend(weights.chain(&optimizer.first).chain(&optimizer.second).cloned());
    }
    let mut read = read(wanted).await?.into_iter();
    let (mut names, mut bytes) = (Vec::new(), Vec::new());
    for (part, model, _) in trainer.parts() {
        for kind in KINDS {
            let segments: Vec<_> = read.by_ref().take(model.params.segments().len()).collect();
            for (param, values) in model.params.parts(&segments) {
                names.push(format!("{part}.{kind}.{}", param.name));
                bytes.push(values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
            }
        }
    }
    let views = names.iter().zip(&bytes).map(|(name, b)| {
        let view = TensorView::new(Dtype::F32, vec![b.len() / 4], b).expect("the length is the data's");
        (name.as_str(), view)
    });
    let tensors = safetensors::serialize(views, None).map_err(|e| Error::Storage(e.to_string()))?;
    let state = State { at: at.clone(), optimizer_steps, counters };
    let json = serde_json::to_vec_pretty(&state).expect("the state is plain data");
    Ok(vec![(TENSORS.into(), tensors), (JSON.into(), json)])
}

/// Puts the newest checkpoint of `store` back into `trainer`.
///
/// # Errors
/// [`Error::Input`] when there is no whole checkpoint or it belongs to another model.
pub async fn restore<T: Trainer, S: Store>(trainer: &mut T, store: &mut S) -> Result<LoopState> {
    let none = || Error::input("checkpoints/LATEST", "names no checkpoint", "start the run anew without --resume");
    let latest = store.read("checkpoints/LATEST", "step").await?.ok_or_else(none)?;
    let step: u64 = String::from_utf8_lossy(&latest).trim().parse().map_err(|_| none())?;
    let place = folder(step);
    let mut files = Vec::new();
    for name in [JSON, TENSORS] {
        if let Some(bytes) = store.read(&place, name).await? {
            files.push((name.to_string(), bytes));
        }
    }
    let remedy = "remove this checkpoint and name an older one in checkpoints/LATEST";
    let restored = restore_files(trainer, &files).and_then(|at| match at.step {
        is if is == step => Ok(at),
        other => Err(format!("{JSON} is that of step {other}")),
    });
    restored.map_err(|problem| Error::input(&place, problem, remedy))
}

/// Puts what [`files`] gave back into `trainer`.
///
/// # Errors
/// What is wrong: a file is missing or broken, or belongs to another model.
pub fn restore_files<T: Trainer>(trainer: &mut T, files: &[(String, Vec<u8>)]) -> std::result::Result<LoopState, String> {
    let file = |name: &str| files.iter().find(|f| f.0 == name).map(|f| &f.1).ok_or_else(|| format!("{name} is missing"));
    let state: State = serde_json::from_slice(file(JSON)?).map_err(|e| format!("{JSON}: {e}"))?;
    let tensors = SafeTensors::deserialize(file(TENSORS)?).map_err(|e| format!("{TENSORS}: {e}"))?;
    for (part, model, optimizer) in trainer.parts() {
        optimizer.step = state.optimizer_steps.get(part).copied().unwrap_or(0);
        let device = model.device().inner();
        let load = |kind: &str| {
            model.params.assemble(&device, |param| {
                let name = format!("{part}.{kind}.{}", param.name);
                let values = values(&tensors, &name).filter(|v| v.len() == param.num_elements());
                let values = values.ok_or_else(|| format!("{name} is missing, of another size or no f32"))?;
                // A second moment is a mean of squares, and its root is taken.
                let sound = |value: &f32| value.is_finite() && (kind != "second" || *value >= 0.0);
                match values.iter().position(|value| !sound(value)) {
                    None => Ok(values),
                    Some(i) => Err(format!("{name}: number {i} is {}", values[i])),
                }
            })
        };
        let [weights, first, second] = KINDS.map(load);
        (optimizer.first, optimizer.second) = (first?, second?);
        for (segment, weights) in model.params.segments_mut().iter_mut().zip(weights?) {
            segment.value = weights.autodiff().require_grad();
        }
    }
    trainer.restore_counters(&state.counters);
    Ok(state.at)
}

/// The weights of the main part at checkpoint `step`, in the shape of `like`.
///
/// # Errors
/// [`Error::Storage`] when the checkpoint is gone.
pub async fn model<S: Store>(like: &Model, store: &mut S, step: u64) -> Result<Model> {
    let gone = |what: &str| Error::Storage(format!("{}: {what}", folder(step)));
    let bytes = store.read(&folder(step), TENSORS).await?.ok_or_else(|| gone("state.safetensors is missing"))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| gone(&e.to_string()))?;
    let mut model = like.frozen();
    let device = model.device();
    let weights = model.params.assemble(&device, |param| {
        let found = ["policy", "reward"].iter().find_map(|part| values(&tensors, &format!("{part}.weight.{}", param.name)));
        found.ok_or_else(|| gone(&param.name))
    })?;
    for (segment, weights) in model.params.segments_mut().iter_mut().zip(weights) {
        segment.value = weights;
    }
    Ok(model)
}

fn values(tensors: &SafeTensors, name: &str) -> Option<Vec<f32>> {
    let view = tensors.tensor(name).ok().filter(|view| view.dtype() == Dtype::F32)?;
    Some(view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

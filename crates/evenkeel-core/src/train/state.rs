//! Checkpoints: weights, moments and counters as bytes, bit for bit.
//!
//! `state.safetensors` holds every trained part's weights and both AdamW moments in f32; `state.json` the rest. All randomness is
//! keyed by (seed, step), so there is no generator to save. `SHA256SUMS` tells a whole checkpoint from a broken one.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use sha2::{Digest, Sha256};

use super::kept::LoopState;
use super::run::{Files, Store, Trainer};
use crate::error::{Error, Result};
use crate::model::{Encoder, Model, Param, Sampling, WEIGHTS, save_beside};
use crate::text::Text;

/// The folder of one checkpoint.
pub fn folder(step: u64) -> String {
    format!("checkpoints/step-{step:06}")
}

/// The folder that names the newest checkpoint: written when that one is durable, and never before.
pub const LATEST: &str = "checkpoints/LATEST";
/// The SHA-256 of every other file of a checkpoint, as `sha256sum` writes and checks them.
const SUMS: &str = "SHA256SUMS";
/// Bytes of a file that are read at once where all of them are.
const READ_AT_ONCE: usize = 1 << 20;

/// What is kept of every parameter: its value and both moments of AdamW.
const KINDS: [&str; 3] = ["weight", "first", "second"];
const TENSORS: &str = "state.safetensors";
/// The files of a state, by name.
const FILES: [&str; 2] = [TENSORS, JSON];
const JSON: &str = "state.json";

#[derive(serde::Serialize, serde::Deserialize)]
struct State {
    at: LoopState,
    optimizer_steps: BTreeMap<String, u64>,
    counters: serde_json::Value,
}

/// What a step changes on the host, as it was before.
pub struct Mark {
    updates: Vec<u64>,
    counters: serde_json::Value,
}

impl Mark {
    /// Of `trainer`, before its next step.
    pub fn of<T: Trainer>(trainer: &mut T) -> Self {
        Self { updates: trainer.parts().iter().map(|(_, _, optimizer)| optimizer.step).collect(), counters: trainer.counters() }
    }

    /// Puts it back.
    pub fn restore<T: Trainer>(self, trainer: &mut T) {
        for ((_, _, optimizer), updates) in trainer.parts().into_iter().zip(self.updates) {
            optimizer.step = updates;
        }
        trainer.restore_counters(&self.counters).expect("they are its own");
    }
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

/// The files of a folder in pieces: what is there already, then what is made of tensors, and of a checkpoint, last, what all of them must be.
pub struct Folder {
    /// Files that are there already.
    made: VecDeque<(String, Vec<u8>)>,
    /// Files that are made of tensors, in pieces.
    encoders: VecDeque<(&'static str, Encoder)>,
    /// Name and digest of what was given out; the last may go on.
    sums: Vec<(String, Sha256)>,
    has_sums: bool,
}

impl Folder {
    /// A checkpoint of `trainer`, whose model has `text` and `sampling` beside it.
    pub fn checkpoint<T: Trainer>(trainer: &mut T, at: &LoopState, text: Option<&Text>, sampling: &Sampling) -> Self {
        let mut all = Self::model(trainer.model(), text, sampling);
        let Self { made, encoders, .. } = Self::state(trainer, at);
        all.made.extend(made);
        all.encoders.extend(encoders);
        Self { has_sums: true, ..all }
    }

    /// A model in Hugging Face layout.
    pub fn model(model: &Model, text: Option<&Text>, sampling: &Sampling) -> Self {
        let made = save_beside(model, text, sampling).into();
        Self { made, encoders: [(WEIGHTS, Encoder::of(&model.params))].into(), sums: Vec::new(), has_sums: false }
    }

    /// The trainer's state alone.
    pub fn state<T: Trainer>(trainer: &mut T, at: &LoopState) -> Self {
        let counters = trainer.counters();
        let (mut tensors, mut optimizer_steps) = (Encoder::default(), BTreeMap::new());
        for (part, model, optimizer) in trainer.parts() {
            optimizer_steps.insert(part.to_owned(), optimizer.step);
            let params = &model.params;
            let called = |kind: &'static str| move |param: &Param| (format!("{part}.{kind}.{}", param.name), vec![param.num_elements()]);
            let [weight, first, second] = KINDS;
            tensors.add(params, params.segments().iter().map(|segment| &segment.value), called(weight));
            tensors.add(params, &optimizer.first, called(first));
            tensors.add(params, &optimizer.second, called(second));
        }
        let state = State { at: at.clone(), optimizer_steps, counters };
        let json = serde_json::to_vec_pretty(&state).expect("the state is plain data");
        Self { made: [(JSON.into(), json)].into(), encoders: [(TENSORS, tensors)].into(), sums: Vec::new(), has_sums: false }
    }

    async fn piece(&mut self) -> Result<Option<(String, Vec<u8>)>> {
        if let Some(made) = self.made.pop_front() {
            return Ok(Some(made));
        }
        while let Some((name, encoder)) = self.encoders.front_mut() {
            if let Some(bytes) = encoder.next().await? {
                return Ok(Some(((*name).to_owned(), bytes)));
            }
            self.encoders.pop_front();
        }
        Ok(None)
    }
}

impl Files for Folder {
    async fn next(&mut self) -> Result<Option<(String, Cow<'_, [u8]>)>> {
        if let Some((name, bytes)) = self.piece().await? {
            match self.sums.last_mut() {
                Some((last, digest)) if *last == name => digest.update(&bytes),
                _ => self.sums.push((name.clone(), Sha256::new_with_prefix(&bytes))),
            }
            return Ok(Some((name, bytes.into())));
        }
        if !std::mem::take(&mut self.has_sums) {
            return Ok(None);
        }
        let lines: String = self.sums.drain(..).map(|(name, digest)| format!("{}  {name}\n", hex(digest))).collect();
        Ok(Some((SUMS.to_owned(), lines.into_bytes().into())))
    }
}

fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// In hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::new_with_prefix(bytes))
}

/// What [`LATEST`] holds: the newest step, and every step whose checkpoint is kept.
pub fn latest(at: &LoopState) -> Vec<(String, Vec<u8>)> {
    let kept: Vec<String> = at.saved.iter().map(ToString::to_string).collect();
    vec![("step".into(), at.step.to_string().into_bytes()), ("kept".into(), kept.join(" ").into_bytes())]
}

/// The newest whole checkpoint of `store`, as files of a run folder that holds no other: by their paths within it. Empty where there is none.
///
/// # Errors
/// As [`standing`].
pub async fn newest<S: Store>(store: &mut S) -> Result<Vec<(String, Vec<u8>)>> {
    let Some(step) = standing(store).await?.step else { return Ok(Vec::new()) };
    let sums = store.read(&folder(step), SUMS).await?.unwrap_or_default();
    let sums = String::from_utf8_lossy(&sums).into_owned();
    let names = sums.lines().filter_map(|line| line.split_once("  ")).map(|(_, name)| name).chain([SUMS]);
    let mut files = Vec::new();
    for name in names {
        let bytes = store.read(&folder(step), name).await?.unwrap_or_default();
        files.push((format!("{}/{name}", folder(step)), bytes));
    }
    let named = latest(&LoopState { step, saved: vec![step], ..LoopState::default() });
    files.extend(named.into_iter().map(|(name, bytes)| (format!("{LATEST}/{name}"), bytes)));
    Ok(files)
}

/// Where a run can be gone on from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// The newest whole checkpoint; `None` where none was ever finished.
    pub step: Option<u64>,
    /// Checkpoints that are kept, oldest first.
    pub kept: Vec<u64>,
    /// A sentence for each newer checkpoint that is not whole.
    pub passed_over: Vec<String>,
}

/// Looks at the newest checkpoint of `store`, and where it is not whole at the one before.
///
/// # Errors
/// [`Error::Input`] when there are checkpoints and none of them is whole; [`Error::Storage`].
pub async fn standing<S: Store>(store: &mut S) -> Result<Standing> {
    let Some(latest) = store.read(LATEST, "step").await? else { return Ok(Standing::default()) };
    let steps =
        |bytes: &[u8]| -> Option<Vec<u64>> { String::from_utf8_lossy(bytes).split_whitespace().map(|step| step.parse().ok()).collect() };
    let remedy = "start the run anew without --resume";
    let Some(&[latest]) = steps(&latest).as_deref() else { return Err(Error::input(LATEST, "names no step", remedy)) };
    let kept = store.read(LATEST, "kept").await?.and_then(|bytes| steps(&bytes)).unwrap_or_default();
    let kept: Vec<u64> = kept.into_iter().filter(|&step| step < latest).chain([latest]).collect();
    let mut passed_over = Vec::new();
    for &step in kept.iter().rev() {
        match check(store, step).await {
            Ok(()) => return Ok(Standing { step: Some(step), kept, passed_over }),
            Err(problem) => passed_over.push(format!("{} is not whole and is passed over: {problem}", folder(step))),
        }
    }
    Err(Error::input(LATEST, format!("names no whole checkpoint ({})", passed_over.join("; ")), remedy))
}

/// Whether the checkpoint of `step` is what was written; where not, what is wrong with it.
async fn check<S: Store>(store: &mut S, step: u64) -> Told<()> {
    let mut place = Place { store, folder: &folder(step) };
    let sums = String::from_utf8_lossy(&place.part(SUMS, 0, usize::MAX).await?).into_owned();
    let wanted: BTreeMap<&str, &str> = sums.lines().filter_map(|line| line.split_once("  ")).map(|(sum, name)| (name, sum)).collect();
    if let Some(name) = FILES.iter().find(|name| !wanted.contains_key(*name)) {
        return Err(format!("{SUMS} does not list {name}"));
    }
    for (name, sum) in wanted {
        if digest(&mut place, name).await? != sum {
            return Err(format!("{name} is not what was written (SHA-256 differs)"));
        }
    }
    Ok(())
}

/// SHA-256 of a file, in hexadecimal.
async fn digest(place: &mut impl Parts, name: &str) -> Told<String> {
    let (mut digest, mut at) = (Sha256::new(), 0);
    loop {
        let bytes = place.part(name, at, READ_AT_ONCE).await?;
        if bytes.is_empty() {
            return Ok(hex(digest));
        }
        digest.update(&bytes);
        at += bytes.len() as u64;
    }
}

/// What is asked for, or what is wrong, without the place.
type Told<T> = std::result::Result<T, String>;

/// Files that are read in parts, so that none is in memory as a whole.
#[expect(async_fn_in_trait, reason = "one thread owns the run")]
pub trait Parts {
    /// At most `most` bytes of a file, from byte `from` on.
    ///
    /// # Errors
    /// The file is missing or cannot be read.
    async fn part(&mut self, file: &str, from: u64, most: usize) -> std::result::Result<Vec<u8>, String>;
}

/// The files of a folder of `store`.
pub struct Place<'a, S> {
    pub store: &'a mut S,
    pub folder: &'a str,
}

impl<S: Store> Parts for Place<'_, S> {
    async fn part(&mut self, file: &str, from: u64, most: usize) -> Told<Vec<u8>> {
        let bytes = self.store.read_part(self.folder, file, from, most).await.map_err(|e| e.to_string())?;
        bytes.ok_or_else(|| format!("{file} is missing"))
    }
}

/// Files in memory.
impl Parts for &[(String, Vec<u8>)] {
    async fn part(&mut self, file: &str, from: u64, most: usize) -> Told<Vec<u8>> {
        let (_, bytes) = self.iter().find(|(name, _)| name == file).ok_or_else(|| format!("{file} is missing"))?;
        let rest = bytes.get(from as usize..).unwrap_or_default();
        Ok(rest[..rest.len().min(most)].to_vec())
    }
}

/// The tensors of a state, read one at a time.
struct Tensors<'a, P> {
    parts: &'a mut P,
    metadata: Metadata,
    /// The first byte after the header.
    begin: u64,
}

impl<'a, P: Parts> Tensors<'a, P> {
    async fn open(parts: &'a mut P) -> Told<Self> {
        let broken = |problem: &dyn Display| format!("{TENSORS}: {problem}");
        let length = parts.part(TENSORS, 0, size_of::<u64>()).await?;
        let length = u64::from_le_bytes(length.try_into().map_err(|_| broken(&"ends within its header"))?);
        let begin = length.saturating_add(size_of::<u64>() as u64);
        let header = parts.part(TENSORS, size_of::<u64>() as u64, usize::try_from(length).unwrap_or(usize::MAX)).await?;
        let metadata = serde_json::from_slice(&header).map_err(|e| broken(&e))?;
        Ok(Self { parts, metadata, begin })
    }

    /// The numbers of `param` under `name`; `None` where there are none, others than f32 or not so many. No offset is trusted.
    async fn values(&mut self, name: &str, param: &Param) -> Told<Option<Vec<f32>>> {
        let Some(info) = self.metadata.info(name).filter(|info| info.dtype == Dtype::F32) else { return Ok(None) };
        let ((from, to), size) = (info.data_offsets, param.num_elements() * size_of::<f32>());
        if to.checked_sub(from) != Some(size) {
            return Ok(None);
        }
        let bytes = self.parts.part(TENSORS, self.begin.saturating_add(from as u64), size).await?;
        if bytes.len() < size {
            return Err(format!("{TENSORS} ends within {name}"));
        }
        Ok(Some(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()))
    }
}

/// Puts the checkpoint of `step` back into `trainer`.
///
/// # Errors
/// [`Error::Input`] when it is broken or belongs to another run.
pub async fn restore<T: Trainer, S: Store>(trainer: &mut T, store: &mut S, step: u64) -> Result<LoopState> {
    let folder = &folder(step);
    let restored = restore_from(trainer, &mut Place { store, folder }).await.and_then(|at| match at.step {
        is if is == step => Ok(at),
        other => Err(format!("{JSON} is that of step {other}")),
    });
    let remedy = "go on with the models and settings that the run began with, or start a new one";
    restored.map_err(|problem| Error::input(folder, problem, remedy))
}

/// Puts the files of [`Folder::state`] back into `trainer`.
///
/// # Errors
/// What is wrong: a file is missing or broken, or belongs to another run.
pub async fn restore_from<T: Trainer>(trainer: &mut T, parts: &mut impl Parts) -> std::result::Result<LoopState, String> {
    let json = parts.part(JSON, 0, usize::MAX).await?;
    let state: State = serde_json::from_slice(&json).map_err(|e| format!("{JSON}: {e}"))?;
    let mut tensors = Tensors::open(parts).await?;
    for (part, model, optimizer) in trainer.parts() {
        optimizer.step = *state.optimizer_steps.get(part).ok_or_else(|| format!("{JSON}: optimizer_steps.{part} is missing"))?;
        let device = model.device().inner();
        for segment in 0..model.params.segments().len() {
            let mut load =
                async |kind| model.params.assemble(segment, &device, async |param| sound(&mut tensors, part, kind, param).await).await;
            let [weight, first, second] = KINDS;
            let weights = load(weight).await?;
            optimizer.first[segment] = load(first).await?;
            optimizer.second[segment] = load(second).await?;
            model.params.segments_mut()[segment].value = weights.autodiff().require_grad();
        }
    }
    trainer.restore_counters(&state.counters).map_err(|problem| format!("{JSON}: counters: {problem}"))?;
    Ok(state.at)
}

/// A parameter's numbers of that kind, if a run can go on from them.
async fn sound<P: Parts>(tensors: &mut Tensors<'_, P>, part: &str, kind: &str, param: &Param) -> Told<Vec<f32>> {
    let name = format!("{part}.{kind}.{}", param.name);
    let values = tensors.values(&name, param).await?.ok_or_else(|| format!("{name} is missing, of another size or no f32"))?;
    // A second moment is a mean of squares, and its root is taken.
    let sound = |value: &f32| value.is_finite() && (kind != "second" || *value >= 0.0);
    match values.iter().position(|value| !sound(value)) {
        None => Ok(values),
        Some(i) => Err(format!("{name}: number {i} is {}", values[i])),
    }
}

/// The weights of the main part at checkpoint `step`, in the shape of `like`.
///
/// # Errors
/// [`Error::Storage`] when the checkpoint is gone or not what was written.
pub async fn model<S: Store>(like: &Model, store: &mut S, step: u64) -> Result<Model> {
    let folder = &folder(step);
    let gone = |problem: String| Error::Storage(format!("{folder}: {problem}"));
    check(store, step).await.map_err(gone)?;
    let mut place = Place { store, folder };
    let mut tensors = Tensors::open(&mut place).await.map_err(gone)?;
    let mut model = like.frozen();
    let device = model.device();
    for segment in 0..model.params.segments().len() {
        let load = async |param: &Param| {
            for part in ["policy", "reward"] {
                if let Some(values) = tensors.values(&format!("{part}.weight.{}", param.name), param).await? {
                    return Ok(values);
                }
            }
            Err(param.name.clone())
        };
        let weights = model.params.assemble(segment, &device, load).await.map_err(gone)?;
        model.params.segments_mut()[segment].value = weights;
    }
    Ok(model)
}

/// A counter of a trainer's, by name.
///
/// # Errors
/// It is not there.
pub(super) fn counter(counters: &serde_json::Value, name: &str) -> std::result::Result<u64, String> {
    counters[name].as_u64().ok_or_else(|| format!("{name} is missing"))
}

/// # Errors
/// The frozen model that a run was anchored to is not the one at hand.
pub(super) fn same_reference(began_with: &str, at_hand: &str) -> std::result::Result<(), String> {
    if began_with == at_hand { Ok(()) } else { Err("the reference model is not the one that the run began with".into()) }
}

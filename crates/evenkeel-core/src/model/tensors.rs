//! Safetensors to parameters and back: shapes and types are checked against the layout before anything is decoded.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use burn::tensor::Device;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};

use super::config::{Arch, ModelConfig};
use super::layout::{Layout, Slot};
use super::params::{Assembly, Params};
use crate::{Error, Result};

/// Parameters gathered from one or more safetensors files.
pub struct Gathering<'a> {
    config: &'a ModelConfig,
    slots: &'a [Slot],
    assembly: Assembly<'a>,
    found: BTreeSet<usize>,
}

impl<'a> Gathering<'a> {
    pub fn new(config: &'a ModelConfig, layout: &'a Layout, device: &'a Device) -> Self {
        Self { config, slots: &layout.slots, assembly: Assembly::new(layout, device), found: BTreeSet::new() }
    }

    /// Takes the tensors of one file. `place` names it in errors.
    pub fn add(&mut self, place: &str, bytes: &[u8]) -> Result<()> {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|e| Error::input(place, format!("not a whole safetensors file ({e})"), "download or save the model again"))?;
        let mut names = file.names();
        names.sort_unstable();
        let mut wanted = Vec::new();
        for name in names {
            let view = file.tensor(name).expect("a listed tensor is there");
            if let Some(at) = self.slot_of(place, name, &view)? {
                wanted.push((at, view));
            }
        }
        for (at, view) in wanted {
            let values = decode(&view);
            if let Some(i) = values.iter().position(|value| !value.is_finite()) {
                let problem = format!("number {i} is {}", values[i]);
                return Err(Error::input(format!("{place}: {}", self.slots[at].name), problem, "download or save the model again"));
            }
            self.assembly.put(at, &values);
            self.found.insert(at);
        }
        Ok(())
    }

    /// All parameters, or the first that no file had.
    pub fn finish(self, place: &str) -> Result<Params> {
        let missing = (0..self.slots.len()).find(|at| !self.found.contains(at));
        if let Some(at) = missing {
            let count = self.slots.len() - self.found.len();
            let slot = &self.slots[at];
            return Err(Error::input(
                format!("{place}: {}", slot.name),
                format!("tensor of shape {:?} is missing ({count} missing in all)", slot.shape),
                "the weights do not belong to this config.json; download or save the model again",
            ));
        }
        Ok(self.assembly.finish())
    }

    /// The slot that a stored tensor fills, checked; none for buffers that carry no weights.
    fn slot_of(&self, place: &str, stored: &str, view: &TensorView) -> Result<Option<usize>> {
        let name = canonical(self.config, stored);
        let bad = |problem: String, remedy: &str| Err(Error::input(format!("{place}: {stored}"), problem, remedy));
        let Some(at) = self.slots.iter().position(|slot| slot.name == name) else {
            if is_buffer(self.config, &name) {
                return Ok(None);
            }
            return bad("no such tensor in this kind of model".into(), "use the config.json that belongs to the weights");
        };
        if view.shape() != self.slots[at].shape {
            let problem = format!("shape {:?}, but config.json asks for {:?}", view.shape(), self.slots[at].shape);
            return bad(problem, "use the config.json that belongs to the weights");
        }
        if !matches!(view.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            return bad(format!("type {:?} is not supported", view.dtype()), "save the model in float32, float16 or bfloat16");
        }
        if self.found.contains(&at) {
            return bad("is in two files".into(), "remove one of the copies");
        }
        Ok(Some(at))
    }
}

/// GPT-2 as first published lacks the trunk's prefix.
fn canonical(config: &ModelConfig, stored: &str) -> String {
    let prefixed = stored.starts_with(config.trunk()) || stored == "lm_head.weight" || stored == "score.weight";
    match config.arch {
        Arch::Gpt2 if !prefixed => format!("{}{stored}", config.trunk()),
        _ => stored.to_owned(),
    }
}

/// Stored by some versions though it is no weight: causal masks, rotary frequencies, the second name of a tied head.
fn is_buffer(config: &ModelConfig, name: &str) -> bool {
    name.ends_with(".attn.masked_bias")
        || (config.arch == Arch::Gpt2 && name.ends_with(".attn.bias"))
        || name.ends_with(".rotary_emb.inv_freq")
        || (config.tie_embeddings && name == "lm_head.weight")
}

fn decode(view: &TensorView) -> Vec<f32> {
    let data = view.data();
    let pair = |b: &[u8]| [b[0], b[1]];
    match view.dtype() {
        Dtype::F16 => data.chunks_exact(2).map(|b| f16::from_le_bytes(pair(b)).to_f32()).collect(),
        Dtype::BF16 => data.chunks_exact(2).map(|b| bf16::from_le_bytes(pair(b)).to_f32()).collect(),
        _ => data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
    }
}

/// A tensor that becomes bytes when its turn comes, so that a file and a second copy of all its tensors never exist at once.
struct Floats<'a> {
    shape: Vec<usize>,
    values: &'a [f32],
}

impl View for Floats<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        size_of_val(self.values)
    }
}

/// One safetensors file of f32 tensors, as transformers writes it: name, shape and values of each.
pub fn encode<'a>(tensors: impl IntoIterator<Item = (String, Vec<usize>, &'a [f32])>) -> Result<Vec<u8>> {
    let views = tensors.into_iter().map(|(name, shape, values)| (name, Floats { shape, values }));
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(format)).map_err(|e| Error::Storage(format!("the weights cannot be written as safetensors ({e})")))
}

//! Safetensors to parameters and back: shapes and types are checked against the layout before anything is decoded.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Range;

use burn::tensor::{Device, Tensor};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo, TensorView};

use super::config::{Arch, ModelConfig};
use super::layout::{Layout, Slot};
use super::params::{Assembly, Param, Params, download};
use crate::{Error, Result};

/// A safetensors header ends where numbers of any type may begin.
const HEADER_ALIGN: usize = 8;

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

/// One safetensors file of f32 tensors as transformers writes it, a segment at a time: header first, then numbers that are read from the device
/// when their turn comes.
#[derive(Default)]
pub struct Encoder {
    infos: Vec<(String, TensorInfo)>,
    begun: bool,
    /// What is still to come: a segment, and where its parameters lie in it.
    segments: VecDeque<(Tensor<1>, Vec<Range<usize>>)>,
}

impl Encoder {
    /// The weights of `params` by their names and shapes.
    pub fn of(params: &Params) -> Self {
        let mut encoder = Self::default();
        encoder.add(params, params.segments().iter().map(|segment| &segment.value), |param| (param.name.clone(), param.shape.clone()));
        encoder
    }

    /// Appends tensors of the sizes of the segments of `params`, under the names and shapes that `called` gives to their parameters.
    pub fn add<'a>(
        &mut self,
        params: &Params,
        segments: impl IntoIterator<Item = &'a Tensor<1>>,
        called: impl Fn(&Param) -> (String, Vec<usize>),
    ) {
        let mut at = self.infos.last().map_or(0, |(_, info)| info.data_offsets.1);
        for (i, segment) in segments.into_iter().enumerate() {
            let mut ranges = Vec::new();
            for param in params.of_segment(i) {
                let (name, shape) = called(param);
                let end = at + param.num_elements() * size_of::<f32>();
                self.infos.push((name, TensorInfo { dtype: Dtype::F32, shape, data_offsets: (at, end) }));
                ranges.push(param.range());
                at = end;
            }
            self.segments.push_back((segment.clone(), ranges));
        }
    }

    /// The next bytes of the file; `None`: that was all.
    ///
    /// # Errors
    /// [`Error::Device`] when a tensor cannot be read.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if !std::mem::replace(&mut self.begun, true) {
            return self.header().map(Some);
        }
        let Some((segment, ranges)) = self.segments.pop_front() else { return Ok(None) };
        let values = download(&segment).await?;
        Ok(Some(ranges.into_iter().flat_map(|range| values[range].iter().flat_map(|value| value.to_le_bytes())).collect()))
    }

    fn header(&mut self) -> Result<Vec<u8>> {
        let failed = |problem: String| Error::Storage(format!("the weights cannot be written as safetensors ({problem})"));
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let metadata = Metadata::new(Some(format), std::mem::take(&mut self.infos)).map_err(|e| failed(e.to_string()))?;
        let mut json = serde_json::to_vec(&metadata).map_err(|e| failed(e.to_string()))?;
        json.resize(json.len().next_multiple_of(HEADER_ALIGN), b' ');
        Ok([(json.len() as u64).to_le_bytes().as_slice(), &json].concat())
    }

    /// The whole file.
    ///
    /// # Errors
    /// As [`Encoder::next`].
    pub async fn collect(mut self) -> Result<Vec<u8>> {
        let mut file = Vec::new();
        while let Some(bytes) = self.next().await? {
            file.extend(bytes);
        }
        Ok(file)
    }
}

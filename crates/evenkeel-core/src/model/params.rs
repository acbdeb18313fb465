//! Parameters under Hugging Face names, kept in a few flat segments: one for each block, one for every other parameter.
//!
//! A segment is one tensor on the device, so that a block's kernels, its gradient and the optimiser see one.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData, Transaction};

use super::device_error;
use super::layout::{Layout, Slot, Start};
use crate::{Result, rng};

/// One parameter and its place.
#[derive(Debug, Clone)]
pub struct Param {
    /// Name in the Hugging Face state dict.
    pub name: String,
    /// Shape in the state dict; elements lie in row-major order.
    pub shape: Vec<usize>,
    /// Index of its segment.
    segment: usize,
    /// The first of its numbers there.
    at: usize,
}

impl Param {
    /// Number of elements.
    pub fn num_elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Where its numbers lie in its segment.
    pub fn range(&self) -> Range<usize> {
        self.at..self.at + self.num_elements()
    }
}

/// One tensor that holds the numbers of one or more parameters.
#[derive(Debug, Clone)]
pub struct Segment {
    /// `[P]`; what lies between parameters (the padding of a block's layout) is 0.
    pub value: Tensor<1>,
    /// Weight decay applies to this many numbers, from the first on.
    pub decayed: usize,
}

/// All parameters of a model, in the order of its state dict. A clone shares the numbers until one of the two changes.
#[derive(Debug, Clone)]
pub struct Params {
    list: Arc<[Param]>,
    /// Name to position; only ever looked up, never iterated.
    index: Arc<HashMap<String, usize>>,
    segments: Vec<Segment>,
}

impl Params {
    /// Draws every parameter anew; each has a stream of its own, so that one more layer leaves the others as they were.
    pub fn init(layout: &Layout, seed: u64, device: &Device) -> Self {
        let mut assembly = Assembly::new(layout, device);
        for (i, slot) in layout.slots.iter().enumerate() {
            assembly.put(i, &init(slot, seed));
        }
        assembly.finish()
    }

    fn new(layout: &Layout, segments: Vec<Segment>) -> Self {
        let param = |slot: &Slot| Param { name: slot.name.clone(), shape: slot.shape.clone(), segment: slot.segment, at: slot.at };
        let list: Arc<[Param]> = layout.slots.iter().map(param).collect();
        let index = list.iter().enumerate().map(|(i, p)| (p.name.clone(), i)).collect();
        Self { list, index: Arc::new(index), segments }
    }

    /// The parameters of `layout`: segments that these have under the same names stay, the others are drawn anew.
    pub(super) fn with_layout(&self, layout: &Layout, seed: u64, device: &Device) -> Self {
        let kept = |segment: usize| {
            let first = layout.slots.iter().find(|slot| slot.segment == segment).expect("a segment holds a parameter");
            self.get(&first.name).map(|param| self.segments[param.segment].clone())
        };
        let mut assembly = Assembly::new(layout, device);
        for (segment, size) in layout.segments.iter().enumerate() {
            match kept(segment) {
                Some(kept) if kept.value.dims() == [size.len] => assembly.done[segment] = Some(kept),
                _ => {
                    for (i, slot) in layout.slots.iter().enumerate().filter(|(_, slot)| slot.segment == segment) {
                        assembly.put(i, &init(slot, seed));
                    }
                }
            }
        }
        assembly.finish()
    }

    /// The parameter of that name alone. Panics where there is none or it shares its segment.
    pub(super) fn only(&self, name: &str) -> Self {
        let param = self.get(name).expect("every parameter of the layout is present");
        let segment = self.segments[param.segment].clone();
        assert_eq!(segment.value.dims(), [param.num_elements()], "{name} shares its segment");
        let list: Arc<[Param]> = [Param { segment: 0, at: 0, ..param.clone() }].into();
        Self { list, index: Arc::new(HashMap::from([(name.to_owned(), 0)])), segments: vec![segment] }
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Param> {
        self.list.iter()
    }

    /// Number of parameters (tensors of the state dict).
    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<&Param> {
        self.index.get(name).map(|&i| &self.list[i])
    }

    /// Number of elements of all parameters together.
    pub fn num_elements(&self) -> usize {
        self.list.iter().map(Param::num_elements).sum()
    }

    /// The tensors that hold the numbers.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// As [`Params::segments`], to be replaced by others of the same size.
    pub fn segments_mut(&mut self) -> &mut [Segment] {
        &mut self.segments
    }

    /// A copy with every segment passed through `f`.
    pub fn map(&self, f: impl Fn(Tensor<1>) -> Tensor<1>) -> Self {
        let change = |segment: &Segment| Segment { value: f(segment.value.clone()), decayed: segment.decayed };
        Self { segments: self.segments.iter().map(change).collect(), ..self.clone() }
    }

    /// The parameters whose numbers lie in a segment, in their order there.
    pub fn of_segment(&self, segment: usize) -> impl Iterator<Item = &Param> {
        let mut inside: Vec<_> = self.list.iter().filter(|param| param.segment == segment).collect();
        inside.sort_by_key(|param| param.at);
        inside.into_iter()
    }

    /// The numbers of every parameter in host copies of tensors of the segments' sizes: weights, moments, gradients.
    pub fn parts<'a>(&'a self, segments: &'a [Vec<f32>]) -> impl Iterator<Item = (&'a Param, &'a [f32])> {
        self.list.iter().map(|param| (param, &segments[param.segment][param.range()]))
    }

    /// A tensor of the size of segment `segment` from the numbers of its parameters, which `values` gives.
    ///
    /// # Errors
    /// The first of `values`.
    pub async fn assemble<E>(
        &self,
        segment: usize,
        device: &Device,
        mut values: impl AsyncFnMut(&Param) -> std::result::Result<Vec<f32>, E>,
    ) -> std::result::Result<Tensor<1>, E> {
        let mut host = vec![0.0; self.segments[segment].value.dims()[0]];
        for param in self.of_segment(segment) {
            host[param.range()].copy_from_slice(&values(param).await?);
        }
        Ok(upload(host, device))
    }

    /// Shows every parameter's numbers, in the list's order; a segment at a time is on the host.
    ///
    /// # Errors
    /// [`crate::Error::Device`].
    pub(super) async fn each(&self, mut show: impl FnMut(&Param, &[f32])) -> Result<()> {
        for params in self.list.chunk_by(|a, b| a.segment == b.segment) {
            let host = download(&self.segments[params[0].segment].value).await?;
            params.iter().for_each(|param| show(param, &host[param.range()]));
        }
        Ok(())
    }

    /// A parameter with a segment of its own, as a vector. Panics where the layout has no such parameter.
    pub(super) fn vector(&self, name: &str) -> Tensor<1> {
        let param = self.get(name).expect("every parameter of the layout is present");
        self.segments[param.segment].value.clone()
    }

    /// As [`Params::vector`], as the matrix that the state dict holds.
    pub(super) fn matrix(&self, name: &str) -> Tensor<2> {
        let param = self.get(name).expect("every parameter of the layout is present");
        self.vector(name).reshape([param.shape[0], param.shape[1]])
    }
}

/// Parameters being put together on the host; a segment goes to the device when it is whole.
pub(super) struct Assembly<'a> {
    layout: &'a Layout,
    device: &'a Device,
    hosts: Vec<Vec<f32>>,
    /// Parameters that each segment still waits for.
    missing: Vec<usize>,
    done: Vec<Option<Segment>>,
}

impl<'a> Assembly<'a> {
    pub(super) fn new(layout: &'a Layout, device: &'a Device) -> Self {
        let mut missing = vec![0; layout.segments.len()];
        layout.slots.iter().for_each(|slot| missing[slot.segment] += 1);
        let empty = vec![Vec::new(); missing.len()];
        Self { layout, device, hosts: empty, done: vec![None; missing.len()], missing }
    }

    /// The numbers of slot `i`, once.
    pub(super) fn put(&mut self, i: usize, values: &[f32]) {
        let slot = &self.layout.slots[i];
        let host = &mut self.hosts[slot.segment];
        host.resize(self.layout.segments[slot.segment].len, 0.0);
        host[slot.at..][..values.len()].copy_from_slice(values);
        self.missing[slot.segment] -= 1;
        if self.missing[slot.segment] == 0 {
            let value = upload(std::mem::take(host), self.device);
            self.done[slot.segment] = Some(Segment { value, decayed: self.layout.segments[slot.segment].decayed });
        }
    }

    /// Panics unless every slot was put.
    pub(super) fn finish(self) -> Params {
        let whole = |segment: Option<Segment>| segment.expect("every slot was put");
        Params::new(self.layout, self.done.into_iter().map(whole).collect())
    }
}

/// A tensor's numbers on the host.
pub(super) async fn download(tensor: &Tensor<1>) -> Result<Vec<f32>> {
    let data = Transaction::default().register(tensor.clone().inner()).execute_async().await.map_err(device_error)?;
    data.into_iter().next().expect("one was asked for").try_into_vec().map_err(device_error)
}

fn upload(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let size = values.len();
    Tensor::from_data(TensorData::new(values, [size]), device)
}

/// The first values of one slot.
fn init(slot: &Slot, seed: u64) -> Vec<f32> {
    let size = slot.shape.iter().product();
    match slot.start {
        Start::Zeros => vec![0.0; size],
        Start::Ones => vec![1.0; size],
        Start::Normal(std) => {
            let mut stream = rng::stream(seed, &slot.name, 0);
            (0..size).map(|_| (std * rng::normal(&mut stream)) as f32).collect()
        }
    }
}

//! Parameters: one ordered list under Hugging Face names, each kept flat (the forward pass reshapes, which is free).

use std::collections::HashMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use super::layout::{Slot, Start};
use crate::rng;

/// One parameter.
#[derive(Debug, Clone)]
pub struct Param {
    /// Name in the Hugging Face state dict.
    pub name: String,
    /// Shape in the state dict; `value` holds its elements in row-major order.
    pub shape: Vec<usize>,
    pub value: Tensor<1>,
    /// Weight decay applies: false for biases and normalisation weights.
    pub decay: bool,
}

/// All parameters of a model, in the order of its state dict.
#[derive(Debug, Clone)]
pub struct Params {
    list: Vec<Param>,
    /// Name to position; only ever looked up, never iterated.
    index: Arc<HashMap<String, usize>>,
}

impl Params {
    pub fn new(list: Vec<Param>) -> Self {
        let index = list.iter().enumerate().map(|(i, p)| (p.name.clone(), i));
        let index = Arc::new(index.collect());
        Self { list, index }
    }

    /// Draws every parameter anew; each has a stream of its own, so that one more layer leaves the others as they were.
    pub fn init(slots: &[Slot], seed: u64, device: &Device) -> Self {
        Self::new(slots.iter().map(|slot| init(slot, seed, device)).collect())
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Param> {
        self.list.iter()
    }

    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Param> {
        self.list.iter_mut()
    }

    /// Number of parameters (tensors).
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
        self.list.iter().map(|p| p.shape.iter().product::<usize>()).sum()
    }

    /// A copy with every value passed through `f`.
    pub fn map(&self, f: impl Fn(Tensor<1>) -> Tensor<1>) -> Self {
        let change = |p: &Param| Param { value: f(p.value.clone()), ..p.clone() };
        Self { list: self.list.iter().map(change).collect(), index: self.index.clone() }
    }

    /// The parameter that the forward pass needs, reshaped. Panics where the layout has no such parameter.
    pub(super) fn vector(&self, name: &str) -> Tensor<1> {
        self.get(name).expect("every parameter of the layout is present").value.clone()
    }

    /// As [`Params::vector`], as the matrix that the state dict holds.
    pub(super) fn matrix(&self, name: &str) -> Tensor<2> {
        let param = self.get(name).expect("every parameter of the layout is present");
        param.value.clone().reshape([param.shape[0], param.shape[1]])
    }
}

/// The new parameter of one slot.
pub(super) fn init(slot: &Slot, seed: u64, device: &Device) -> Param {
    let size = slot.shape.iter().product();
    let values = match slot.start {
        Start::Zeros => vec![0.0; size],
        Start::Ones => vec![1.0; size],
        Start::Normal(std) => {
            let mut stream = rng::stream(seed, &slot.name, 0);
            (0..size).map(|_| (std * rng::normal(&mut stream)) as f32).collect()
        }
    };
    from_values(slot, values, device)
}

/// A parameter from its elements in row-major order.
pub(super) fn from_values(slot: &Slot, values: Vec<f32>, device: &Device) -> Param {
    let size = values.len();
    Param {
        name: slot.name.clone(),
        shape: slot.shape.clone(),
        value: Tensor::from_data(TensorData::new(values, [size]), device),
        decay: slot.decay,
    }
}

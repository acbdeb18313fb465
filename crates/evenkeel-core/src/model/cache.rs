//! Keys and values of the tokens already seen, so that generation computes each token once.
//!
//! Shape letters: B batch, S columns, T new columns, K key/value heads, D head size.

use burn::tensor::{Device, Int, Tensor};
use evenkeel_kernels::KeysValues;
use serde::{Deserialize, Serialize};

use super::config::ModelConfig;

/// How the numbers of a cache are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvCacheDtype {
    #[default]
    Float32,
    /// IEEE 754 binary16, of 11 significant bits: half the memory.
    Float16,
}

impl KvCacheDtype {
    /// Why a model cannot have it, if it cannot.
    pub fn problem(self, config: &ModelConfig) -> Option<String> {
        let odd = self == Self::Float16 && !config.head_dim.is_multiple_of(2);
        odd.then(|| format!("float16 packs numbers in pairs, and the model's heads have {} each", config.head_dim))
    }
}

/// Keys and values of every layer, [B, S, K, D] each, of which the first `len` columns are filled.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<Layer>,
    len: usize,
    capacity: usize,
}

#[derive(Debug)]
struct Layer {
    /// Taken while being written, so that each buffer has one owner and is written in place.
    kept: Option<KeysValues>,
}

impl KvCache {
    /// Room for `capacity` columns of `batch` rows.
    pub fn new(config: &ModelConfig, dtype: KvCacheDtype, batch: usize, capacity: usize, device: &Device) -> Self {
        let shape = [batch, capacity, config.num_kv_heads, config.head_dim];
        let layer = |_| Layer { kept: Some(KeysValues::zeros(shape, dtype == KvCacheDtype::Float16, device)) };
        Self { layers: (0..config.num_layers).map(layer).collect(), len: 0, capacity }
    }

    /// Filled columns.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Columns there is room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes room for at least `capacity` columns.
    pub fn reserve(&mut self, capacity: usize) {
        if capacity <= self.capacity {
            return;
        }
        let more = capacity - self.capacity;
        self.change(|kept| kept.grown(more));
        self.capacity = capacity;
    }

    /// Keeps only these rows of the batch, in this order.
    pub fn keep_rows(&mut self, rows: &Tensor<1, Int>) {
        self.change(|kept| kept.rows(rows));
    }

    /// Hands keys and values of `layer` to `f`, which writes columns after the filled ones, and takes them back.
    /// The columns count as filled only after [`KvCache::advance`], once every layer has them.
    pub(super) fn update<T>(&mut self, layer: usize, f: impl FnOnce(KeysValues) -> (T, KeysValues)) -> T {
        let slot = &mut self.layers[layer].kept;
        let (result, kept) = f(slot.take().expect("a layer's cache is only taken during a write"));
        *slot = Some(kept);
        result
    }

    /// Counts `columns` more as filled.
    pub(super) fn advance(&mut self, columns: usize) {
        self.len += columns;
    }

    fn change(&mut self, f: impl Fn(KeysValues) -> KeysValues) {
        for layer in &mut self.layers {
            layer.kept = layer.kept.take().map(&f);
        }
    }
}

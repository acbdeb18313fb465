//! Keys and values of the tokens already seen, so that generation computes each token once.
//!
//! Shape letters: B batch, S columns, T new columns, K key/value heads, D head size.

use burn::tensor::{Device, Int, Tensor};

use super::config::ModelConfig;

/// Keys and values of every layer, [B, S, K, D] each, of which the first `len` columns are filled.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<Layer>,
    len: usize,
    capacity: usize,
}

#[derive(Debug)]
struct Layer {
    /// Keys and values; taken while being written, so that each buffer has one owner and is written in place.
    kept: Option<[Tensor<4>; 2]>,
}

impl KvCache {
    /// Room for `capacity` columns of `batch` rows.
    pub fn new(config: &ModelConfig, batch: usize, capacity: usize, device: &Device) -> Self {
        let shape = [batch, capacity, config.num_kv_heads, config.head_dim];
        let layer = |_| Layer { kept: Some([(); 2].map(|()| Tensor::zeros(shape, device))) };
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
        let extra = capacity - self.capacity;
        self.change(|tensor| {
            let [b, _, k, d] = tensor.dims();
            let device = tensor.device();
            Tensor::cat(vec![tensor, Tensor::zeros([b, extra, k, d], &device)], 1)
        });
        self.capacity = capacity;
    }

    /// Keeps only these rows of the batch, in this order.
    pub fn keep_rows(&mut self, rows: &Tensor<1, Int>) {
        self.change(|tensor| tensor.select(0, rows.clone()));
    }

    /// Hands keys and values of `layer` to `f`, which writes columns after the filled ones, and takes them back.
    /// The columns count as filled only after [`KvCache::advance`], once every layer has them.
    pub(super) fn update<T>(&mut self, layer: usize, f: impl FnOnce([Tensor<4>; 2]) -> (T, [Tensor<4>; 2])) -> T {
        let slot = &mut self.layers[layer].kept;
        let (result, kept) = f(slot.take().expect("a layer's cache is only taken during a write"));
        *slot = Some(kept);
        result
    }

    /// Counts `columns` more as filled.
    pub(super) fn advance(&mut self, columns: usize) {
        self.len += columns;
    }

    fn change(&mut self, f: impl Fn(Tensor<4>) -> Tensor<4>) {
        for layer in &mut self.layers {
            layer.kept = layer.kept.take().map(|kept| kept.map(&f));
        }
    }
}

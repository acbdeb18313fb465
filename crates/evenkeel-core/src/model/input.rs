//! What a forward pass reads: tokens, their positions and the keys that each may look at.
//!
//! Padding, packing and cached generation differ only in these four arrays.

use burn::tensor::{Device, Int, Tensor, TensorData};
use evenkeel_kernels::Rows;

/// Tokens and what each may attend to. Shapes: B batch, T time.
#[derive(Debug, Clone)]
pub struct Input {
    /// Token ids [B, T].
    pub ids: Tensor<2, Int>,
    /// Position of each token in its document [B, T].
    pub positions: Tensor<2, Int>,
    /// First key that each token sees [B, T]; columns of the keys (of the cache, where there is one).
    pub first: Tensor<2, Int>,
    /// Last key that each token sees, inclusive [B, T].
    pub last: Tensor<2, Int>,
    pub batch: usize,
    pub time: usize,
    /// Where each row of the embedding tables goes, for their gradients; absent where none is wanted.
    pub gathered: Option<Gathered>,
}

/// Rows gathered from the embedding tables.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// Of the token embedding.
    pub ids: Rows,
    /// Of GPT-2's position embedding.
    pub positions: Option<Rows>,
}

impl Input {
    /// All four arrays row-major, `batch` × `time` long. Panics where one is not.
    pub fn new(ids: Vec<i32>, positions: Vec<i32>, first: Vec<i32>, last: Vec<i32>, batch: usize, time: usize, device: &Device) -> Self {
        let tensor = |values: Vec<i32>| {
            assert_eq!(values.len(), batch * time, "an input array must hold batch × time values");
            Tensor::from_data(TensorData::new(values, [batch, time]), device)
        };
        Self { ids: tensor(ids), positions: tensor(positions), first: tensor(first), last: tensor(last), batch, time, gathered: None }
    }

    /// One sequence a row, padded on the right with `pad` to the longest; causal. The hidden states at padding are
    /// defined but mean nothing; no real token sees them.
    pub fn causal<S: AsRef<[u32]>>(rows: &[S], pad: u32, device: &Device) -> Self {
        let batch = rows.len();
        let time = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or(0);
        let token = |row: &S, t: usize| row.as_ref().get(t).copied().unwrap_or(pad) as i32;
        let ids = rows.iter().flat_map(|row| (0..time).map(move |t| token(row, t))).collect();
        let columns: Vec<i32> = (0..batch).flat_map(|_| 0..time as i32).collect();
        let first = vec![0; batch * time];
        Self::new(ids, columns.clone(), first, columns, batch, time, device)
    }
}

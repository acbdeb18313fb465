//! Drawing the next token of every row without a readback.  Twin: `reference/sampling.rs`.
//!
//! B rows, V vocabulary, M columns of drawn tokens.

use burn::backend::Dispatch;
use burn::tensor::{Device, Int, Shape, Tensor, TensorData};

use crate::backend::Untracked;
pub use crate::reference::sampling::Settings;
use crate::reference::sampling::{LOWEST, ROW};
use crate::shapes::check;

/// What a draw reads, and what it leaves for the next forward pass; all on the device.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// Tokens drawn so far `[B,M]`; −1 in columns after a row's end, −2 where its logits were not finite.
    pub tokens: Tensor<2, Int>,
    /// The next token to feed `[B]`; 0 in a row that is done.
    pub ids: Tensor<1, Int>,
    /// Its position `[B]`.
    pub positions: Tensor<1, Int>,
    /// The first key that it sees `[B]`; beyond every key in a row that is done.
    pub begins: Tensor<1, Int>,
    facts: Tensor<1, Int>,
    seen: Tensor<1, Int>,
}

/// One row to draw for.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    pub seed: u64,
    /// Its tokens so far, for the repetition penalty.
    pub context: &'a [u32],
    /// First of its columns in the cache.
    pub begins: usize,
}

impl Drawing {
    /// Rows that each have room for `most` tokens and end with one of `stops`.
    ///
    /// # Panics
    /// When there is no row.
    pub fn new(rows: &[Start], stops: &[u32], most: usize, vocabulary: usize, settings: &Settings, device: &Device) -> Self {
        let b = rows.len();
        assert!(b > 0, "draw: no row");
        let facts = rows.iter().flat_map(|row| [row.seed as u32, (row.seed >> 32) as u32, LOWEST.to_bits()]);
        let facts: Vec<i32> = facts.chain(stops.iter().copied()).map(|x| x as i32).collect();
        let seen = if settings.penalises() { rows.iter().flat_map(|row| bits(row.context, vocabulary)).collect() } else { vec![0] };
        let last = |f: &dyn Fn(&Start) -> i32| rows.iter().map(f).collect::<Vec<_>>();
        Self {
            tokens: Tensor::from_data(TensorData::new(vec![-1i32; b * most], Shape::new([b, most])), device),
            ids: ints(last(&|row| row.context.last().map_or(0, |&id| id as i32)), device),
            positions: ints(last(&|row| row.context.len() as i32 - 1), device),
            begins: ints(last(&|row| row.begins as i32), device),
            facts: ints(facts, device),
            seen: ints(seen, device),
        }
    }
}

fn ints(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let size = values.len();
    Tensor::from_data(TensorData::new(values, [size]), device)
}

/// One bit for every token of the vocabulary.
fn bits(tokens: &[u32], vocabulary: usize) -> Vec<i32> {
    let mut words = vec![0u32; vocabulary.div_ceil(32)];
    for &token in tokens {
        words[token as usize / 32] |= 1 << (token % 32);
    }
    words.into_iter().map(|word| word as i32).collect()
}

/// Draws token `step` (from 0) of every row that is not done: the first largest logit, or a sample after repetition penalty,
/// temperature, top-k, top-p and min-p, in transformers' order.
///
/// Equal logits at a threshold are kept or dropped together. A row's draw depends on its seed, `step` and its logits only.
/// logits `[B,V]`
///
/// # Panics
/// When a dimension disagrees or `step` has no column.
///
/// Source: see `reference::sampling`.
pub fn draw(logits: Tensor<2>, drawing: Drawing, step: usize, settings: &Settings) -> Drawing {
    let Drawing { tokens, ids, positions, begins, facts, seen } = drawing;
    let [b, v] = logits.dims();
    let [_, most] = tokens.dims();
    check("draw", "tokens", &tokens, [("B", b), ("M", most)]);
    check("draw", "ids", &ids, [("B", b)]);
    assert!(step < most, "draw: token {step} has no column in {most}");
    let words = if settings.penalises() { b * v.div_ceil(32) } else { 1 };
    check("draw", "seen", &seen, [("B·V/32", words)]);
    assert!(facts.dims()[0] >= ROW * b, "draw: {} facts are too few for {b} rows", facts.dims()[0]);
    let (facts, seen, tokens, ids, positions, begins) = Dispatch::draw(
        logits.inner().into_dispatch(),
        facts.into_dispatch(),
        seen.into_dispatch(),
        tokens.into_dispatch(),
        ids.into_dispatch(),
        positions.into_dispatch(),
        begins.into_dispatch(),
        step,
        *settings,
    );
    Drawing {
        tokens: Tensor::from_dispatch(tokens),
        ids: Tensor::from_dispatch(ids),
        positions: Tensor::from_dispatch(positions),
        begins: Tensor::from_dispatch(begins),
        facts: Tensor::from_dispatch(facts),
        seen: Tensor::from_dispatch(seen),
    }
}

//! Keys and values of the tokens that a block has seen, in single or in half precision.
//!
//! B batch, S columns, K key/value heads, E head dimension.

use burn::tensor::{DType, Device, Int, Tensor};

/// Keys and values `[B,S,K,E]`.
#[derive(Clone, Debug)]
pub enum KeysValues {
    Float32([Tensor<4>; 2]),
    /// Two numbers in a word `[B,S,K,E/2]`: half the memory, and half of what a new token reads. WGSL packs and unpacks such words on
    /// every adapter, so that nothing has to be probed.
    Float16([Tensor<4, Int>; 2]),
}

impl KeysValues {
    /// Zeros of that shape, in half precision where `half`.
    ///
    /// # Panics
    /// When E is odd in half precision.
    pub fn zeros([b, s, k, e]: [usize; 4], half: bool, device: &Device) -> Self {
        if !half {
            return Self::Float32([(); 2].map(|()| Tensor::zeros([b, s, k, e], device)));
        }
        assert!(e.is_multiple_of(2), "KeysValues: E = {e} must be even in half precision");
        Self::Float16([(); 2].map(|()| Tensor::zeros([b, s, k, e / 2], (device, DType::I32))))
    }

    /// `[B,S,K,E]`
    pub fn dims(&self) -> [usize; 4] {
        match self {
            Self::Float32([keys, _]) => keys.dims(),
            Self::Float16([keys, _]) => {
                let [b, s, k, half] = keys.dims();
                [b, s, k, 2 * half]
            }
        }
    }

    /// With room for `more` columns after those there are.
    pub fn grown(self, more: usize) -> Self {
        let [b, _, k, e] = self.dims();
        match self {
            Self::Float32(kept) => Self::Float32(kept.map(|old| {
                let new = Tensor::zeros([b, more, k, e], &old.device());
                Tensor::cat(vec![old, new], 1)
            })),
            Self::Float16(kept) => Self::Float16(kept.map(|old| {
                let new = Tensor::zeros([b, more, k, e / 2], (&old.device(), DType::I32));
                Tensor::cat(vec![old, new], 1)
            })),
        }
    }

    /// Only these rows of the batch, in this order.
    pub fn rows(self, rows: &Tensor<1, Int>) -> Self {
        match self {
            Self::Float32(kept) => Self::Float32(kept.map(|x| x.select(0, rows.clone()))),
            Self::Float16(kept) => Self::Float16(kept.map(|x| x.select(0, rows.clone()))),
        }
    }
}

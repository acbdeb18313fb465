//! Twin of `shaders/cache/*.wgsl`: two numbers in half precision in a word, the first in its lower half.
//!
//! Source: IEEE 754 binary16.

use half::f16;

/// Pairs of numbers, each rounded to the nearest half; beyond a half's range to its largest.
pub fn pack(x: &[f32]) -> Vec<i32> {
    let half = |x: f32| u32::from(f16::from_f32(x.clamp(f16::MIN.to_f32(), f16::MAX.to_f32())).to_bits());
    x.chunks_exact(2).map(|pair| (half(pair[0]) | half(pair[1]) << 16) as i32).collect()
}

/// The numbers of [`pack`].
pub fn unpack(words: &[i32]) -> Vec<f32> {
    let number = |bits: u32| f16::from_bits(bits as u16).to_f32();
    words.iter().flat_map(|&word| [number(word as u32), number(word as u32 >> 16)]).collect()
}

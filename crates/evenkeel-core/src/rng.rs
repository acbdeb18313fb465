//! Randomness without state: every draw is keyed by (seed, purpose, index), so that a resumed run, another batch size
//! or another thread draws the same numbers and no generator has to be saved.

use rand::{Rng, RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// A generator for one purpose at one index (a step, an epoch, a row). Equal arguments give equal streams.
pub fn stream(seed: u64, purpose: &str, index: u64) -> ChaCha8Rng {
    // FNV-1a over the purpose: a fixed, portable hash; quality comes from ChaCha.
    let hash = purpose.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&hash.to_le_bytes());
    key[16..24].copy_from_slice(&index.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// Uniform in [0, 1).
pub fn uniform(rng: &mut impl Rng) -> f64 {
    rng.random::<f64>()
}

/// Standard normal by Box–Muller (one of the pair is used).
pub fn normal(rng: &mut impl Rng) -> f64 {
    let u = 1.0 - uniform(rng); // (0, 1], so that ln is finite
    let v = uniform(rng);
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// The order in which `len` rows are visited in `epoch`.
pub fn permutation(seed: u64, purpose: &str, epoch: u64, len: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.shuffle(&mut stream(seed, purpose, epoch));
    order
}

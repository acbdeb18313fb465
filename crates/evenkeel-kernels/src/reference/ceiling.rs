//! Twin of `shaders/ceiling/*.wgsl`: work whose speed is a ceiling for every other kernel.

/// x `[N]` → x
pub fn copy(x: &[f32]) -> Vec<f32> {
    x.to_vec()
}

/// The sum of x, x + 1 and x + 2, each after 8 `rounds` times y ← s y + t.  x `[N]` → `[N]`
pub fn fma(x: &[f32], rounds: usize, s: f32, t: f32) -> Vec<f32> {
    let chain = |y: f32| (0..8 * rounds).fold(y, |y, _| y.mul_add(s, t));
    x.iter().map(|&x| chain(x) + chain(x + 1.0) + chain(x + 2.0)).collect()
}

//! Twin of `shaders/matmul/*.wgsl`: a product of two matrices, each stored plainly or transposed.
//!
//! M rows, K summed, N columns.

use super::fill_rows;

/// Strides of an operand: (between rows, between columns) of the matrix that it stands for.
pub type Strides = [usize; 2];

/// out = a b + extra, sums in f64 in order of k.  a `[M,K]` and b `[K,N]` by their strides; extra empty, a bias `[N]` or
/// `[M,N]` → `[M,N]`
pub fn matmul(a: &[f32], a_strides: Strides, b: &[f32], b_strides: Strides, extra: &[f32], [m, k, n]: [usize; 3]) -> Vec<f32> {
    let mut out = vec![0.0; m * n];
    fill_rows(&mut out, n, |i, row| {
        for (j, out) in row.iter_mut().enumerate() {
            let product = |l: usize| f64::from(a[i * a_strides[0] + l * a_strides[1]]) * f64::from(b[l * b_strides[0] + j * b_strides[1]]);
            let added = match extra.len() {
                0 => 0.0,
                bias if bias == n => extra[j],
                _ => extra[i * n + j],
            };
            *out = ((0..k).map(product).sum::<f64>() + f64::from(added)) as f32;
        }
    });
    out
}

//! Twin of `shaders/matmul/*.wgsl`: a product of two matrices, each stored plainly or transposed.
//!
//! M rows, K summed, N columns.

use super::fill_rows;

/// Strides of an operand: (between rows, between columns) of the matrix that it stands for.
pub type Strides = [usize; 2];

/// out = a b + bias + residual, sums in f64 in order of k.  a `[M,K]` and b `[K,N]` by their strides, bias `[N]`, residual
/// `[M,N]` → `[M,N]`
pub fn matmul(
    (a, a_strides): (&[f32], Strides),
    (b, b_strides): (&[f32], Strides),
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    [m, k, n]: [usize; 3],
) -> Vec<f32> {
    let mut out = vec![0.0; m * n];
    fill_rows(&mut out, n, |i, row| {
        for (j, out) in row.iter_mut().enumerate() {
            let product = |l: usize| f64::from(a[i * a_strides[0] + l * a_strides[1]]) * f64::from(b[l * b_strides[0] + j * b_strides[1]]);
            let added = bias.map_or(0.0, |bias| f64::from(bias[j])) + residual.map_or(0.0, |residual| f64::from(residual[i * n + j]));
            *out = ((0..k).map(product).sum::<f64>() + added) as f32;
        }
    });
    out
}

/// out = Σ rows of x: the gradient of a bias.  x `[M,N]` → `[N]`
pub fn sum_rows(x: &[f32], n: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; n];
    for row in x.chunks(n) {
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    sums.iter().map(|&sum| sum as f32).collect()
}

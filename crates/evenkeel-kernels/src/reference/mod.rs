//! CPU twins of the WGSL kernels: plain loops over slices with f64 accumulators.
//!
//! They are the ground truth that the shaders are tested against, and they are what `--device cpu` trains with. Not a
//! tensor library: shapes are arguments, every slice is contiguous, and nothing is allocated in an inner loop.

pub mod activation;
pub mod attention;
pub mod logprob;
pub mod loss;
pub mod norm;
pub mod optim;
pub mod rope;

/// Lanes of the unrolled dot product: enough independent sums for the compiler to use vector registers.
const LANES: usize = 8;

/// Σ a·b in f64.  a [n], b [n]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0f64; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (a_tail, b_tail) = (a_chunks.remainder(), b_chunks.remainder());
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += f64::from(x[lane]) * f64::from(y[lane]);
        }
    }
    let tail: f64 = a_tail.iter().zip(b_tail).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
    sums.iter().sum::<f64>() + tail
}

/// sum += factor · x.  sum [n], x [n]
pub(crate) fn add_scaled(sum: &mut [f64], factor: f64, x: &[f32]) {
    for (s, &x) in sum.iter_mut().zip(x) {
        *s += factor * f64::from(x);
    }
}

/// `f(i)` for every row in order of i, on all cores where there are threads.
pub(crate) fn map_rows<T: Send>(rows: usize, f: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    #[cfg(not(target_family = "wasm"))]
    {
        use rayon::prelude::*;
        (0..rows).into_par_iter().map(f).collect()
    }
    #[cfg(target_family = "wasm")]
    {
        (0..rows).map(f).collect()
    }
}

/// `f(i, row)` for every `width`-long row of `out`, on all cores where there are threads; returns what `f` returned.
pub(crate) fn fill_rows<T: Send>(out: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) -> T + Sync + Send) -> Vec<T> {
    #[cfg(not(target_family = "wasm"))]
    {
        use rayon::prelude::*;
        out.par_chunks_mut(width).enumerate().map(|(i, row)| f(i, row)).collect()
    }
    #[cfg(target_family = "wasm")]
    {
        out.chunks_mut(width).enumerate().map(|(i, row)| f(i, row)).collect()
    }
}

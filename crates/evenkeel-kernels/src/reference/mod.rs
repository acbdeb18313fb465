//! CPU twins of the WGSL kernels: plain loops over slices, long sums in f64.
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

/// Terms summed in f32 before they are added to an f64 sum: short enough to keep f32's last bit, long enough that the
/// conversion costs little.
pub(crate) const SHORT: usize = 8;

/// Σ a·b: eight interleaved f32 sums over at most `SHORT` terms each, then f64.  a [n], b [n]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    const BLOCK: usize = SHORT * SHORT;
    let mut total = 0.0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut sums = [0.0f32; SHORT];
        let (a_chunks, b_chunks) = (a.chunks_exact(SHORT), b.chunks_exact(SHORT));
        let (a_tail, b_tail) = (a_chunks.remainder(), b_chunks.remainder());
        for (x, y) in a_chunks.zip(b_chunks) {
            for lane in 0..SHORT {
                sums[lane] += x[lane] * y[lane];
            }
        }
        for (lane, (x, y)) in a_tail.iter().zip(b_tail).enumerate() {
            sums[lane] += x * y;
        }
        total += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
    }
    total
}

/// sum += Σ factors · rows, `SHORT` rows at a time in f32, then f64.  sum [n]; row(j) [n] for j in 0..factors.len()
pub(crate) fn add_weighted<'a>(sum: &mut [f64], factors: &[f32], row: impl Fn(usize) -> &'a [f32]) {
    let n = sum.len();
    let mut chunks = factors.chunks_exact(SHORT);
    for (chunk, factors) in chunks.by_ref().enumerate() {
        let rows: [&[f32]; SHORT] = std::array::from_fn(|j| &row(chunk * SHORT + j)[..n]);
        for (d, sum) in sum.iter_mut().enumerate() {
            let mut short = 0.0f32;
            for j in 0..SHORT {
                short += factors[j] * rows[j][d];
            }
            *sum += f64::from(short);
        }
    }
    let done = factors.len() - chunks.remainder().len();
    for (j, &factor) in chunks.remainder().iter().enumerate() {
        for (sum, &x) in sum.iter_mut().zip(row(done + j)) {
            *sum += f64::from(factor * x);
        }
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

//! CPU twins of the WGSL kernels: plain loops over slices, sums of short stretches in f32, long ones in f64.
//!
//! They are the ground truth that the shaders are tested against, and they are what `--device cpu` trains with. Not a
//! tensor library: shapes are arguments, every slice is contiguous, and nothing is allocated in an inner loop.

pub mod activation;
pub mod advantage;
pub mod attention;
pub mod cache;
pub mod ceiling;
pub mod gather;
pub mod logprob;
pub mod loss;
pub mod matmul;
pub mod norm;
pub mod optim;
pub mod rope;
pub mod sampling;

/// Terms summed in f32 before they are added to an f64 sum: short enough to keep f32's last bit, long enough that the
/// conversion costs little.
pub(crate) const SHORT: usize = 8;

/// Σ a·b: eight interleaved f32 sums of at most 16 terms each, then f64.  a [n], b [n]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    const BLOCK: usize = 16 * SHORT;
    a.chunks(BLOCK).zip(b.chunks(BLOCK)).map(|(a, b)| dot_block(a, b)).sum()
}

#[inline]
fn dot_block(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 4;
    let (a_chunks, b_chunks) = (a.chunks_exact(SHORT), b.chunks_exact(SHORT));
    let tail = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
    let (mut low, mut high) = ([0.0f32; LANES], [0.0f32; LANES]);
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            low[lane] += x[lane] * y[lane];
            high[lane] += x[lane + LANES] * y[lane + LANES];
        }
    }
    low.iter().zip(high).map(|(&low, high)| f64::from(low + high)).sum::<f64>() + tail
}

/// sum += Σ factors · rows, `SHORT` rows at a time in f32, then f64.  sum [n]; row(j) [n] for j in 0..factors.len()
pub(crate) fn add_weighted<'a>(sum: &mut [f64], factors: &[f32], row: impl Fn(usize) -> &'a [f32]) {
    for (chunk, factors) in factors.chunks(SHORT).enumerate() {
        // A missing row counts as the first one times 0.
        let weight: [f32; SHORT] = std::array::from_fn(|j| factors.get(j).copied().unwrap_or(0.0));
        let rows: [&[f32]; SHORT] = std::array::from_fn(|j| row(chunk * SHORT + if j < factors.len() { j } else { 0 }));
        let whole = sum.len() - sum.len() % SHORT;
        for (start, sum) in (0..whole).step_by(SHORT).zip(sum.chunks_exact_mut(SHORT)) {
            let mut short = [0.0f32; SHORT];
            for (weight, row) in weight.iter().zip(&rows) {
                let row = &row[start..start + SHORT];
                for lane in 0..SHORT {
                    short[lane] += weight * row[lane];
                }
            }
            for (sum, short) in sum.iter_mut().zip(short) {
                *sum += f64::from(short);
            }
        }
        for d in whole..sum.len() {
            let short: f32 = weight.iter().zip(&rows).map(|(weight, row)| weight * row[d]).sum();
            sum[d] += f64::from(short);
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

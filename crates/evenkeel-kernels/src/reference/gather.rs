//! Twin of `shaders/gather/*.wgsl`: rows of a table, and the sum of what comes back for each.
//!
//! R rows of the table, N gathered, D numbers each.

use super::fill_rows;

/// `out[n]` = `x[rows[n]]`.  x `[R,D]`, rows `[N]` → `[N,D]`
pub fn forward(x: &[f32], rows: &[i32], d: usize) -> Vec<f32> {
    let last = (x.len() / d) as i32 - 1;
    rows.iter().flat_map(|&row| &x[row.clamp(0, last) as usize * d..][..d]).copied().collect()
}

/// `dx[r]` = Σ `dy[order[i]]` for i in `starts[r]..starts[r + 1]`.  dy `[N,D]`, order `[N]`, starts `[R+1]` → `[R,D]`
pub fn backward(dy: &[f32], order: &[i32], starts: &[i32], d: usize) -> Vec<f32> {
    let mut dx = vec![0.0; (starts.len() - 1) * d];
    fill_rows(&mut dx, d, |row, dx_d| {
        let mut sums = vec![0.0f64; d];
        for &n in &order[starts[row] as usize..starts[row + 1] as usize] {
            sums.iter_mut().zip(&dy[n as usize * d..][..d]).for_each(|(sum, &dy)| *sum += f64::from(dy));
        }
        dx_d.iter_mut().zip(sums).for_each(|(dx, sum)| *dx = sum as f32);
    });
    dx
}

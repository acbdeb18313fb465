//! Twin of `shaders/attention/*.wgsl`: softmax attention in which each query sees one span of the keys.
//!
//! B batch, T queries, S keys, H query heads, K key/value heads (H % K == 0), D head dimension.
//! Gradients as in FlashAttention (Dao et al. 2022, appendix B.2): p is recomputed from the log-sum-exp.

use super::{SHORT, add_weighted, dot, fill_rows, map_rows};

/// Sizes of one attention call; letters as in the file's legend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    pub b: usize,
    pub t: usize,
    pub s: usize,
    pub h: usize,
    pub k: usize,
    pub d: usize,
}

impl Dims {
    /// Where head `h` of token `i` starts in q [B,T,H,D].
    fn query(&self, b: usize, i: usize, h: usize) -> usize {
        ((b * self.t + i) * self.h + h) * self.d
    }

    /// Where head `k` of key `j` starts in k and v [B,S,K,D].
    fn key(&self, b: usize, j: usize, k: usize) -> usize {
        ((b * self.s + j) * self.k + k) * self.d
    }

    /// The keys that query row `row` = b·T + i sees, clamped to those there are.
    fn span(&self, first: &[i32], last: &[i32], row: usize) -> std::ops::Range<usize> {
        debug_assert!(last[row] < self.s as i32, "last[{row}] = {} but there are {} keys", last[row], self.s);
        let end = (i64::from(last[row]) + 1).clamp(0, self.s as i64) as usize;
        (first[row].max(0) as usize).min(end)..end
    }
}

/// out = softmax(scale · q kᵀ) v over the span of each query, and its log-sum-exp (0 where the span is empty).
///
/// q `[B,T,H,D]`, k and v `[B,S,K,D]`, first and last `[B,T]` → out `[B,T,H,D]`, lse `[B,T,H]`
pub fn forward(q: &[f32], k: &[f32], v: &[f32], first: &[i32], last: &[i32], scale: f32, dims: Dims) -> (Vec<f32>, Vec<f32>) {
    let Dims { b, t, h, d, .. } = dims;
    let group = h / dims.k;
    let mut out = vec![0.0f32; b * t * h * d];
    let lse = fill_rows(&mut out, h * d, |row, out_hd| {
        let (batch, i) = (row / t, row % t);
        let span = dims.span(first, last, row);
        let mut scores = vec![0.0f64; span.len()];
        let mut weights = vec![0.0f32; span.len()];
        let mut sum_d = vec![0.0f64; d];
        let mut lse_h = vec![0.0f32; h];
        if span.is_empty() {
            return lse_h;
        }
        for head in 0..h {
            let key = |j: usize| dims.key(batch, span.start + j, head / group);
            let q_d = &q[dims.query(batch, i, head)..][..d];
            for (j, score) in scores.iter_mut().enumerate() {
                *score = f64::from(scale) * dot(q_d, &k[key(j)..][..d]);
            }
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let mut total = 0.0;
            for (weight, score) in weights.iter_mut().zip(&scores) {
                let e = (score - max).exp();
                total += e;
                *weight = e as f32;
            }
            sum_d.fill(0.0);
            add_weighted(&mut sum_d, &weights, |j| &v[key(j)..][..d]);
            for (o, sum) in out_hd[head * d..][..d].iter_mut().zip(&sum_d) {
                *o = (sum / total) as f32;
            }
            lse_h[head] = (max + total.ln()) as f32;
        }
        lse_h
    });
    (out, lse.concat())
}

/// Gradients of `forward`: with p = exp(s − lse), dp = dout vᵀ, delta = Σ dout·out, ds = p (dp − delta):
/// dq = scale ds k, dk = scale dsᵀ q, dv = pᵀ dout.  Shapes as in `forward`; dout `[B,T,H,D]` → dq, dk, dv.
#[expect(clippy::too_many_arguments, reason = "the operands of the equation")]
pub fn backward(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    first: &[i32],
    last: &[i32],
    out: &[f32],
    lse: &[f32],
    dout: &[f32],
    scale: f32,
    dims: Dims,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let Dims { b, t, s, h, k: kv_heads, d } = dims;
    let group = h / kv_heads;
    // One task per key/value head of one sequence: its dk, dv and the dq of its query heads belong to nobody else.
    let per_head = map_rows(b * kv_heads, |task| {
        let (batch, kv) = (task / kv_heads, task % kv_heads);
        let key = |j: usize| dims.key(batch, j, kv);
        let mut dq_gtd = vec![0.0f64; group * t * d];
        let mut dk_sd = vec![0.0f64; s * d];
        let mut dv_sd = vec![0.0f64; s * d];
        // p and ds of a block of queries, key by key: one key's row is the factors of its sums over queries.
        let mut p_block = vec![0.0f32; s * SHORT];
        let mut ds_block = vec![0.0f32; s * SHORT];
        let mut ds_s = vec![0.0f32; s];
        for (g, start) in (0..group).flat_map(|g| (0..t).step_by(SHORT).map(move |start| (g, start))) {
            let head = kv * group + g;
            let queries = start..(start + SHORT).min(t);
            let spans = queries.clone().map(|i| dims.span(first, last, batch * t + i)).filter(|span| !span.is_empty());
            let seen = spans.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0);
            p_block[seen.start * SHORT..seen.end * SHORT].fill(0.0);
            ds_block[seen.start * SHORT..seen.end * SHORT].fill(0.0);
            for (column, i) in queries.clone().enumerate() {
                let at = dims.query(batch, i, head);
                let (q_d, dout_d) = (&q[at..][..d], &dout[at..][..d]);
                let delta = dot(dout_d, &out[at..][..d]);
                let lse = f64::from(lse[(batch * t + i) * h + head]);
                let span = dims.span(first, last, batch * t + i);
                for j in span.clone() {
                    let p = (f64::from(scale) * dot(q_d, &k[key(j)..][..d]) - lse).exp();
                    let ds = f64::from(scale) * p * (dot(dout_d, &v[key(j)..][..d]) - delta);
                    p_block[j * SHORT + column] = p as f32;
                    ds_block[j * SHORT + column] = ds as f32;
                    ds_s[j] = ds as f32;
                }
                let dq_d = &mut dq_gtd[(g * t + i) * d..][..d];
                add_weighted(dq_d, &ds_s[span.clone()], |j| &k[key(span.start + j)..][..d]);
            }
            for j in seen {
                let query = |column: usize| dims.query(batch, queries.start + column, head);
                let block = j * SHORT..j * SHORT + queries.len();
                add_weighted(&mut dk_sd[j * d..][..d], &ds_block[block.clone()], |column| &q[query(column)..][..d]);
                add_weighted(&mut dv_sd[j * d..][..d], &p_block[block], |column| &dout[query(column)..][..d]);
            }
        }
        (dq_gtd, dk_sd, dv_sd)
    });
    let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
    for (task, (dq_gtd, dk_sd, dv_sd)) in per_head.iter().enumerate() {
        let (batch, kv) = (task / kv_heads, task % kv_heads);
        for (row, dq_d) in dq_gtd.chunks(d).enumerate() {
            let (g, i) = (row / t, row % t);
            round_into(&mut dq[dims.query(batch, i, kv * group + g)..], dq_d);
        }
        for j in 0..s {
            let key = dims.key(batch, j, kv);
            round_into(&mut dk[key..], &dk_sd[j * d..][..d]);
            round_into(&mut dv[key..], &dv_sd[j * d..][..d]);
        }
    }
    (dq, dk, dv)
}

fn round_into(out: &mut [f32], x: &[f64]) {
    for (o, &x) in out.iter_mut().zip(x) {
        *o = x as f32;
    }
}

/// [`forward`] of one query per row that sees the keys `first ..= last`.  q `[B,1,H,D]`, k and v `[B,S,K,D]`, first `[B]` →
/// `[B,1,H,D]`
pub fn decode(q: &[f32], k: &[f32], v: &[f32], first: &[i32], last: usize, scale: f32, dims: Dims) -> Vec<f32> {
    forward(q, k, v, first, &vec![last as i32; first.len()], scale, dims).0
}

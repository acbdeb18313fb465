// out = (x - mean) / sqrt(variance + 1e-8), plus the mean where KEEP_MEAN; the variance is unbiased; a single number stays as it is
// x, out [N]
// One workgroup: each lane takes every WG-th number, and trees over the lanes make the sums: no atomics, the same every time.
// Source: TRL's masked_whiten, over real tokens alone. Twin: evenkeel-kernels/src/reference/advantage.rs (whiten)
const WG = 256u;
const KEEP_MEAN = 0u;
const EPS = 1e-8;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> params: array<u32>; // [N]

var<workgroup> lanes: array<f32, WG>;

// The sum over all lanes, for every lane.
fn sum_of(lane: u32, part: f32) -> f32 {
    workgroupBarrier();
    lanes[lane] = part;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half { lanes[lane] += lanes[lane + half]; }
        workgroupBarrier();
    }
    return lanes[0];
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
    let n = params[0];
    var sum = 0.0;
    for (var at = lane; at < n; at += WG) { sum += x[at]; }
    let mean = sum_of(lane, sum) / f32(n);
    var squares = 0.0;
    for (var at = lane; at < n; at += WG) { squares += (x[at] - mean) * (x[at] - mean); }
    let variance = sum_of(lane, squares) / f32(max(n, 2u) - 1u);
    let scale = select(1.0, inverseSqrt(variance + EPS), n > 1u);
    let shift = select(0.0, mean, KEEP_MEAN == 1u || n == 1u);
    for (var at = lane; at < n; at += WG) { out[at] = (x[at] - mean) * scale + shift; }
}

// out = factor sum of the first N of x
// x [≥N]  out [1]
// One workgroup: each lane sums every WG-th number, then a tree over the lanes: no atomics, the same sum every time.
// Twin: evenkeel-kernels/src/reference/loss.rs (total)
const WG = 256u;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> params: array<u32>; // [N, factor as f32 bits]

var<workgroup> lanes: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var at = lane; at < params[0]; at += WG) { sum += x[at]; }
    lanes[lane] = sum;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half { lanes[lane] += lanes[lane + half]; }
        workgroupBarrier();
    }
    if lane == 0u { out[0] = bitcast<f32>(params[1]) * lanes[0]; }
}

// y = x r weight   with r = 1 / sqrt(mean(x^2) + eps) of each row
// x, y [N,D]  weight [D]  r [N]
// One workgroup per row: sum of squares by a tree, then the row again.
// Source: Zhang and Sennrich 2019. Twin: evenkeel-kernels/src/reference/norm.rs (rms_forward)
const WG = 64u;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> r: array<f32>;
@group(0) @binding(4) var<storage, read> params: array<u32>; // [N, D, eps as f32 bits]

var<workgroup> lanes: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let d = params[1];
    let row = group.x + group.y * groups.x;
    if row >= params[0] { return; }
    let start = row * d;

    var squares = 0.0;
    for (var j = lane; j < d; j += WG) { squares += x[start + j] * x[start + j]; }
    lanes[lane] = squares;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half { lanes[lane] += lanes[lane + half]; }
        workgroupBarrier();
    }
    let row_r = inverseSqrt(lanes[0] / f32(d) + bitcast<f32>(params[2]));

    for (var j = lane; j < d; j += WG) { y[start + j] = x[start + j] * row_r * weight[j]; }
    if lane == 0u { r[row] = row_r; }
}

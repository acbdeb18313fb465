// dx = r (g - x r^2 mean(g x))   with g = dy weight
// x, dy, dx [N,D]  weight [D]  r [N], see rms_forward.wgsl
// One workgroup per row: sum of g x by a tree, then the row again.
// Source: derivative of rms_forward.wgsl. Twin: evenkeel-kernels/src/reference/norm.rs (rms_backward_x)
const WG = 64u;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> r: array<f32>;
@group(0) @binding(3) var<storage, read_write> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
@group(0) @binding(5) var<storage, read> params: array<u32>; // [N, D]

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
    let row_r = r[row];

    var sum = 0.0;
    for (var j = lane; j < d; j += WG) { sum += dy[start + j] * weight[j] * x[start + j]; }
    lanes[lane] = sum;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half { lanes[lane] += lanes[lane + half]; }
        workgroupBarrier();
    }
    let pull = row_r * row_r * lanes[0] / f32(d);

    for (var j = lane; j < d; j += WG) {
        dx[start + j] = row_r * (dy[start + j] * weight[j] - x[start + j] * pull);
    }
}

// dx[n] = factor g for the first `count`, 0 for the rest: the gradient of a total of as many
// g [1]  dx [N]
// One lane per number.
// Source: derivative of total.wgsl. Twin: evenkeel-kernels/src/reference/loss.rs (spread)
const WG = 256u;

@group(0) @binding(0) var<storage, read_write> g: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<storage, read> params: array<u32>; // [N, factor as f32 bits, count]

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at < params[0] { dx[at] = select(0.0, bitcast<f32>(params[1]) * g[0], at < params[2]); }
}

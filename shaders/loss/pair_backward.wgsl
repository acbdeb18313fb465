// dx = slope g, for both sides of every pair
// slope, dx [2P]  g [P]
// One lane per number.
// Source: derivative of pair.wgsl. Twin: evenkeel-kernels/src/reference/loss.rs (pair_backward)
const WG = 64u;

@group(0) @binding(0) var<storage, read_write> slope: array<f32>;
@group(0) @binding(1) var<storage, read_write> g: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<storage, read> params: array<u32>; // [2P, P]

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at < params[0] { dx[at] = slope[at] * g[at % params[1]]; }
}

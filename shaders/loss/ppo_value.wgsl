// loss = max((V - R)^2, (old + clamp(V - old, -clip, clip) - R)^2) / 2, and its slope in V
// values V, old, returns R, loss, slope [N]
// One lane per step.
// Source: Stiennon et al. 2020, as their code has it. Twin: evenkeel-kernels/src/reference/loss.rs (ppo_value)
const WG = 256u;

@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> old: array<f32>;
@group(0) @binding(2) var<storage, read_write> returns: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> slope: array<f32>;
@group(0) @binding(5) var<storage, read> params: array<u32>; // [N, clip range as f32 bits]

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at >= params[0] { return; }
    let clip = bitcast<f32>(params[1]);
    let moved = values[at] - old[at];
    let free = values[at] - returns[at];
    let clipped = old[at] + clamp(moved, -clip, clip) - returns[at];
    let is_free = free * free >= clipped * clipped;
    loss[at] = 0.5 * select(clipped * clipped, free * free, is_free);
    slope[at] = select(select(0.0, clipped, abs(moved) < clip), free, is_free);
}

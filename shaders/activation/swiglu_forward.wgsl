// out = gate sigmoid(gate) up
// gate, up, out [N]
// One lane per number. The exponent is clamped where f32's sigmoid has long been 0 or 1.
// Source: Shazeer 2020. Twin: evenkeel-kernels/src/reference/activation.rs (swiglu_forward)
const WG = 256u;

@group(0) @binding(0) var<storage, read_write> gate: array<f32>;
@group(0) @binding(1) var<storage, read_write> up: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read> params: array<u32>; // [N]

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at >= params[0] { return; }
    out[at] = gate[at] / (1.0 + exp(-clamp(gate[at], -80.0, 80.0))) * up[at];
}

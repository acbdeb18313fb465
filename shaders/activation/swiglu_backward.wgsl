// dgate = dout up s (1 + gate (1 - s)), dup = dout gate s   with s = sigmoid(gate)
// gate, up, dout, dgate, dup [N]
// One lane per number. The exponent is clamped where f32's sigmoid has long been 0 or 1.
// Source: derivative of swiglu_forward.wgsl. Twin: evenkeel-kernels/src/reference/activation.rs (swiglu_backward)
const WG = 256u;

@group(0) @binding(0) var<storage, read_write> gate: array<f32>;
@group(0) @binding(1) var<storage, read_write> up: array<f32>;
@group(0) @binding(2) var<storage, read_write> dout: array<f32>;
@group(0) @binding(3) var<storage, read_write> dgate: array<f32>;
@group(0) @binding(4) var<storage, read_write> dup: array<f32>;
@group(0) @binding(5) var<storage, read> params: array<u32>; // [N]

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at >= params[0] { return; }
    let s = 1.0 / (1.0 + exp(-clamp(gate[at], -80.0, 80.0)));
    dgate[at] = dout[at] * up[at] * s * (1.0 + gate[at] * (1.0 - s));
    dup[at] = dout[at] * gate[at] * s;
}

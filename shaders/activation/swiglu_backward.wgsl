// dgate = dout up s (1 + gate (1 - s)), dup = dout gate s   with s = sigmoid(gate)
// gate_up, dgate_up [N,2F]: gate, then up, in every row  dout [N,F]
// One lane per word. The exponent is clamped where f32's sigmoid has long been 0 or 1.
// Source: derivative of swiglu_forward.wgsl. Twin: evenkeel-kernels/src/reference/activation.rs (swiglu_backward)
const WG = 256u;
alias WORD = f32;

@group(0) @binding(0) var<storage, read_write> gate_up: array<WORD>;
@group(0) @binding(1) var<storage, read_write> dout: array<WORD>;
@group(0) @binding(2) var<storage, read_write> dgate_up: array<WORD>;
@group(0) @binding(3) var<storage, read> params: array<u32>; // [N F, F], F in words

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at >= params[0] { return; }
    let f = params[1];
    let at_gate = at / f * 2u * f + at % f;
    let gate = gate_up[at_gate];
    let s = 1.0 / (1.0 + exp(-clamp(gate, WORD(-80.0), WORD(80.0))));
    dgate_up[at_gate] = dout[at] * gate_up[at_gate + f] * s * (1.0 + gate * (1.0 - s));
    dgate_up[at_gate + f] = dout[at] * gate * s;
}

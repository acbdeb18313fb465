// out = gate sigmoid(gate) up
// gate_up [N,2F]: gate, then up, in every row  out [N,F]
// One lane per word. The exponent is clamped where f32's sigmoid has long been 0 or 1.
// Source: Shazeer 2020. Twin: evenkeel-kernels/src/reference/activation.rs (swiglu_forward)
const WG = 256u;
alias WORD = f32;

@group(0) @binding(0) var<storage, read_write> gate_up: array<WORD>;
@group(0) @binding(1) var<storage, read_write> out: array<WORD>;
@group(0) @binding(2) var<storage, read> params: array<u32>; // [N F, F], F in words

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at >= params[0] { return; }
    let f = params[1];
    let row = at / f * 2u * f;
    let gate = gate_up[row + at % f];
    let up = gate_up[row + f + at % f];
    out[at] = gate / (1.0 + exp(-clamp(gate, WORD(-80.0), WORD(80.0)))) * up;
}

// out = x (1 + tanh(u)) / 2   with u = sqrt(2/pi) (x + 0.044715 x^3)
// x, out [N]
// One lane per word. The angle is clamped where f32's tanh has long been -1 or 1.
// Source: Hendrycks and Gimpel 2016, the tanh form of GPT-2. Twin: evenkeel-kernels/src/reference/activation.rs (gelu_forward)
const WG = 256u;
alias WORD = f32;

@group(0) @binding(0) var<storage, read_write> x: array<WORD>;
@group(0) @binding(1) var<storage, read_write> out: array<WORD>;
@group(0) @binding(2) var<storage, read> params: array<u32>; // [words of N]

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at >= params[0] { return; }
    let z = x[at];
    let u = clamp(0.7978845608028654 * (z + 0.044715 * z * z * z), WORD(-15.0), WORD(15.0));
    out[at] = 0.5 * z * (1.0 + tanh(u));
}

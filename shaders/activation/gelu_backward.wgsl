// dx = dout ((1 + t) + x (1 - t^2) sqrt(2/pi) (1 + 3 0.044715 x^2)) / 2   with t = tanh(u), see gelu_forward.wgsl
// x, dout, dx [N]
// One lane per word. The angle is clamped where f32's tanh has long been -1 or 1.
// Source: derivative of gelu_forward.wgsl. Twin: evenkeel-kernels/src/reference/activation.rs (gelu_backward)
const WG = 256u;
alias WORD = f32;

@group(0) @binding(0) var<storage, read_write> x: array<WORD>;
@group(0) @binding(1) var<storage, read_write> dout: array<WORD>;
@group(0) @binding(2) var<storage, read_write> dx: array<WORD>;
@group(0) @binding(3) var<storage, read> params: array<u32>; // [words of N]

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at >= params[0] { return; }
    let z = x[at];
    let t = tanh(clamp(0.7978845608028654 * (z + 0.044715 * z * z * z), WORD(-15.0), WORD(15.0)));
    let slope = 0.7978845608028654 * (1.0 + 0.134145 * z * z);
    dx[at] = dout[at] * 0.5 * (1.0 + t + z * (1.0 - t * t) * slope);
}

// g = grad scale, m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2
// param = param (1 - lr weight_decay) - lr (m / bias1) / (sqrt(v / bias2) + eps)
// param, grad, m, v [N], param, m and v in place; clip [2], see clip.wgsl
// rates [4]: lr, lr weight_decay, bias1 = 1 - beta1^step, bias2 = 1 - beta2^step; not in params, where each value would keep a buffer
// Only the first `decayed` numbers decay. A negative scale (a gradient that is not finite) leaves everything as it is.
// One lane per word.
// Source: Loshchilov and Hutter 2019, algorithm 2. Twin: evenkeel-kernels/src/reference/optim.rs (adamw)
const WG = 256u;
alias WORD = f32;

@group(0) @binding(0) var<storage, read_write> param: array<WORD>;
@group(0) @binding(1) var<storage, read_write> grad: array<WORD>;
@group(0) @binding(2) var<storage, read_write> m: array<WORD>;
@group(0) @binding(3) var<storage, read_write> v: array<WORD>;
@group(0) @binding(4) var<storage, read_write> clip: array<f32>;
@group(0) @binding(5) var<storage, read_write> rates: array<f32>;
// [N, decayed], both in words, and f32 bits of [beta1, 1 - beta1, beta2, 1 - beta2, eps]
@group(0) @binding(6) var<storage, read> params: array<u32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at >= params[0] { return; }
    let scale = clip[1];
    if scale < 0.0 { return; }
    let g = grad[at] * scale;
    let new_m = bitcast<f32>(params[2]) * m[at] + bitcast<f32>(params[3]) * g;
    let new_v = bitcast<f32>(params[4]) * v[at] + bitcast<f32>(params[5]) * g * g;
    let step = (new_m / rates[2]) / (sqrt(new_v / rates[3]) + bitcast<f32>(params[6]));
    let decay = select(0.0, rates[1], at < params[1]);
    param[at] = param[at] - decay * param[at] - rates[0] * step;
    m[at] = new_m;
    v[at] = new_v;
}

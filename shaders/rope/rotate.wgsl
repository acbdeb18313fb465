// out[j] = x[j] cos - x[j + D/2] sin, out[j + D/2] = x[j + D/2] cos + x[j] sin   for j < D/2
// x, out [B,T,H,D]  turns [P,D]: cos and sin, D/2 each, of every position's angles  positions [B,T]
// One lane per pair of words. The gradient is the rotation back: direction -1 turns the sign of sin.
// Source: Su et al. 2021, in the rotate-half order of Llama. Twin: evenkeel-kernels/src/reference/rope.rs (rotate)
const WG = 256u;
alias WORD = f32;

@group(0) @binding(0) var<storage, read_write> x: array<WORD>;
@group(0) @binding(1) var<storage, read_write> turns: array<WORD>;
@group(0) @binding(2) var<storage, read_write> positions: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<WORD>;
@group(0) @binding(4) var<storage, read> params: array<u32>; // [pairs B·T·H·D/2, H, D/2, direction as f32 bits], D in words

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let pair = (group.x + group.y * groups.x) * WG + lane;
    if pair >= params[0] { return; }
    let half = params[2];
    let head = pair / half;
    let j = pair % half;
    let turn = positions[head / params[1]] * 2u * half + j;
    let c = turns[turn];
    let s = turns[turn + half] * bitcast<f32>(params[3]);

    let at = head * 2u * half + j;
    let low = x[at];
    let high = x[at + half];
    out[at] = low * c - high * s;
    out[at + half] = high * c + low * s;
}

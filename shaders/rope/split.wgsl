// q, k, v = the parts of qkv; where ROTATED q and k are turned by their token's angles, see rotate.wgsl
// qkv [B,T,H+2K,D]  turns [P,D] and positions [B,T] as in rotate.wgsl, not read unless ROTATED  q [B,T,H,D]  k, v [B,S,K,D], of which T columns from `start` are written
// One lane per word.
// Source: Su et al. 2021. Twin: evenkeel-kernels/src/reference/rope.rs (split)
const WG = 256u;
alias WORD = f32;
const ROTATED = 1u;

@group(0) @binding(0) var<storage, read_write> qkv: array<WORD>;
@group(0) @binding(1) var<storage, read_write> turns: array<WORD>;
@group(0) @binding(2) var<storage, read_write> positions: array<u32>;
@group(0) @binding(3) var<storage, read_write> q: array<WORD>;
@group(0) @binding(4) var<storage, read_write> k: array<WORD>;
@group(0) @binding(5) var<storage, read_write> v: array<WORD>;
@group(0) @binding(6) var<storage, read> params: array<u32>; // [B T (H + 2K) D, T, H, K, D, S, start], D in words

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at >= params[0] { return; }
    let h = params[2];
    let kv = params[3];
    let d = params[4];
    let token = at / ((h + 2u * kv) * d);
    let head = at / d % (h + 2u * kv);
    let j = at % d;

    var number = qkv[at];
    if ROTATED == 1u && head < h + kv {
        let half = d / 2u;
        let turn = positions[token] * d + j % half;
        if j < half {
            number = number * turns[turn] - qkv[at + half] * turns[turn + half];
        } else {
            number = number * turns[turn] + qkv[at - half] * turns[turn + half];
        }
    }
    if head < h {
        q[(token * h + head) * d + j] = number;
        return;
    }
    let column = token / params[1] * params[5] + params[6] + token % params[1];
    if head < h + kv { k[(column * kv + head - h) * d + j] = number; } else { v[(column * kv + head - h - kv) * d + j] = number; }
}

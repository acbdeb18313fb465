// dqkv = the gradients of the parts beside each other; where ROTATED those of q and k are turned back, see split.wgsl
// dq [B,T,H,D]  dk, dv [B,T,K,D]  turns [P,D] and positions [B,T] as in rotate.wgsl, not read unless ROTATED  dqkv [B,T,H+2K,D]
// One lane per word.
// Source: derivative of split.wgsl. Twin: evenkeel-kernels/src/reference/rope.rs (merge)
const WG = 256u;
alias WORD = f32;
const ROTATED = 1u;

@group(0) @binding(0) var<storage, read_write> dq: array<WORD>;
@group(0) @binding(1) var<storage, read_write> dk: array<WORD>;
@group(0) @binding(2) var<storage, read_write> dv: array<WORD>;
@group(0) @binding(3) var<storage, read_write> turns: array<WORD>;
@group(0) @binding(4) var<storage, read_write> positions: array<u32>;
@group(0) @binding(5) var<storage, read_write> dqkv: array<WORD>;
@group(0) @binding(6) var<storage, read> params: array<u32>; // [B T (H + 2K) D, H, K, D], D in words

// Word j of a head of dq or dk.
fn slope(is_q: bool, place: u32) -> WORD {
    if is_q { return dq[place]; }
    return dk[place];
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at >= params[0] { return; }
    let h = params[1];
    let kv = params[2];
    let d = params[3];
    let token = at / ((h + 2u * kv) * d);
    let head = at / d % (h + 2u * kv);
    let j = at % d;
    if head >= h + kv {
        dqkv[at] = dv[(token * kv + head - h - kv) * d + j];
        return;
    }

    let is_q = head < h;
    let place = select((token * kv + head - h) * d + j, (token * h + head) * d + j, is_q);
    var number = slope(is_q, place);
    if ROTATED == 1u {
        let half = d / 2u;
        let turn = positions[token] * d + j % half;
        if j < half {
            number = number * turns[turn] + slope(is_q, place + half) * turns[turn + half];
        } else {
            number = number * turns[turn] - slope(is_q, place - half) * turns[turn + half];
        }
    }
    dqkv[at] = number;
}

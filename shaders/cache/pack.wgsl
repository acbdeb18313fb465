// keys[b, start + t] = k[b, t] and values[b, start + t] = v[b, t] in half precision, two numbers in a word
// k, v [B,T,R] in pairs, R = K D  keys, values [B,S,R/2]
// Numbers beyond a half's range become its largest. One lane per pair.
// Source: IEEE 754 binary16. Twin: evenkeel-kernels/src/reference/cache.rs (pack)
const WG = 256u;
const LARGEST = vec2(65504.0);

@group(0) @binding(0) var<storage, read_write> k: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read_write> v: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> keys: array<u32>;
@group(0) @binding(3) var<storage, read_write> values: array<u32>;
@group(0) @binding(4) var<storage, read> params: array<u32>; // [B T R/2, T, R/2, S, start]

fn half(x: vec2<f32>) -> u32 {
    return pack2x16float(clamp(x, -LARGEST, LARGEST));
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at >= params[0] { return; }
    let token = at / params[2];
    let column = token / params[1] * params[3] + params[4] + token % params[1];
    let to = column * params[2] + at % params[2];
    keys[to] = half(k[at]);
    values[to] = half(v[at]);
}

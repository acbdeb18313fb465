// k = keys and v = values, which hold two numbers in half precision in a word
// keys, values [N]  k, v [N] in pairs
// One lane per pair.
// Source: IEEE 754 binary16. Twin: evenkeel-kernels/src/reference/cache.rs (unpack)
const WG = 256u;

@group(0) @binding(0) var<storage, read_write> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> values: array<u32>;
@group(0) @binding(2) var<storage, read_write> k: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> v: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> params: array<u32>; // [N]

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at >= params[0] { return; }
    k[at] = unpack2x16float(keys[at]);
    v[at] = unpack2x16float(values[at]);
}

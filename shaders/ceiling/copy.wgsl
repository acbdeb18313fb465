// out = x
// x and out [N] in words
// One lane per word: how many bytes a second the adapter moves, which no kernel exceeds.
// Source: identity. Twin: evenkeel-kernels/src/reference/ceiling.rs (copy)
alias WORD = f32;
const WG = 256u;

@group(0) @binding(0) var<storage, read_write> x: array<WORD>;
@group(0) @binding(1) var<storage, read_write> out: array<WORD>;
@group(0) @binding(2) var<storage, read> params: array<u32>; // [words]

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at < params[0] { out[at] = x[at]; }
}

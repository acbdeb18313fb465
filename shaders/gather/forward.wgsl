// out[n] = x[rows[n]]
// x [R,D]  rows [N]  out [N,D]
// One lane per word.
// Twin: evenkeel-kernels/src/reference/gather.rs (forward)
const WG = 256u;
alias WORD = f32;

@group(0) @binding(0) var<storage, read_write> x: array<WORD>;
@group(0) @binding(1) var<storage, read_write> rows: array<i32>;
@group(0) @binding(2) var<storage, read_write> out: array<WORD>;
@group(0) @binding(3) var<storage, read> params: array<u32>; // [N D, D, R], D in words

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at >= params[0] { return; }
    let d = params[1];
    let row = u32(clamp(rows[at / d], 0, i32(params[2]) - 1));
    out[at] = x[row * d + at % d];
}

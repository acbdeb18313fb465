// dx[r] = sum of dy[n] over those n that row r was gathered for: order[starts[r]] ... order[starts[r + 1] - 1]
// dy [N,D]  order [N]  starts [R+1]  dx [R,D]
// One lane per word of dx, rows that nobody gathered included; a lane adds in the order given: no atomics.
// Twin: evenkeel-kernels/src/reference/gather.rs (backward)
const WG = 256u;
alias WORD = f32;

@group(0) @binding(0) var<storage, read_write> dy: array<WORD>;
@group(0) @binding(1) var<storage, read_write> order: array<i32>;
@group(0) @binding(2) var<storage, read_write> starts: array<i32>;
@group(0) @binding(3) var<storage, read_write> dx: array<WORD>;
@group(0) @binding(4) var<storage, read> params: array<u32>; // [R D, D], D in words

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at >= params[0] { return; }
    let d = params[1];
    var sum = WORD(0.0);
    for (var i = starts[at / d]; i < starts[at / d + 1u]; i++) { sum += dy[u32(order[i]) * d + at % d]; }
    dx[at] = sum;
}

// partial[first + g] = sum of x^2 over the numbers of workgroup g
// x [N]  partial [P]
// Each lane sums every (groups WG)-th word, then a tree over the lanes: no atomics, the same sum every time.
// Twin: evenkeel-kernels/src/reference/optim.rs (sum_squares)
const WG = 256u;
alias WORD = f32;

@group(0) @binding(0) var<storage, read_write> x: array<WORD>;
@group(0) @binding(1) var<storage, read_write> partial: array<f32>;
@group(0) @binding(2) var<storage, read> params: array<u32>; // [words of N, first]

var<workgroup> lanes: array<f32, WG>;

// The sum of the numbers of a word.
fn across(x: WORD) -> f32 { return x; }

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var sum = WORD(0.0);
    for (var at = group.x * WG + lane; at < params[0]; at += groups.x * WG) { sum += x[at] * x[at]; }
    lanes[lane] = across(sum);
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half { lanes[lane] += lanes[lane + half]; }
        workgroupBarrier();
    }
    if lane == 0u { partial[params[1] + group.x] = lanes[0]; }
}

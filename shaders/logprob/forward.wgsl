// z = logits / temperature, m = max z, lse = m + log sum exp(z - m)
// stats[0] = z_target - lse   stats[1] = entropy = lse - sum p z   stats[2] = 1 where the target is the first largest
// logits [R,V] of rows first ... first + R of N  targets [N]  stats [3,N]  lse [N]
// One workgroup per row, two passes: maximum with its first index, then sum exp(z - m) and sum exp(z - m) (z - m).
// Everything is relative to the maximum, so that neither sum overflows and the entropy does not cancel.
// Twin: evenkeel-kernels/src/reference/logprob.rs (forward)
const WG = 256u;

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> targets: array<i32>;
@group(0) @binding(2) var<storage, read_write> stats: array<f32>;
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;
@group(0) @binding(4) var<storage, read> params: array<u32>; // [R, V, 1 / temperature as f32 bits, N, first]

var<workgroup> largest_lanes: array<f32, WG>;
var<workgroup> index_lanes: array<u32, WG>;
var<workgroup> sum_lanes: array<vec2<f32>, WG>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = params[3];
    let v = params[1];
    let inv_temperature = bitcast<f32>(params[2]);
    let row = group.x + group.y * groups.x;
    if row >= params[0] { return; }
    let start = row * v;

    var index = min(lane, v - 1u);
    var largest = logits[start + index];
    for (var j = lane; j < v; j += WG) {
        let x = logits[start + j];
        if x > largest {
            largest = x;
            index = j;
        }
    }
    largest_lanes[lane] = largest;
    index_lanes[lane] = index;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half {
            let other = largest_lanes[lane + half];
            let other_index = index_lanes[lane + half];
            if other > largest_lanes[lane] || (other == largest_lanes[lane] && other_index < index_lanes[lane]) {
                largest_lanes[lane] = other;
                index_lanes[lane] = other_index;
            }
        }
        workgroupBarrier();
    }
    let row_max = largest_lanes[0] * inv_temperature;

    var sums = vec2<f32>(0.0, 0.0); // sum e, sum e (z - m)
    for (var j = lane; j < v; j += WG) {
        let shifted = logits[start + j] * inv_temperature - row_max;
        let e = exp(shifted);
        if e > 0.0 { sums += vec2<f32>(e, e * shifted); }
    }
    sum_lanes[lane] = sums;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half { sum_lanes[lane] += sum_lanes[lane + half]; }
        workgroupBarrier();
    }

    if lane == 0u {
        let at = params[4] + row;
        let target_index = u32(clamp(targets[at], 0, i32(v) - 1));
        let log_sum = log(sum_lanes[0].x);
        stats[at] = logits[start + target_index] * inv_temperature - row_max - log_sum;
        stats[n + at] = log_sum - sum_lanes[0].y / sum_lanes[0].x;
        stats[2u * n + at] = select(0.0, 1.0, index_lanes[0] == target_index);
        lse[at] = row_max + log_sum;
    }
}

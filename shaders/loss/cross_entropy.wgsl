// stats[0] = loss = weight (lse - logits_target)   stats[1] = entropy   stats[2] = 1 where the target is the argmax
// dlogits = weight (p - onehot)
// logits, dlogits [N,V]  targets, weights [N]  stats [3,N]
// One workgroup per row, three passes: maximum with its first index, then sum exp(x - m) and sum exp(x - m) (x - m),
// then the gradient while the row is still in the cache; the backward pass only scales it.
// Twin: evenkeel-kernels/src/reference/loss.rs (cross_entropy)
const WG = 256u;

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> targets: array<i32>;
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> stats: array<f32>;
@group(0) @binding(4) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(5) var<storage, read> params: array<u32>; // [N, V]

var<workgroup> largest_lanes: array<f32, WG>;
var<workgroup> index_lanes: array<u32, WG>;
var<workgroup> sum_lanes: array<vec2<f32>, WG>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = params[0];
    let v = params[1];
    let row = group.x + group.y * groups.x;
    if row >= n { return; }
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
    let row_max = largest_lanes[0];

    var sums = vec2<f32>(0.0, 0.0); // sum e, sum e (x - m)
    for (var j = lane; j < v; j += WG) {
        let shifted = logits[start + j] - row_max;
        let e = exp(shifted);
        if e > 0.0 { sums += vec2<f32>(e, e * shifted); }
    }
    sum_lanes[lane] = sums;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half { sum_lanes[lane] += sum_lanes[lane + half]; }
        workgroupBarrier();
    }
    let sum = sum_lanes[0].x;

    let target_index = u32(clamp(targets[row], 0, i32(v) - 1));
    let weight = weights[row];
    for (var j = lane; j < v; j += WG) {
        let p = exp(logits[start + j] - row_max) / sum;
        dlogits[start + j] = weight * (p - select(0.0, 1.0, j == target_index));
    }
    if lane == 0u {
        let log_sum = log(sum);
        stats[row] = weight * (row_max + log_sum - logits[start + target_index]);
        stats[n + row] = log_sum - sum_lanes[0].y / sum;
        stats[2u * n + row] = select(0.0, 1.0, index_lanes[0] == target_index);
    }
}

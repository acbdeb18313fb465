// z = logits / temperature, m = max z, lse = m + log sum exp(z - m)
// stats[0] = z_target - lse   stats[1] = entropy = lse - sum p z   stats[2] = 1 where the target is the first largest
// logits [R,V] of rows first ... first + R of N, PITCH words from row to row  targets [N]  stats [3,N]  lse [N]
// One workgroup per row, two passes: the maximum and whether anything beats the target, then sum exp(z - m) and sum exp(z - m) (z - m).
// Everything is relative to the maximum, so that neither sum overflows and the entropy does not cancel.
// Twin: evenkeel-kernels/src/reference/logprob.rs (forward)
const WG = 256u;
alias WORD = f32;
const WIDTH = 1u; // numbers of a word
const MASKED = -1e30;

@group(0) @binding(0) var<storage, read_write> logits: array<WORD>;
@group(0) @binding(1) var<storage, read_write> targets: array<i32>;
@group(0) @binding(2) var<storage, read_write> stats: array<f32>;
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;
@group(0) @binding(4) var<storage, read> params: array<u32>; // [R, V, 1 / temperature as f32 bits, N, first, PITCH]

var<workgroup> lanes: array<vec2<f32>, WG>;
var<workgroup> target_logit: f32;

// The sum of the numbers of a word, the largest, and x, x + 1, ...
fn across(x: WORD) -> f32 { return x; }
fn largest_of(x: WORD) -> f32 { return x; }
fn spread(x: f32) -> WORD { return WORD(x); }

// Word j of a row; what lies beyond V is masked.
fn logit(start: u32, j: u32) -> WORD {
    return select(WORD(MASKED), logits[start + j], spread(f32(j * WIDTH)) < WORD(f32(params[1])));
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = params[3];
    let v = params[1];
    let words = (v + WIDTH - 1u) / WIDTH;
    let inv_temperature = bitcast<f32>(params[2]);
    let row = group.x + group.y * groups.x;
    if row >= params[0] { return; }
    let start = row * params[5];
    let at = params[4] + row;
    let target_index = u32(clamp(targets[at], 0, i32(v) - 1));
    if lane == 0u {
        let word = logits[start + target_index / WIDTH];
        target_logit = across(select(WORD(0.0), word, spread(f32(target_index / WIDTH * WIDTH)) == WORD(f32(target_index))));
    }
    let wanted = workgroupUniformLoad(&target_logit);

    var largest = WORD(MASKED);
    var better = WORD(0.0);
    for (var j = lane; j < words; j += WG) {
        let x = logit(start, j);
        let earlier = spread(f32(j * WIDTH)) < WORD(f32(target_index));
        largest = max(largest, x);
        better = max(better, select(WORD(0.0), WORD(1.0), (x > WORD(wanted)) | ((x == WORD(wanted)) & earlier)));
    }
    lanes[lane] = vec2(largest_of(largest), largest_of(better));
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half { lanes[lane] = max(lanes[lane], lanes[lane + half]); }
        workgroupBarrier();
    }
    let row_max = lanes[0].x * inv_temperature;
    let beaten = lanes[0].y;
    workgroupBarrier();

    var sum = WORD(0.0); // of e
    var weighted = WORD(0.0); // of e (z - m)
    for (var j = lane; j < words; j += WG) {
        let shifted = logit(start, j) * inv_temperature - row_max;
        let e = exp(shifted);
        sum += e;
        weighted += select(WORD(0.0), e * shifted, e > WORD(0.0));
    }
    lanes[lane] = vec2(across(sum), across(weighted));
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half { lanes[lane] += lanes[lane + half]; }
        workgroupBarrier();
    }

    if lane == 0u {
        let log_sum = log(lanes[0].x);
        stats[at] = wanted * inv_temperature - row_max - log_sum;
        stats[n + at] = log_sum - lanes[0].y / lanes[0].x;
        stats[2u * n + at] = 1.0 - beaten;
        lse[at] = row_max + log_sum;
    }
}

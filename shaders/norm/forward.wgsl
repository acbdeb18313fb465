// y = (x - mean) r weight + bias, r = 1 / sqrt(mean((x - mean)^2) + eps)   layer norm, CENTRED = 1
// y = x r weight, r = 1 / sqrt(mean(x^2) + eps)                            RMS norm, CENTRED = 0; bias is not read
// x, y [N,D]  weight, bias [D]  stats [N,2]: mean (0 where not centred) and r
// One workgroup per row: each mean by a tree over the lanes, then the row again.
// Source: Ba et al. 2016; Zhang and Sennrich 2019. Twin: evenkeel-kernels/src/reference/norm.rs (forward)
const WG = 64u;
const CENTRED = 0u;
alias WORD = f32;

@group(0) @binding(0) var<storage, read_write> x: array<WORD>;
@group(0) @binding(1) var<storage, read_write> weight: array<WORD>;
@group(0) @binding(2) var<storage, read_write> bias: array<WORD>;
@group(0) @binding(3) var<storage, read_write> y: array<WORD>;
@group(0) @binding(4) var<storage, read_write> stats: array<f32>;
@group(0) @binding(5) var<storage, read> params: array<u32>; // [N, words of D, eps as f32 bits, D]

var<workgroup> lanes: array<f32, WG>;

// The sum of the numbers of a word.
fn across(x: WORD) -> f32 { return x; }

// The sum of one number of each lane, for every lane.
fn sum_lanes(lane: u32, mine: f32) -> f32 {
    workgroupBarrier(); // everyone has read the last sum
    lanes[lane] = mine;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half { lanes[lane] += lanes[lane + half]; }
        workgroupBarrier();
    }
    return lanes[0];
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let d = params[1];
    let row = group.x + group.y * groups.x;
    if row >= params[0] { return; }
    let start = row * d;

    var mean = 0.0;
    if CENTRED == 1u {
        var sum = WORD(0.0);
        for (var j = lane; j < d; j += WG) { sum += x[start + j]; }
        mean = sum_lanes(lane, across(sum)) / f32(params[3]);
    }
    var squares = WORD(0.0);
    for (var j = lane; j < d; j += WG) {
        let centred = x[start + j] - mean;
        squares += centred * centred;
    }
    let r = 1.0 / sqrt(sum_lanes(lane, across(squares)) / f32(params[3]) + bitcast<f32>(params[2]));

    for (var j = lane; j < d; j += WG) {
        var out = (x[start + j] - mean) * r * weight[j];
        if CENTRED == 1u { out += bias[j]; }
        y[start + j] = out;
    }
    if lane == 0u {
        stats[2u * row] = mean;
        stats[2u * row + 1u] = r;
    }
}

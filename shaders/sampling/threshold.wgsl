// The smallest z that a row's kept tokens have: top-k, then top-p, then min-p.
// z = logit (divided or multiplied by the penalty where the token was seen) / temperature, e = exp(z - max z)
// Kept are the tokens with z at least the k-th largest, and at least the largest number from which on e sums to top_p of what
// top-k keeps, and e at least min_p. All of equal z are kept or none.
// logits [B,V]  seen [B,ceil(V/32)] bits  rows [B,3]: the third number of each is written, as its bits
// One workgroup per row. Thresholds are found bit by bit, in integers that sort like z.
// Source: Fan et al. 2018, Holtzman et al. 2020, Nguyen et al. 2024. Twin: evenkeel-kernels/src/reference/sampling.rs (threshold)
const WG = 256u;
const LOWEST = -3.4e38;

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> seen: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;
// [B, V, penalises] and f32 bits of 1 / temperature; top_k; f32 bits of [top_p, penalty, min_p]
@group(0) @binding(3) var<storage, read> params: array<u32>;

var<workgroup> sums: array<f32, WG>;

fn score(row: u32, j: u32) -> f32 {
    var x = logits[row * params[1] + j];
    let word = row * ((params[1] + 31u) / 32u) + j / 32u;
    if params[2] == 1u && ((seen[word] >> (j % 32u)) & 1u) == 1u {
        let penalty = bitcast<f32>(params[6]);
        x = select(x * penalty, x / penalty, x > 0.0);
    }
    return x * bitcast<f32>(params[3]);
}

// Numbers that sort as the scores do.
fn key_of(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn sum_lanes(lane: u32, mine: f32) -> f32 {
    workgroupBarrier(); // everyone has read the last sum
    sums[lane] = mine;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half { sums[lane] += sums[lane + half]; }
        workgroupBarrier();
    }
    return sums[0];
}

// The bits of the score of a key.
fn bits_of(key: u32) -> u32 { return select(~key, key & 0x7fffffffu, key >= 0x80000000u); }

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let v = params[1];
    let row = group.x + group.y * groups.x;
    if row >= params[0] { return; }

    var largest = score(row, min(lane, v - 1u));
    for (var j = lane; j < v; j += WG) { largest = max(largest, score(row, j)); }
    sums[lane] = largest;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half { sums[lane] = max(sums[lane], sums[lane + half]); }
        workgroupBarrier();
    }
    largest = sums[0];

    var threshold = 0u;
    if params[4] > 0u && params[4] < v {
        for (var bit = 0u; bit < 32u; bit++) {
            let candidate = threshold | (0x80000000u >> bit);
            var count = 0.0;
            for (var j = lane; j < v; j += WG) { count += select(0.0, 1.0, key_of(score(row, j)) >= candidate); }
            if sum_lanes(lane, count) >= f32(params[4]) { threshold = candidate; }
        }
    }
    if bitcast<f32>(params[5]) < 1.0 {
        let of_top_k = threshold;
        var mass = 0.0;
        for (var j = lane; j < v; j += WG) {
            let x = score(row, j);
            mass += select(0.0, exp(x - largest), key_of(x) >= of_top_k);
        }
        let wanted = sum_lanes(lane, mass) * bitcast<f32>(params[5]);
        threshold = 0u;
        for (var bit = 0u; bit < 32u; bit++) {
            let candidate = threshold | (0x80000000u >> bit);
            mass = 0.0;
            for (var j = lane; j < v; j += WG) {
                let x = score(row, j);
                mass += select(0.0, exp(x - largest), key_of(x) >= max(candidate, of_top_k));
            }
            if sum_lanes(lane, mass) >= wanted { threshold = candidate; }
        }
        threshold = max(threshold, of_top_k);
    }

    let min_p = bitcast<f32>(params[7]);
    if min_p > 0.0 { threshold = max(threshold, key_of(largest + log(min_p))); }

    if lane == 0u { rows[3u * row + 2u] = select(bitcast<u32>(LOWEST), bits_of(threshold), threshold > 0u); }
}

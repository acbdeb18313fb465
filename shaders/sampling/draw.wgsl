// The next token of every row: a draw from the kept tokens, or the first largest logit.
// z = logit (divided or multiplied by the penalty where the token was seen) / temperature
// Kept are the tokens from the row's threshold on (threshold.wgsl). The largest z - ln E wins, where each kept token draws its own
// exponential number E: token j with probability e^z_j / sum e^z. So two devices, which add in another order, part only where two
// tokens tie; a number that falls among sums of probabilities falls near one of V borders.
// logits [B,V]  seen [B,ceil(V/32)] bits  rows: seed (2), threshold of each row [B,3], then the stop tokens
// tokens [B,M]: column `step` is written, -1 for a row that was done, -2 for logits that are not finite
// ids, positions, begins [B]: what the next forward pass reads; begins is DONE for a row that is done
// Source: Keskar et al. 2019; Maddison et al. 2014; Salmon et al. 2011 (Philox2x32-10). Twin: evenkeel-kernels/src/reference/sampling.rs (draw)
const WG = 256u;
const DONE = 2147483647;
const NOT_FINITE = 0x7f800000u;
const LOWEST = -3.4e38;

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> seen: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> tokens: array<i32>;
@group(0) @binding(4) var<storage, read_write> ids: array<i32>;
@group(0) @binding(5) var<storage, read_write> positions: array<i32>;
@group(0) @binding(6) var<storage, read_write> begins: array<i32>;
// [B, V, M, step, context, stop tokens, samples, penalises] and f32 bits of [1 / temperature, penalty]
@group(0) @binding(7) var<storage, read> params: array<u32>;

var<workgroup> scores: array<f32, WG>; // a workgroup owns a row
var<workgroup> places: array<u32, WG>;
var<workgroup> not_finite: atomic<u32>;

fn score(row: u32, j: u32) -> f32 {
    var x = logits[row * params[1] + j];
    let word = row * ((params[1] + 31u) / 32u) + j / 32u;
    if params[7] == 1u && ((seen[word] >> (j % 32u)) & 1u) == 1u {
        let penalty = bitcast<f32>(params[9]);
        x = select(x * penalty, x / penalty, x > 0.0);
    }
    return x * bitcast<f32>(params[8]);
}

// The high half of a b.
fn high_product(a: u32, b: u32) -> u32 {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let cross = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let other = (a & 0xffffu) * (b >> 16u) + (cross & 0xffffu);
    return (a >> 16u) * (b >> 16u) + (cross >> 16u) + (other >> 16u);
}

// 32 random bits, twice: pair `index` of the stream of a seed.
fn random_bits(index: u32, seed: vec2<u32>) -> vec2<u32> {
    var counter = vec2<u32>(index, seed.y);
    var key = seed.x;
    for (var round = 0u; round < 10u; round++) {
        counter = vec2<u32>(high_product(0xd256d193u, counter.x) ^ key ^ counter.y, 0xd256d193u * counter.x);
        key += 0x9e3779b9u;
    }
    return counter;
}

// -ln u of u = bits / 2^32, as exact near u = 1, where races are won, as elsewhere: ln's own error differs from device to device.
// u = m / 2^k with m in [1/2, 1): k ln 2 - ln m, and -ln m = 2 atanh(s) of s = (1 - m) / (1 + m) at most 1/3.
fn exponential(bits: u32) -> f32 {
    let halvings = countLeadingZeros(bits | 1u);
    let missing = (f32(~((bits | 1u) << halvings)) + 0.5) / 4294967296.0; // 1 - m
    let s = missing / (2.0 - missing);
    let t = s * s;
    let series = 1.0 + t * (1.0 / 3.0 + t * (1.0 / 5.0 + t * (1.0 / 7.0 + t * (1.0 / 9.0 + t * (1.0 / 11.0 + t * (1.0 / 13.0))))));
    return f32(halvings) * 0.69314718 + 2.0 * s * series;
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let v = params[1];
    let row = group.x + group.y * groups.x;
    if row >= params[0] { return; }

    if lane == 0u { atomicStore(&not_finite, 0u); }
    workgroupBarrier();
    let threshold = bitcast<f32>(rows[3u * row + 2u]);
    let seed = vec2<u32>(rows[3u * row], rows[3u * row + 1u]);
    let pairs = (v + 1u) / 2u;
    var best = LOWEST;
    var chosen = 0u;
    for (var pair = lane; pair < pairs; pair += WG) {
        var bits = vec2<u32>();
        if params[6] == 1u { bits = random_bits(params[3] * pairs + pair, seed); }
        for (var j = 2u * pair; j < min(2u * pair + 2u, v); j++) {
            var x = score(row, j);
            if (bitcast<u32>(x) & NOT_FINITE) == NOT_FINITE { atomicStore(&not_finite, 1u); }
            if params[6] == 1u { x = select(LOWEST, x - log(exponential(bits[j % 2u])), x >= threshold); }
            if x > best { chosen = j; }
            best = max(best, x);
        }
    }
    // The first of the largest.
    scores[lane] = best;
    places[lane] = chosen;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half {
            let other = scores[lane + half];
            if other > scores[lane] || (other == scores[lane] && places[lane + half] < places[lane]) {
                scores[lane] = other;
                places[lane] = places[lane + half];
            }
        }
        workgroupBarrier();
    }
    chosen = places[0];

    if lane > 0u { return; }
    if begins[row] == DONE || atomicLoad(&not_finite) == 1u {
        tokens[row * params[2] + params[3]] = select(-2, -1, begins[row] == DONE);
        begins[row] = DONE;
        return;
    }
    tokens[row * params[2] + params[3]] = i32(chosen);
    if params[7] == 1u { seen[row * ((v + 31u) / 32u) + chosen / 32u] |= 1u << (chosen % 32u); }
    let position = positions[row] + 1;
    var ends = position + 1 >= i32(params[4]);
    for (var i = 0u; i < params[5]; i++) { ends = ends || rows[3u * params[0] + i] == chosen; }
    ids[row] = select(i32(chosen), 0, ends);
    positions[row] = select(position, 0, ends);
    if ends { begins[row] = DONE; }
}

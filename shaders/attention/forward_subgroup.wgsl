// out = softmax(scale q kT) v over each query's span of keys, and lse = log sum exp of its scores
// q [B,T,H,D]  k, v [B,S,K,D]  first, last [B,T]  out [B,T,H,D]  lse [B,T,H]   (query head h reads head h / (H/K)); D in words of four numbers
// For adapters whose loads are dear and whose subgroups have 4 or 8 lanes: one subgroup of LANES lanes owns BLOCK queries of one head,
// four in each lane's registers, and takes four keys at a time. A lane loads a word of each; words go round by shuffles.
// No loop goes over registers: a driver that does not unroll it would keep them in memory.
// Online softmax as in forward.wgsl: a masked score is -1e30 and its weight exactly 0. An empty span gives 0.
// Source: Dao et al. 2022, algorithm 1. Twin: evenkeel-kernels/src/reference/attention.rs (forward)
const HEAD_DIM = 64u;
const LANES = 8u;

const BLOCK = 4u * LANES;
const WORDS = HEAD_DIM / 4u;
const PARTS = (WORDS + LANES - 1u) / LANES;
const MASKED = vec4<f32>(-1e30);

@group(0) @binding(0) var<storage, read_write> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> k: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> first: array<i32>;
@group(0) @binding(4) var<storage, read_write> last: array<i32>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
@group(0) @binding(7) var<storage, read> params: array<u32>; // [T, S, H, K, tiles of T, workgroups, scale as f32 bits]

// A matrix has four queries in a column: for each number of a word, or for each of four keys.
var<private> rows: array<mat4x4<f32>, PARTS * LANES>; // of q; 0 beyond WORDS
var<private> sums: array<mat4x4<f32>, PARTS * LANES>;
var<private> scores: mat4x4<f32>; // then weights
var<private> decay: vec4<f32>;

// sum + b x
fn times(b: mat4x4<f32>, x: vec4<f32>, sum: vec4<f32>) -> vec4<f32> {
    return fma(vec4(x.w), b[3], fma(vec4(x.z), b[2], fma(vec4(x.y), b[1], fma(vec4(x.x), b[0], sum))));
}

fn times_each(b: mat4x4<f32>, x: mat4x4<f32>, sum: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4(times(b, x[0], sum[0]), times(b, x[1], sum[1]), times(b, x[2], sum[2]), times(b, x[3], sum[3]));
}

// The words of one lane, for all.
fn of_lane(x: mat4x4<f32>, lane: u32) -> mat4x4<f32> {
    return mat4x4(subgroupShuffle(x[0], lane), subgroupShuffle(x[1], lane), subgroupShuffle(x[2], lane), subgroupShuffle(x[3], lane));
}

fn load(word: u32, at: vec4<u32>) {
    if word < WORDS { rows[word] = transpose(mat4x4(q[at.x + word], q[at.y + word], q[at.z + word], q[at.w + word])); }
}

fn load_eight(word: u32, at: vec4<u32>) {
    load(word, at); load(word + 1u, at); load(word + 2u, at); load(word + 3u, at);
    load(word + 4u, at); load(word + 5u, at); load(word + 6u, at); load(word + 7u, at);
}

fn add_scores(word: u32, keys: mat4x4<f32>) { scores = times_each(rows[word], keys, scores); }

// A word from each lane.
fn score_part(part: u32, keys_at: vec4<u32>, lane: u32) {
    if part >= PARTS { return; }
    let at = keys_at + min(part * LANES + lane, WORDS - 1u);
    let mine = mat4x4(k[at.x], k[at.y], k[at.z], k[at.w]);
    let word = part * LANES;
    add_scores(word, of_lane(mine, 0u)); add_scores(word + 1u, of_lane(mine, 1u));
    add_scores(word + 2u, of_lane(mine, 2u)); add_scores(word + 3u, of_lane(mine, 3u));
    if LANES == 4u { return; }
    add_scores(word + 4u, of_lane(mine, 4u)); add_scores(word + 5u, of_lane(mine, 5u));
    add_scores(word + 6u, of_lane(mine, 6u)); add_scores(word + 7u, of_lane(mine, 7u));
}

fn add_values(word: u32, values: mat4x4<f32>) {
    let sum = sums[word];
    sums[word] = times_each(scores, values, mat4x4(sum[0] * decay, sum[1] * decay, sum[2] * decay, sum[3] * decay));
}

fn value_part(part: u32, keys_at: vec4<u32>, lane: u32) {
    if part >= PARTS { return; }
    let at = keys_at + min(part * LANES + lane, WORDS - 1u);
    let mine = transpose(mat4x4(v[at.x], v[at.y], v[at.z], v[at.w]));
    let word = part * LANES;
    add_values(word, of_lane(mine, 0u)); add_values(word + 1u, of_lane(mine, 1u));
    add_values(word + 2u, of_lane(mine, 2u)); add_values(word + 3u, of_lane(mine, 3u));
    if LANES == 4u { return; }
    add_values(word + 4u, of_lane(mine, 4u)); add_values(word + 5u, of_lane(mine, 5u));
    add_values(word + 6u, of_lane(mine, 6u)); add_values(word + 7u, of_lane(mine, 7u));
}

fn store(word: u32, at: vec4<u32>, share: vec4<f32>, live: vec4<bool>) {
    if word >= WORDS { return; }
    let four = transpose(mat4x4(sums[word][0] * share, sums[word][1] * share, sums[word][2] * share, sums[word][3] * share));
    if live.x { out[at.x + word] = four[0]; }
    if live.y { out[at.y + word] = four[1]; }
    if live.z { out[at.z + word] = four[2]; }
    if live.w { out[at.w + word] = four[3]; }
}

fn store_four(word: u32, at: vec4<u32>, share: vec4<f32>, live: vec4<bool>) {
    store(word, at, share, live); store(word + 1u, at, share, live);
    store(word + 2u, at, share, live); store(word + 3u, at, share, live);
}

fn mask(score: vec4<f32>, key: i32, begins: vec4<i32>, ends: vec4<i32>) -> vec4<f32> {
    return select(MASKED, score, (vec4(key) >= begins) & (vec4(key) <= ends));
}

fn weight(score: vec4<f32>, largest: vec4<f32>) -> vec4<f32> { return select(vec4(0.0), exp(score - largest), score > MASKED); }

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let t = params[0];
    let s = params[1];
    let h = params[2];
    let kv = params[3];
    let unit = group.x + group.y * groups.x;
    if unit >= params[5] { return; }
    let scale = bitcast<f32>(params[6]);
    let head = unit / params[4] % h;
    let batch = unit / params[4] / h;

    let query = vec4(unit % params[4] * BLOCK + lane) + LANES * vec4(0u, 1u, 2u, 3u);
    let live = query < vec4(t);
    let row = vec4(batch * t) + min(query, vec4(t - 1u));
    let at = (row * h + head) * WORDS;
    let begins = max(vec4(first[row.x], first[row.y], first[row.z], first[row.w]), vec4(0));
    let limits = min(vec4(last[row.x], last[row.y], last[row.z], last[row.w]), vec4(i32(s) - 1));
    let ends = select(vec4(-1), limits, live);
    let lowest = select(vec4(i32(s)), begins, begins <= ends);
    let start = subgroupMin(min(min(lowest.x, lowest.y), min(lowest.z, lowest.w)));
    let stop = subgroupMax(max(max(ends.x, ends.y), max(ends.z, ends.w)));

    load_eight(0u, at); load_eight(8u, at); load_eight(16u, at); load_eight(24u, at);
    var largest = MASKED;
    var total = vec4(0.0);
    for (var key = start; key <= stop; key += 4) {
        let known = min(vec4(u32(key)) + vec4(0u, 1u, 2u, 3u), vec4(s - 1u));
        let keys_at = ((vec4(batch * s) + known) * kv + head / (h / kv)) * WORDS;
        scores = mat4x4<f32>();
        score_part(0u, keys_at, lane); score_part(1u, keys_at, lane); score_part(2u, keys_at, lane); score_part(3u, keys_at, lane);
        score_part(4u, keys_at, lane); score_part(5u, keys_at, lane); score_part(6u, keys_at, lane); score_part(7u, keys_at, lane);
        scores = mat4x4(
            mask(scale * scores[0], key, begins, ends), mask(scale * scores[1], key + 1, begins, ends),
            mask(scale * scores[2], key + 2, begins, ends), mask(scale * scores[3], key + 3, begins, ends));
        let new_largest = max(largest, max(max(scores[0], scores[1]), max(scores[2], scores[3])));
        decay = exp(largest - new_largest);
        largest = new_largest;
        scores = mat4x4(weight(scores[0], largest), weight(scores[1], largest), weight(scores[2], largest), weight(scores[3], largest));
        total = total * decay + (scores[0] + scores[1] + scores[2] + scores[3]);
        value_part(0u, keys_at, lane); value_part(1u, keys_at, lane); value_part(2u, keys_at, lane); value_part(3u, keys_at, lane);
        value_part(4u, keys_at, lane); value_part(5u, keys_at, lane); value_part(6u, keys_at, lane); value_part(7u, keys_at, lane);
    }

    let empty = total == vec4(0.0);
    let share = select(1.0 / total, vec4(0.0), empty);
    store_four(0u, at, share, live); store_four(4u, at, share, live);
    store_four(8u, at, share, live); store_four(12u, at, share, live);
    store_four(16u, at, share, live); store_four(20u, at, share, live);
    store_four(24u, at, share, live); store_four(28u, at, share, live);
    let log_total = select(largest + log(total), vec4(0.0), empty);
    let lse_at = row * h + head;
    if live.x { lse[lse_at.x] = log_total.x; }
    if live.y { lse[lse_at.y] = log_total.y; }
    if live.z { lse[lse_at.z] = log_total.z; }
    if live.w { lse[lse_at.w] = log_total.w; }
}

// dq = scale ds k   with p = exp(scale q kT - lse), ds = p (dout vT - delta)
// q, dout, dq [B,T,H,D]  k, v [B,S,K,D]  rows [B,H,T] of (lse, delta, first, last), see backward_rows.wgsl; D in words of four numbers
// For adapters whose loads are dear: a subgroup of LANES lanes owns BLOCK queries of one head and takes four keys at a time, as in
// forward_subgroup.wgsl.
// Source: Dao et al. 2022, algorithm 4. Twin: evenkeel-kernels/src/reference/attention.rs (backward)
const HEAD_DIM = 64u;
const LANES = 8u;

const BLOCK = 4u * LANES;
const WORDS = HEAD_DIM / 4u;
const PARTS = (WORDS + LANES - 1u) / LANES;

@group(0) @binding(0) var<storage, read_write> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> k: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dout: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> rows: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> dq: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> params: array<u32>; // [T, S, H, K, tiles of T, workgroups, scale as f32 bits]

// A matrix has four queries in a column: for each number of a word, or for each of four keys.
var<private> q_rows: array<mat4x4<f32>, PARTS * LANES>; // 0 beyond WORDS
var<private> dout_rows: array<mat4x4<f32>, PARTS * LANES>;
var<private> sums: array<mat4x4<f32>, PARTS * LANES>;
var<private> keys: array<mat4x4<f32>, PARTS>; // a lane's words of four keys
var<private> values: array<mat4x4<f32>, PARTS>;
var<private> scores: mat4x4<f32>;
var<private> dp: mat4x4<f32>;
var<private> slopes: mat4x4<f32>;

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
    if word >= WORDS { return; }
    q_rows[word] = transpose(mat4x4(q[at.x + word], q[at.y + word], q[at.z + word], q[at.w + word]));
    dout_rows[word] = transpose(mat4x4(dout[at.x + word], dout[at.y + word], dout[at.z + word], dout[at.w + word]));
}

fn load_eight(word: u32, at: vec4<u32>) {
    load(word, at); load(word + 1u, at); load(word + 2u, at); load(word + 3u, at);
    load(word + 4u, at); load(word + 5u, at); load(word + 6u, at); load(word + 7u, at);
}

fn add_scores(word: u32, lane: u32, part: u32) {
    scores = times_each(q_rows[word], of_lane(keys[part], lane), scores);
    dp = times_each(dout_rows[word], of_lane(values[part], lane), dp);
}

fn score_part(part: u32, keys_at: vec4<u32>, lane: u32) {
    if part >= PARTS { return; }
    let at = keys_at + min(part * LANES + lane, WORDS - 1u);
    keys[part] = mat4x4(k[at.x], k[at.y], k[at.z], k[at.w]);
    values[part] = mat4x4(v[at.x], v[at.y], v[at.z], v[at.w]);
    let word = part * LANES;
    add_scores(word, 0u, part); add_scores(word + 1u, 1u, part); add_scores(word + 2u, 2u, part); add_scores(word + 3u, 3u, part);
    if LANES == 4u { return; }
    add_scores(word + 4u, 4u, part); add_scores(word + 5u, 5u, part); add_scores(word + 6u, 6u, part); add_scores(word + 7u, 7u, part);
}

fn add_slopes(word: u32, lane: u32, part: u32) { sums[word] = times_each(slopes, transpose(of_lane(keys[part], lane)), sums[word]); }

fn slope_part(part: u32) {
    if part >= PARTS { return; }
    let word = part * LANES;
    add_slopes(word, 0u, part); add_slopes(word + 1u, 1u, part); add_slopes(word + 2u, 2u, part); add_slopes(word + 3u, 3u, part);
    if LANES == 4u { return; }
    add_slopes(word + 4u, 4u, part); add_slopes(word + 5u, 5u, part); add_slopes(word + 6u, 6u, part); add_slopes(word + 7u, 7u, part);
}

fn store(word: u32, at: vec4<u32>, live: vec4<bool>) {
    if word >= WORDS { return; }
    let four = transpose(sums[word]);
    if live.x { dq[at.x + word] = four[0]; }
    if live.y { dq[at.y + word] = four[1]; }
    if live.z { dq[at.z + word] = four[2]; }
    if live.w { dq[at.w + word] = four[3]; }
}

fn store_eight(word: u32, at: vec4<u32>, live: vec4<bool>) {
    store(word, at, live); store(word + 1u, at, live); store(word + 2u, at, live); store(word + 3u, at, live);
    store(word + 4u, at, live); store(word + 5u, at, live); store(word + 6u, at, live); store(word + 7u, at, live);
}

// The slope of a key's score, for each of four queries.
fn slope(j: u32, key: i32, facts: mat4x4<f32>, ends: vec4<i32>, scale: f32) -> vec4<f32> {
    let sees = (vec4(key) >= bitcast<vec4<i32>>(facts[2])) & (vec4(key) <= ends);
    return scale * select(vec4(0.0), exp(scale * scores[j] - facts[0]), sees) * (dp[j] - facts[1]);
}

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
    let known = min(query, vec4(t - 1u));
    let at = ((vec4(batch * t) + known) * h + head) * WORDS;
    let facts_at = vec4((batch * h + head) * t) + known;
    let facts = transpose(mat4x4<f32>(
        bitcast<vec4<f32>>(rows[facts_at.x]), bitcast<vec4<f32>>(rows[facts_at.y]),
        bitcast<vec4<f32>>(rows[facts_at.z]), bitcast<vec4<f32>>(rows[facts_at.w])));
    let begins = bitcast<vec4<i32>>(facts[2]);
    let ends = select(vec4(-1), bitcast<vec4<i32>>(facts[3]), live);
    let lowest = select(vec4(i32(s)), begins, begins <= ends);
    let start = subgroupMin(min(min(lowest.x, lowest.y), min(lowest.z, lowest.w)));
    let stop = subgroupMax(max(max(ends.x, ends.y), max(ends.z, ends.w)));

    load_eight(0u, at); load_eight(8u, at); load_eight(16u, at); load_eight(24u, at);
    for (var key = start; key <= stop; key += 4) {
        let near = min(vec4(u32(key)) + vec4(0u, 1u, 2u, 3u), vec4(s - 1u));
        let keys_at = ((vec4(batch * s) + near) * kv + head / (h / kv)) * WORDS;
        scores = mat4x4<f32>();
        dp = mat4x4<f32>();
        score_part(0u, keys_at, lane); score_part(1u, keys_at, lane); score_part(2u, keys_at, lane); score_part(3u, keys_at, lane);
        score_part(4u, keys_at, lane); score_part(5u, keys_at, lane); score_part(6u, keys_at, lane); score_part(7u, keys_at, lane);
        slopes = mat4x4(
            slope(0u, key, facts, ends, scale), slope(1u, key + 1, facts, ends, scale),
            slope(2u, key + 2, facts, ends, scale), slope(3u, key + 3, facts, ends, scale));
        slope_part(0u); slope_part(1u); slope_part(2u); slope_part(3u);
        slope_part(4u); slope_part(5u); slope_part(6u); slope_part(7u);
    }
    store_eight(0u, at, live); store_eight(8u, at, live); store_eight(16u, at, live); store_eight(24u, at, live);
}

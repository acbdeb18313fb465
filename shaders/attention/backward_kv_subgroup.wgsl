// dk = scale dsT q, dv = pT dout   with p = exp(scale q kT - lse), ds = p (dout vT - delta)
// q, dout [B,T,H,D]  k, v, dk, dv [B,S,K,D]  rows [B,H,T] of (lse, delta, first, last), see backward_rows.wgsl; D in words of four numbers
// For adapters whose loads are dear: a subgroup of LANES lanes owns BLOCK keys of one key/value head, four in each lane's registers, and
// takes four queries at a time of the heads that read it, as forward_subgroup.wgsl takes keys. One owner per output: no atomics.
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
@group(0) @binding(5) var<storage, read_write> dk: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> dv: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> params: array<u32>; // [T, S, H, K, tiles of S, workgroups, scale as f32 bits]

// A matrix has four keys in a column: for each number of a word, or for each of four queries.
var<private> k_rows: array<mat4x4<f32>, PARTS * LANES>; // 0 beyond WORDS
var<private> v_rows: array<mat4x4<f32>, PARTS * LANES>;
var<private> dk_sums: array<mat4x4<f32>, PARTS * LANES>;
var<private> dv_sums: array<mat4x4<f32>, PARTS * LANES>;
var<private> queries: array<mat4x4<f32>, PARTS>; // a lane's words of four queries
var<private> slopes_out: array<mat4x4<f32>, PARTS>;
var<private> scores: mat4x4<f32>; // then weights
var<private> dp: mat4x4<f32>; // then slopes

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
    k_rows[word] = transpose(mat4x4(k[at.x + word], k[at.y + word], k[at.z + word], k[at.w + word]));
    v_rows[word] = transpose(mat4x4(v[at.x + word], v[at.y + word], v[at.z + word], v[at.w + word]));
}

fn load_eight(word: u32, at: vec4<u32>) {
    load(word, at); load(word + 1u, at); load(word + 2u, at); load(word + 3u, at);
    load(word + 4u, at); load(word + 5u, at); load(word + 6u, at); load(word + 7u, at);
}

fn add_scores(word: u32, lane: u32, part: u32) {
    scores = times_each(k_rows[word], of_lane(queries[part], lane), scores);
    dp = times_each(v_rows[word], of_lane(slopes_out[part], lane), dp);
}

fn score_part(part: u32, queries_at: vec4<u32>, lane: u32) {
    if part >= PARTS { return; }
    let at = queries_at + min(part * LANES + lane, WORDS - 1u);
    queries[part] = mat4x4(q[at.x], q[at.y], q[at.z], q[at.w]);
    slopes_out[part] = mat4x4(dout[at.x], dout[at.y], dout[at.z], dout[at.w]);
    let word = part * LANES;
    add_scores(word, 0u, part); add_scores(word + 1u, 1u, part); add_scores(word + 2u, 2u, part); add_scores(word + 3u, 3u, part);
    if LANES == 4u { return; }
    add_scores(word + 4u, 4u, part); add_scores(word + 5u, 5u, part); add_scores(word + 6u, 6u, part); add_scores(word + 7u, 7u, part);
}

fn add_slopes(word: u32, lane: u32, part: u32) {
    dk_sums[word] = times_each(dp, transpose(of_lane(queries[part], lane)), dk_sums[word]);
    dv_sums[word] = times_each(scores, transpose(of_lane(slopes_out[part], lane)), dv_sums[word]);
}

fn slope_part(part: u32) {
    if part >= PARTS { return; }
    let word = part * LANES;
    add_slopes(word, 0u, part); add_slopes(word + 1u, 1u, part); add_slopes(word + 2u, 2u, part); add_slopes(word + 3u, 3u, part);
    if LANES == 4u { return; }
    add_slopes(word + 4u, 4u, part); add_slopes(word + 5u, 5u, part); add_slopes(word + 6u, 6u, part); add_slopes(word + 7u, 7u, part);
}

fn store(word: u32, at: vec4<u32>, live: vec4<bool>) {
    if word >= WORDS { return; }
    let of_k = transpose(dk_sums[word]);
    let of_v = transpose(dv_sums[word]);
    if live.x { dk[at.x + word] = of_k[0]; dv[at.x + word] = of_v[0]; }
    if live.y { dk[at.y + word] = of_k[1]; dv[at.y + word] = of_v[1]; }
    if live.z { dk[at.z + word] = of_k[2]; dv[at.z + word] = of_v[2]; }
    if live.w { dk[at.w + word] = of_k[3]; dv[at.w + word] = of_v[3]; }
}

fn store_eight(word: u32, at: vec4<u32>, live: vec4<bool>) {
    store(word, at, live); store(word + 1u, at, live); store(word + 2u, at, live); store(word + 3u, at, live);
    store(word + 4u, at, live); store(word + 5u, at, live); store(word + 6u, at, live); store(word + 7u, at, live);
}

// The weights of four keys for query j of which `facts` are the (lse, delta, first, last); their slopes take the place of dp.
fn weigh(j: u32, facts: vec4<u32>, key: vec4<i32>, scale: f32) -> vec4<f32> {
    let sees = (key >= vec4(bitcast<i32>(facts.z))) & (key <= vec4(bitcast<i32>(facts.w)));
    return select(vec4(0.0), exp(scale * scores[j] - bitcast<f32>(facts.x)), sees);
}

fn slope(j: u32, facts: vec4<u32>, scale: f32) -> vec4<f32> { return scale * scores[j] * (dp[j] - bitcast<f32>(facts.y)); }

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
    let kv_head = unit / params[4] % kv;
    let batch = unit / params[4] / kv;
    let heads = h / kv;

    let first_key = unit % params[4] * BLOCK;
    let key = vec4(first_key + lane) + LANES * vec4(0u, 1u, 2u, 3u);
    let live = key < vec4(s);
    let at = ((vec4(batch * s) + min(key, vec4(s - 1u))) * kv + kv_head) * WORDS;
    load_eight(0u, at); load_eight(8u, at); load_eight(16u, at); load_eight(24u, at);

    let steps = (t + 3u) / 4u;
    for (var step = 0u; step < heads * steps; step++) {
        let head = kv_head * heads + step / steps;
        let query = step % steps * 4u;
        var facts = rows[(batch * h + head) * t + min(query + lane % 4u, t - 1u)];
        if query + lane % 4u >= t { facts.w = bitcast<u32>(-1); }
        let met = bitcast<i32>(facts.z) < i32(first_key + BLOCK) && bitcast<i32>(facts.w) >= i32(first_key);
        if !subgroupAny(met) { continue; }

        let near = min(vec4(query) + vec4(0u, 1u, 2u, 3u), vec4(t - 1u));
        let queries_at = ((vec4(batch * t) + near) * h + head) * WORDS;
        scores = mat4x4<f32>();
        dp = mat4x4<f32>();
        score_part(0u, queries_at, lane); score_part(1u, queries_at, lane); score_part(2u, queries_at, lane); score_part(3u, queries_at, lane);
        score_part(4u, queries_at, lane); score_part(5u, queries_at, lane); score_part(6u, queries_at, lane); score_part(7u, queries_at, lane);
        let of_0 = subgroupBroadcast(facts, 0u);
        let of_1 = subgroupBroadcast(facts, 1u);
        let of_2 = subgroupBroadcast(facts, 2u);
        let of_3 = subgroupBroadcast(facts, 3u);
        let keys = vec4<i32>(key);
        scores = mat4x4(weigh(0u, of_0, keys, scale), weigh(1u, of_1, keys, scale), weigh(2u, of_2, keys, scale), weigh(3u, of_3, keys, scale));
        dp = mat4x4(slope(0u, of_0, scale), slope(1u, of_1, scale), slope(2u, of_2, scale), slope(3u, of_3, scale));
        slope_part(0u); slope_part(1u); slope_part(2u); slope_part(3u);
        slope_part(4u); slope_part(5u); slope_part(6u); slope_part(7u);
    }
    store_eight(0u, at, live); store_eight(8u, at, live); store_eight(16u, at, live); store_eight(24u, at, live);
}

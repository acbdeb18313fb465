// out = softmax(scale q k^T) v of one query per row over the keys first ..= last
// q, out [B,H,D]  k, v [B,S,K,D]  first [B], beyond last where a row sees nothing: its out is 0; D in words of four numbers
// Keys and values may be kept in half precision, two numbers in a word: the host replaces STORED and what reads it.
// For adapters whose loads are dear and whose subgroups have 4 or 8 lanes: one subgroup per (row, head). A lane owns a key of each tile
// for the scores and every LANES-th word of the sum of values; words and weights go round by shuffles.
// Source: Dao et al. 2022, algorithm 1, for one query. Twin: evenkeel-kernels/src/reference/attention.rs (decode)
const HEAD_DIM = 64u;
const LANES = 8u;
const WORDS = HEAD_DIM / 4u;
const PARTS = (WORDS + LANES - 1u) / LANES;
const MASKED = -1e30;
alias STORED = vec4<f32>;

@group(0) @binding(0) var<storage, read_write> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> k: array<STORED>;
@group(0) @binding(2) var<storage, read_write> v: array<STORED>;
@group(0) @binding(3) var<storage, read_write> first: array<i32>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> params: array<u32>; // [B H, S, H, K, last, scale as f32 bits]

fn key_word(at: u32) -> vec4<f32> { return k[at]; }
fn value_word(at: u32) -> vec4<f32> { return v[at]; }

var<private> query: array<vec4<f32>, PARTS>; // a lane's words of q
var<private> sums: array<vec4<f32>, PARTS>;
var<private> score: f32;

fn load(part: u32, at: u32, lane: u32) {
    if part < PARTS { query[part] = q[at + min(part * LANES + lane, WORDS - 1u)]; }
}

fn add_word(word: u32, of_q: vec4<f32>, key_at: u32) {
    if word < WORDS { score += dot(of_q, key_word(key_at + word)); }
}

fn score_part(part: u32, key_at: u32) {
    if part >= PARTS { return; }
    let mine = query[part];
    let word = part * LANES;
    add_word(word, subgroupShuffle(mine, 0u), key_at); add_word(word + 1u, subgroupShuffle(mine, 1u), key_at); add_word(word + 2u, subgroupShuffle(mine, 2u), key_at); add_word(word + 3u, subgroupShuffle(mine, 3u), key_at);
    if LANES == 4u { return; }
    add_word(word + 4u, subgroupShuffle(mine, 4u), key_at); add_word(word + 5u, subgroupShuffle(mine, 5u), key_at); add_word(word + 6u, subgroupShuffle(mine, 6u), key_at); add_word(word + 7u, subgroupShuffle(mine, 7u), key_at);
}

fn add_value(part: u32, weight: f32, key_at: u32, lane: u32) {
    if part < PARTS { sums[part] = fma(vec4(weight), value_word(key_at + min(part * LANES + lane, WORDS - 1u)), sums[part]); }
}

fn add_key(weight: f32, key_at: u32, lane: u32) {
    add_value(0u, weight, key_at, lane); add_value(1u, weight, key_at, lane); add_value(2u, weight, key_at, lane);
    add_value(3u, weight, key_at, lane); add_value(4u, weight, key_at, lane); add_value(5u, weight, key_at, lane);
    add_value(6u, weight, key_at, lane); add_value(7u, weight, key_at, lane);
}

fn add_keys(weight: f32, key_at: u32, lane: u32) {
    add_key(subgroupShuffle(weight, 0u), subgroupShuffle(key_at, 0u), lane); add_key(subgroupShuffle(weight, 1u), subgroupShuffle(key_at, 1u), lane); add_key(subgroupShuffle(weight, 2u), subgroupShuffle(key_at, 2u), lane); add_key(subgroupShuffle(weight, 3u), subgroupShuffle(key_at, 3u), lane);
    if LANES == 4u { return; }
    add_key(subgroupShuffle(weight, 4u), subgroupShuffle(key_at, 4u), lane); add_key(subgroupShuffle(weight, 5u), subgroupShuffle(key_at, 5u), lane); add_key(subgroupShuffle(weight, 6u), subgroupShuffle(key_at, 6u), lane); add_key(subgroupShuffle(weight, 7u), subgroupShuffle(key_at, 7u), lane);
}

fn decay_sum(part: u32, decay: f32) {
    if part < PARTS { sums[part] *= decay; }
}

fn store(part: u32, at: u32, lane: u32, share: f32) {
    if part < PARTS && part * LANES + lane < WORDS { out[at + part * LANES + lane] = sums[part] * share; }
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let row_head = group.x + group.y * groups.x;
    if row_head >= params[0] { return; }
    let row = row_head / params[2];
    let kv_head = row_head % params[2] / (params[2] / params[3]);
    let last = params[4];
    let at = row_head * WORDS;
    load(0u, at, lane); load(1u, at, lane); load(2u, at, lane); load(3u, at, lane);
    load(4u, at, lane); load(5u, at, lane); load(6u, at, lane); load(7u, at, lane);

    var largest = MASKED;
    var total = 0.0;
    for (var tile = u32(max(first[row], 0)); tile <= last; tile += LANES) {
        let key = tile + lane;
        let key_at = ((row * params[1] + min(key, last)) * params[3] + kv_head) * WORDS;
        score = 0.0;
        score_part(0u, key_at); score_part(1u, key_at); score_part(2u, key_at); score_part(3u, key_at);
        score_part(4u, key_at); score_part(5u, key_at); score_part(6u, key_at); score_part(7u, key_at);
        score = select(MASKED, score * bitcast<f32>(params[5]), key <= last);
        let new_largest = max(largest, subgroupMax(score));
        let decay = exp(largest - new_largest);
        largest = new_largest;
        let weight = select(0.0, exp(score - largest), score > MASKED);
        total = total * decay + weight;
        decay_sum(0u, decay); decay_sum(1u, decay); decay_sum(2u, decay); decay_sum(3u, decay);
        decay_sum(4u, decay); decay_sum(5u, decay); decay_sum(6u, decay); decay_sum(7u, decay);
        add_keys(weight, key_at, lane);
    }
    let sum = subgroupAdd(total);
    let share = select(0.0, 1.0 / sum, sum > 0.0);
    store(0u, at, lane, share); store(1u, at, lane, share); store(2u, at, lane, share); store(3u, at, lane, share);
    store(4u, at, lane, share); store(5u, at, lane, share); store(6u, at, lane, share); store(7u, at, lane, share);
}

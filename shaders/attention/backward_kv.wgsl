// dk = scale dsT q, dv = pT dout   with p = exp(scale q kT - lse), ds = p (dout vT - delta)
// q, dout [B,T,H,D]  k, v, dk, dv [B,S,K,D]  rows [B,H,T] of (lse, delta, first, last), see backward_rows.wgsl
// One workgroup owns BLOCK keys of one key/value head and walks over all queries of the heads that read it, BLOCK at a
// time; a block of queries that sees none of the keys is skipped. q and dout take turns in one tile, so q is loaded
// twice. Lane (j, i) computes p and ds of key j and query i, then the words i, i + BLOCK, … of rows j of dk and dv, four numbers each.
// Each output has one owner: no atomics on floats, the same sums every time.
// Source: Dao et al. 2022, algorithm 4. Twin: evenkeel-kernels/src/reference/attention.rs (backward)
const BLOCK = 16u;
const HEAD_DIM = 64u;

const LANES = BLOCK * BLOCK;
const WORDS = (HEAD_DIM + 3u) / 4u;
const STRIDE = WORDS + 1u; // a word of padding: rows start in different memory banks

@group(0) @binding(0) var<storage, read_write> q: array<f32>;
@group(0) @binding(1) var<storage, read_write> k: array<f32>;
@group(0) @binding(2) var<storage, read_write> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> dout: array<f32>;
@group(0) @binding(4) var<storage, read_write> rows: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> dk: array<f32>;
@group(0) @binding(6) var<storage, read_write> dv: array<f32>;
@group(0) @binding(7) var<storage, read> params: array<u32>; // [T, S, H, K, tiles of S, workgroups, scale as f32 bits]

var<workgroup> k_tile: array<vec4<f32>, BLOCK * STRIDE>;
var<workgroup> v_tile: array<vec4<f32>, BLOCK * STRIDE>;
var<workgroup> query_tile: array<vec4<f32>, BLOCK * STRIDE>;
var<workgroup> weights: array<f32, LANES>;
var<workgroup> spans: array<vec2<i32>, BLOCK>;
var<workgroup> span: vec2<i32>; // of the whole block

// Word w of the row of HEAD_DIM numbers at `at`; 0 beyond them.
fn q_word(at: u32, w: u32) -> vec4<f32> {
    if 4u * w + 3u < HEAD_DIM { return vec4(q[at + 4u * w], q[at + 4u * w + 1u], q[at + 4u * w + 2u], q[at + 4u * w + 3u]); }
    var word = vec4(0.0);
    for (var d = 4u * w; d < HEAD_DIM; d++) { word[d % 4u] = q[at + d]; }
    return word;
}

fn k_word(at: u32, w: u32) -> vec4<f32> {
    if 4u * w + 3u < HEAD_DIM { return vec4(k[at + 4u * w], k[at + 4u * w + 1u], k[at + 4u * w + 2u], k[at + 4u * w + 3u]); }
    var word = vec4(0.0);
    for (var d = 4u * w; d < HEAD_DIM; d++) { word[d % 4u] = k[at + d]; }
    return word;
}

fn v_word(at: u32, w: u32) -> vec4<f32> {
    if 4u * w + 3u < HEAD_DIM { return vec4(v[at + 4u * w], v[at + 4u * w + 1u], v[at + 4u * w + 2u], v[at + 4u * w + 3u]); }
    var word = vec4(0.0);
    for (var d = 4u * w; d < HEAD_DIM; d++) { word[d % 4u] = v[at + d]; }
    return word;
}

fn dout_word(at: u32, w: u32) -> vec4<f32> {
    if 4u * w + 3u < HEAD_DIM { return vec4(dout[at + 4u * w], dout[at + 4u * w + 1u], dout[at + 4u * w + 2u], dout[at + 4u * w + 3u]); }
    var word = vec4(0.0);
    for (var d = 4u * w; d < HEAD_DIM; d++) { word[d % 4u] = dout[at + d]; }
    return word;
}

fn store(at: u32, w: u32, of_k: vec4<f32>, of_v: vec4<f32>) {
    if w >= WORDS { return; }
    for (var d = 4u * w; d < min(4u * w + 4u, HEAD_DIM); d++) {
        dk[at + d] = of_k[d % 4u];
        dv[at + d] = of_v[d % 4u];
    }
}

var<private> dk_sums: mat4x4<f32>; // a column for each of a lane's words
var<private> dv_sums: mat4x4<f32>;

// sums + weight times row x of the tile, in the words of a lane.
fn with_row(sums: mat4x4<f32>, x: u32, i: u32, weight: f32) -> mat4x4<f32> {
    var more = sums;
    more[0] += weight * query_tile[x * STRIDE + min(i, WORDS - 1u)];
    if WORDS > BLOCK { more[1] += weight * query_tile[x * STRIDE + min(i + BLOCK, WORDS - 1u)]; }
    if WORDS > 2u * BLOCK {
        more[2] += weight * query_tile[x * STRIDE + min(i + 2u * BLOCK, WORDS - 1u)];
        more[3] += weight * query_tile[x * STRIDE + min(i + 3u * BLOCK, WORDS - 1u)];
    }
    return more;
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let t = params[0];
    let s = params[1];
    let h = params[2];
    let kv = params[3];
    let tiles = params[4];
    let unit = group.x + group.y * groups.x;
    if unit >= params[5] { return; }
    let scale = bitcast<f32>(params[6]);
    let kv_head = (unit / tiles) % kv;
    let batch = unit / tiles / kv;
    let heads = h / kv;

    let j = lane / BLOCK;
    let i = lane % BLOCK;
    let first_key = (unit % tiles) * BLOCK;
    let key = first_key + j;
    let live = key < s;
    let key_at = ((batch * s + min(key, s - 1u)) * kv + kv_head) * HEAD_DIM;
    for (var w = i; w < WORDS; w += BLOCK) {
        k_tile[j * STRIDE + w] = k_word(key_at, w);
        v_tile[j * STRIDE + w] = v_word(key_at, w);
    }

    let steps = (t + BLOCK - 1u) / BLOCK;
    for (var step = 0u; step < heads * steps; step++) {
        let head = kv_head * heads + step / steps;
        let start = (step % steps) * BLOCK;
        let query = start + i;
        let facts = rows[(batch * h + head) * t + min(query, t - 1u)];
        let begins = bitcast<i32>(facts.z);
        let ends = select(-1, bitcast<i32>(facts.w), query < t);
        if j == 0u { spans[i] = select(vec2<i32>(i32(s), -1), vec2<i32>(begins, ends), begins <= ends); }
        workgroupBarrier();
        if lane == 0u {
            span = spans[0];
            for (var x = 1u; x < BLOCK; x++) {
                span = vec2<i32>(min(span.x, spans[x].x), max(span.y, spans[x].y));
            }
        }
        let block_span = workgroupUniformLoad(&span);
        if block_span.x > i32(first_key + BLOCK - 1u) || block_span.y < i32(first_key) { continue; }
        let sees = live && i32(key) >= begins && i32(key) <= ends;

        let at = ((batch * t + min(start + j, t - 1u)) * h + head) * HEAD_DIM;
        for (var w = i; w < WORDS; w += BLOCK) { query_tile[j * STRIDE + w] = q_word(at, w); }
        workgroupBarrier();
        var weight = 0.0;
        if sees {
            var score = 0.0;
            for (var w = 0u; w < WORDS; w++) { score += dot(query_tile[i * STRIDE + w], k_tile[j * STRIDE + w]); }
            weight = exp(scale * score - bitcast<f32>(facts.x));
        }
        weights[lane] = weight;
        workgroupBarrier();

        for (var w = i; w < WORDS; w += BLOCK) { query_tile[j * STRIDE + w] = dout_word(at, w); }
        workgroupBarrier();
        var dp = 0.0;
        for (var w = 0u; w < WORDS; w++) { dp += dot(query_tile[i * STRIDE + w], v_tile[j * STRIDE + w]); }
        for (var x = 0u; x < BLOCK; x++) { dv_sums = with_row(dv_sums, x, i, weights[j * BLOCK + x]); }
        workgroupBarrier();

        weights[lane] = weight * (dp - bitcast<f32>(facts.y));
        for (var w = i; w < WORDS; w += BLOCK) { query_tile[j * STRIDE + w] = q_word(at, w); }
        workgroupBarrier();
        for (var x = 0u; x < BLOCK; x++) { dk_sums = with_row(dk_sums, x, i, weights[j * BLOCK + x]); }
        workgroupBarrier();
    }

    if !live { return; }
    store(key_at, i, scale * dk_sums[0], dv_sums[0]);
    store(key_at, i + BLOCK, scale * dk_sums[1], dv_sums[1]);
    store(key_at, i + 2u * BLOCK, scale * dk_sums[2], dv_sums[2]);
    store(key_at, i + 3u * BLOCK, scale * dk_sums[3], dv_sums[3]);
}

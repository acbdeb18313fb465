// dq = scale ds k   with p = exp(scale q kT - lse), ds = p (dout vT - delta)
// q, dout, dq [B,T,H,D]  k, v [B,S,K,D]  rows [B,H,T] of (lse, delta, first, last), see backward_rows.wgsl
// One workgroup owns BLOCK queries of one head and walks over the keys that any of them sees, BLOCK at a time; v and k
// take turns in one tile. Lane (i, j) computes ds (i, j), then the words j, j + BLOCK, … of dq row i, four numbers each.
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
@group(0) @binding(5) var<storage, read_write> dq: array<f32>;
@group(0) @binding(6) var<storage, read> params: array<u32>; // [T, S, H, K, tiles of T, workgroups, scale as f32 bits]

var<workgroup> q_tile: array<vec4<f32>, BLOCK * STRIDE>;
var<workgroup> dout_tile: array<vec4<f32>, BLOCK * STRIDE>;
var<workgroup> kv_tile: array<vec4<f32>, BLOCK * STRIDE>;
var<workgroup> slopes: array<f32, LANES>;
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

fn store(at: u32, w: u32, word: vec4<f32>) {
    if w >= WORDS { return; }
    for (var d = 4u * w; d < min(4u * w + 4u, HEAD_DIM); d++) { dq[at + d] = word[d % 4u]; }
}

var<private> sums: mat4x4<f32>; // a column for each of a lane's words

// weight times row x of the tile, in the words of a lane.
fn add_row(x: u32, j: u32, weight: f32) {
    sums[0] += weight * kv_tile[x * STRIDE + min(j, WORDS - 1u)];
    if WORDS > BLOCK { sums[1] += weight * kv_tile[x * STRIDE + min(j + BLOCK, WORDS - 1u)]; }
    if WORDS > 2u * BLOCK {
        sums[2] += weight * kv_tile[x * STRIDE + min(j + 2u * BLOCK, WORDS - 1u)];
        sums[3] += weight * kv_tile[x * STRIDE + min(j + 3u * BLOCK, WORDS - 1u)];
    }
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
    let head = (unit / tiles) % h;
    let batch = unit / tiles / h;
    let kv_head = head / (h / kv);

    let i = lane / BLOCK;
    let j = lane % BLOCK;
    let query = (unit % tiles) * BLOCK + i;
    let live = query < t;
    let facts = rows[(batch * h + head) * t + min(query, t - 1u)];
    let lse = bitcast<f32>(facts.x);
    let delta = bitcast<f32>(facts.y);
    let begins = bitcast<i32>(facts.z);
    let ends = select(-1, bitcast<i32>(facts.w), live);
    let q_at = ((batch * t + min(query, t - 1u)) * h + head) * HEAD_DIM;

    if j == 0u { spans[i] = select(vec2<i32>(i32(s), -1), vec2<i32>(begins, ends), begins <= ends); }
    for (var w = j; w < WORDS; w += BLOCK) {
        q_tile[i * STRIDE + w] = q_word(q_at, w);
        dout_tile[i * STRIDE + w] = dout_word(q_at, w);
    }
    workgroupBarrier();
    if lane == 0u {
        span = spans[0];
        for (var x = 1u; x < BLOCK; x++) {
            span = vec2<i32>(min(span.x, spans[x].x), max(span.y, spans[x].y));
        }
    }
    let block_span = workgroupUniformLoad(&span);

    for (var tile = block_span.x; tile <= block_span.y; tile += i32(BLOCK)) {
        let load_key = min(u32(tile) + i, s - 1u);
        let at = ((batch * s + load_key) * kv + kv_head) * HEAD_DIM;
        for (var w = j; w < WORDS; w += BLOCK) { kv_tile[i * STRIDE + w] = v_word(at, w); }
        workgroupBarrier();
        var dp = 0.0;
        for (var w = 0u; w < WORDS; w++) { dp += dot(dout_tile[i * STRIDE + w], kv_tile[j * STRIDE + w]); }
        workgroupBarrier();

        for (var w = j; w < WORDS; w += BLOCK) { kv_tile[i * STRIDE + w] = k_word(at, w); }
        workgroupBarrier();
        let key = tile + i32(j);
        var slope = 0.0;
        if key >= begins && key <= ends {
            var score = 0.0;
            for (var w = 0u; w < WORDS; w++) { score += dot(q_tile[i * STRIDE + w], kv_tile[j * STRIDE + w]); }
            slope = exp(scale * score - lse) * (dp - delta);
        }
        slopes[lane] = slope;
        workgroupBarrier();

        for (var x = 0u; x < BLOCK; x++) { add_row(x, j, slopes[i * BLOCK + x]); }
        workgroupBarrier();
    }

    if !live { return; }
    store(q_at, j, scale * sums[0]);
    store(q_at, j + BLOCK, scale * sums[1]);
    store(q_at, j + 2u * BLOCK, scale * sums[2]);
    store(q_at, j + 3u * BLOCK, scale * sums[3]);
}

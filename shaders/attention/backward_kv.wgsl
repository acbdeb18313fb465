// dk = scale dsT q, dv = pT dout   with p = exp(scale q kT - lse), ds = p (dout vT - delta)
// q, dout [B,T,H,D]  k, v, dk, dv [B,S,K,D]  rows [B,H,T] of (lse, delta, first, last), see backward_rows.wgsl
// One workgroup owns BLOCK keys of one key/value head and walks over all queries of the heads that read it, BLOCK at a
// time; a block of queries that sees none of the keys is skipped. q and dout take turns in one tile, so q is loaded
// twice. Lane (j, i) computes p and ds of key j and query i, then the columns i, i + BLOCK, … of rows j of dk and dv.
// Each output has one owner: no atomics on floats, the same sums every time.
// Source: Dao et al. 2022, algorithm 4. Twin: evenkeel-kernels/src/reference/attention.rs (backward)
const BLOCK = 16u;
const HEAD_DIM = 64u;

const LANES = BLOCK * BLOCK;
const STRIDE = HEAD_DIM + 1u; // one float of padding: rows start in different memory banks
const COLUMNS = (HEAD_DIM + BLOCK - 1u) / BLOCK;

@group(0) @binding(0) var<storage, read_write> q: array<f32>;
@group(0) @binding(1) var<storage, read_write> k: array<f32>;
@group(0) @binding(2) var<storage, read_write> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> dout: array<f32>;
@group(0) @binding(4) var<storage, read_write> rows: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> dk: array<f32>;
@group(0) @binding(6) var<storage, read_write> dv: array<f32>;
@group(0) @binding(7) var<storage, read> params: array<u32>; // [T, S, H, K, tiles of S, workgroups, scale as f32 bits]

var<workgroup> k_tile: array<f32, BLOCK * STRIDE>;
var<workgroup> v_tile: array<f32, BLOCK * STRIDE>;
var<workgroup> query_tile: array<f32, BLOCK * STRIDE>;
var<workgroup> weights: array<f32, LANES>;
var<workgroup> spans: array<vec2<i32>, BLOCK>;
var<workgroup> span: vec2<i32>; // of the whole block

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
    for (var d = i; d < HEAD_DIM; d += BLOCK) {
        k_tile[j * STRIDE + d] = k[key_at + d];
        v_tile[j * STRIDE + d] = v[key_at + d];
    }

    var dk_sum: array<f32, COLUMNS>;
    var dv_sum: array<f32, COLUMNS>;
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
        for (var d = i; d < HEAD_DIM; d += BLOCK) { query_tile[j * STRIDE + d] = q[at + d]; }
        workgroupBarrier();
        var weight = 0.0;
        if sees {
            var score = 0.0;
            for (var d = 0u; d < HEAD_DIM; d++) { score += query_tile[i * STRIDE + d] * k_tile[j * STRIDE + d]; }
            weight = exp(scale * score - bitcast<f32>(facts.x));
        }
        weights[lane] = weight;
        workgroupBarrier();

        for (var d = i; d < HEAD_DIM; d += BLOCK) { query_tile[j * STRIDE + d] = dout[at + d]; }
        workgroupBarrier();
        var dp = 0.0;
        for (var d = 0u; d < HEAD_DIM; d++) { dp += query_tile[i * STRIDE + d] * v_tile[j * STRIDE + d]; }
        for (var x = 0u; x < BLOCK; x++) {
            for (var c = 0u; c < COLUMNS; c++) {
                let d = min(i + c * BLOCK, HEAD_DIM - 1u);
                dv_sum[c] += weights[j * BLOCK + x] * query_tile[x * STRIDE + d];
            }
        }
        workgroupBarrier();

        weights[lane] = weight * (dp - bitcast<f32>(facts.y));
        for (var d = i; d < HEAD_DIM; d += BLOCK) { query_tile[j * STRIDE + d] = q[at + d]; }
        workgroupBarrier();
        for (var x = 0u; x < BLOCK; x++) {
            for (var c = 0u; c < COLUMNS; c++) {
                let d = min(i + c * BLOCK, HEAD_DIM - 1u);
                dk_sum[c] += weights[j * BLOCK + x] * query_tile[x * STRIDE + d];
            }
        }
        workgroupBarrier();
    }

    if !live { return; }
    for (var c = 0u; c < COLUMNS; c++) {
        let d = i + c * BLOCK;
        if d < HEAD_DIM {
            dk[key_at + d] = scale * dk_sum[c];
            dv[key_at + d] = dv_sum[c];
        }
    }
}

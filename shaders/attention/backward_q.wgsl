// dq = scale ds k   with p = exp(scale q kT - lse), ds = p (dout vT - delta)
// q, dout, dq [B,T,H,D]  k, v [B,S,K,D]  rows [B,H,T] of (lse, delta, first, last), see backward_rows.wgsl
// One workgroup owns BLOCK queries of one head and walks over the keys that any of them sees, BLOCK at a time; v and k
// take turns in one tile. Lane (i, j) computes ds (i, j), then the columns j, j + BLOCK, … of dq row i.
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
@group(0) @binding(5) var<storage, read_write> dq: array<f32>;
@group(0) @binding(6) var<storage, read> params: array<u32>; // [T, S, H, K, tiles of T, workgroups, scale as f32 bits]

var<workgroup> q_tile: array<f32, BLOCK * STRIDE>;
var<workgroup> dout_tile: array<f32, BLOCK * STRIDE>;
var<workgroup> kv_tile: array<f32, BLOCK * STRIDE>;
var<workgroup> slopes: array<f32, LANES>;
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
    for (var d = j; d < HEAD_DIM; d += BLOCK) {
        q_tile[i * STRIDE + d] = q[q_at + d];
        dout_tile[i * STRIDE + d] = dout[q_at + d];
    }
    workgroupBarrier();
    if lane == 0u {
        span = spans[0];
        for (var x = 1u; x < BLOCK; x++) {
            span = vec2<i32>(min(span.x, spans[x].x), max(span.y, spans[x].y));
        }
    }
    let block_span = workgroupUniformLoad(&span);

    var sum: array<f32, COLUMNS>;
    for (var tile = block_span.x; tile <= block_span.y; tile += i32(BLOCK)) {
        let load_key = min(u32(tile) + i, s - 1u);
        let at = ((batch * s + load_key) * kv + kv_head) * HEAD_DIM;
        for (var d = j; d < HEAD_DIM; d += BLOCK) { kv_tile[i * STRIDE + d] = v[at + d]; }
        workgroupBarrier();
        var dp = 0.0;
        for (var d = 0u; d < HEAD_DIM; d++) { dp += dout_tile[i * STRIDE + d] * kv_tile[j * STRIDE + d]; }
        workgroupBarrier();

        for (var d = j; d < HEAD_DIM; d += BLOCK) { kv_tile[i * STRIDE + d] = k[at + d]; }
        workgroupBarrier();
        let key = tile + i32(j);
        var slope = 0.0;
        if key >= begins && key <= ends {
            var score = 0.0;
            for (var d = 0u; d < HEAD_DIM; d++) { score += q_tile[i * STRIDE + d] * kv_tile[j * STRIDE + d]; }
            slope = exp(scale * score - lse) * (dp - delta);
        }
        slopes[lane] = slope;
        workgroupBarrier();

        for (var x = 0u; x < BLOCK; x++) {
            let ds = slopes[i * BLOCK + x];
            for (var c = 0u; c < COLUMNS; c++) {
                let d = min(j + c * BLOCK, HEAD_DIM - 1u);
                sum[c] += ds * kv_tile[x * STRIDE + d];
            }
        }
        workgroupBarrier();
    }

    if !live { return; }
    for (var c = 0u; c < COLUMNS; c++) {
        let d = j + c * BLOCK;
        if d < HEAD_DIM { dq[q_at + d] = scale * sum[c]; }
    }
}

// out = softmax(scale q kT) v over each query's span of keys, and lse = log sum exp of its scores
// q [B,T,H,D]  k, v [B,S,K,D]  first, last [B,T]  out [B,T,H,D]  lse [B,T,H]   (query head h reads head h / (H/K))
// One workgroup owns BLOCK queries of one head and walks over the keys that any of them sees, BLOCK at a time.
// Lane (i, j) computes score (i, j), then the columns j, j + BLOCK, … of output row i. Online softmax: the running
// maximum is subtracted; a masked score is -1e30 and its weight exactly 0. An empty span gives 0.
// Source: Dao et al. 2022, algorithm 1. Twin: evenkeel-kernels/src/reference/attention.rs (forward)
const BLOCK = 16u;
const HEAD_DIM = 64u;

const LANES = BLOCK * BLOCK;
const STRIDE = HEAD_DIM + 1u; // one float of padding: rows start in different memory banks
const COLUMNS = (HEAD_DIM + BLOCK - 1u) / BLOCK;
const MASKED = -1e30;

@group(0) @binding(0) var<storage, read_write> q: array<f32>;
@group(0) @binding(1) var<storage, read_write> k: array<f32>;
@group(0) @binding(2) var<storage, read_write> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> first: array<i32>;
@group(0) @binding(4) var<storage, read_write> last: array<i32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
@group(0) @binding(7) var<storage, read> params: array<u32>; // [T, S, H, K, tiles of T, workgroups, scale as f32 bits]

var<workgroup> q_tile: array<f32, BLOCK * STRIDE>;
var<workgroup> k_tile: array<f32, BLOCK * STRIDE>;
var<workgroup> v_tile: array<f32, BLOCK * STRIDE>;
var<workgroup> scores: array<f32, LANES>;
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
    let row = batch * t + min(query, t - 1u);
    let begins = max(first[row], 0);
    let ends = select(-1, min(last[row], i32(s) - 1), live);

    if j == 0u { spans[i] = select(vec2<i32>(i32(s), -1), vec2<i32>(begins, ends), begins <= ends); }
    for (var d = j; d < HEAD_DIM; d += BLOCK) {
        q_tile[i * STRIDE + d] = q[(row * h + head) * HEAD_DIM + d];
    }
    workgroupBarrier();
    if lane == 0u {
        span = spans[0];
        for (var x = 1u; x < BLOCK; x++) {
            span = vec2<i32>(min(span.x, spans[x].x), max(span.y, spans[x].y));
        }
    }
    let block_span = workgroupUniformLoad(&span);

    var largest = MASKED;
    var total = 0.0;
    var sum: array<f32, COLUMNS>;
    for (var tile = block_span.x; tile <= block_span.y; tile += i32(BLOCK)) {
        let load_key = min(u32(tile) + i, s - 1u);
        let at = ((batch * s + load_key) * kv + kv_head) * HEAD_DIM;
        for (var d = j; d < HEAD_DIM; d += BLOCK) {
            k_tile[i * STRIDE + d] = k[at + d];
            v_tile[i * STRIDE + d] = v[at + d];
        }
        workgroupBarrier();

        let key = tile + i32(j);
        var score = MASKED;
        if key >= begins && key <= ends {
            score = 0.0;
            for (var d = 0u; d < HEAD_DIM; d++) { score += q_tile[i * STRIDE + d] * k_tile[j * STRIDE + d]; }
            score *= scale;
        }
        scores[lane] = score;
        workgroupBarrier();

        var new_largest = largest;
        for (var c = 0u; c < BLOCK; c++) { new_largest = max(new_largest, scores[i * BLOCK + c]); }
        let decay = exp(largest - new_largest);
        largest = new_largest;
        total *= decay;
        for (var c = 0u; c < COLUMNS; c++) { sum[c] *= decay; }
        for (var x = 0u; x < BLOCK; x++) {
            let seen = scores[i * BLOCK + x];
            if seen > MASKED {
                let weight = exp(seen - largest);
                total += weight;
                for (var c = 0u; c < COLUMNS; c++) {
                    let d = min(j + c * BLOCK, HEAD_DIM - 1u);
                    sum[c] += weight * v_tile[x * STRIDE + d];
                }
            }
        }
        workgroupBarrier();
    }

    if !live { return; }
    let empty = total == 0.0;
    for (var c = 0u; c < COLUMNS; c++) {
        let d = j + c * BLOCK;
        if d < HEAD_DIM { out[(row * h + head) * HEAD_DIM + d] = select(sum[c] / total, 0.0, empty); }
    }
    if j == 0u { lse[row * h + head] = select(largest + log(total), 0.0, empty); }
}

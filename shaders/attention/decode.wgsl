// out = softmax(scale q k^T) v of one query per row over the keys first ..= last
// q, out [B,H,D]  k, v [B,S,K,D]  first [B], beyond last where a row sees nothing: its out is 0
// Keys and values may be kept in half precision, two numbers in a word: the host replaces STORED and what reads it.
// One workgroup per (row, head): a lane owns one key of each tile for the scores and every WG-th number of the sum of values.
// Source: Dao et al. 2022, algorithm 1, for one query. Twin: evenkeel-kernels/src/reference/attention.rs (decode)
const WG = 64u;
const HEAD_DIM = 64u;
const SHARE = (HEAD_DIM + WG - 1u) / WG;
const MASKED = -1e30;
alias STORED = f32;

@group(0) @binding(0) var<storage, read_write> q: array<f32>;
@group(0) @binding(1) var<storage, read_write> k: array<STORED>;
@group(0) @binding(2) var<storage, read_write> v: array<STORED>;
@group(0) @binding(3) var<storage, read_write> first: array<i32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<storage, read> params: array<u32>; // [B H, S, H, K, last, scale as f32 bits]

fn key_number(at: u32) -> f32 { return k[at]; }
fn value_number(at: u32) -> f32 { return v[at]; }

var<workgroup> query: array<f32, HEAD_DIM>;
var<workgroup> weights: array<f32, WG>;
var<workgroup> lanes: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row_head = group.x + group.y * groups.x;
    if row_head >= params[0] { return; }
    let row = row_head / params[2];
    let kv_head = row_head % params[2] / (params[2] / params[3]);
    let begins = u32(max(first[row], 0));
    let last = params[4];
    for (var d = lane; d < HEAD_DIM; d += WG) { query[d] = q[row_head * HEAD_DIM + d]; }
    workgroupBarrier();

    var largest = MASKED;
    var total = 0.0;
    var sums: array<f32, SHARE>;
    for (var tile = 0u; tile <= last; tile += WG) {
        let key = tile + lane;
        var score = MASKED;
        if key >= begins && key <= last {
            let start = ((row * params[1] + key) * params[3] + kv_head) * HEAD_DIM;
            var dot = 0.0;
            for (var d = 0u; d < HEAD_DIM; d++) { dot += query[d] * key_number(start + d); }
            score = dot * bitcast<f32>(params[5]);
        }
        lanes[lane] = score;
        workgroupBarrier();
        for (var half = WG / 2u; half > 0u; half /= 2u) {
            if lane < half { lanes[lane] = max(lanes[lane], lanes[lane + half]); }
            workgroupBarrier();
        }
        let new_largest = max(largest, lanes[0]);
        let decay = exp(largest - new_largest);
        largest = new_largest;
        weights[lane] = select(0.0, exp(score - largest), score > MASKED);
        workgroupBarrier();

        total *= decay;
        for (var i = 0u; i < WG; i++) { total += weights[i]; }
        for (var j = 0u; j < SHARE; j++) {
            let d = lane + j * WG;
            var sum = sums[j] * decay;
            if d < HEAD_DIM {
                for (var i = 0u; i < WG && tile + i <= last; i++) {
                    sum += weights[i] * value_number(((row * params[1] + tile + i) * params[3] + kv_head) * HEAD_DIM + d);
                }
            }
            sums[j] = sum;
        }
        workgroupBarrier();
    }
    for (var j = 0u; j < SHARE; j++) {
        let d = lane + j * WG;
        if d < HEAD_DIM { out[row_head * HEAD_DIM + d] = select(0.0, sums[j] / total, total > 0.0); }
    }
}

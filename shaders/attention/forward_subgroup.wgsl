// out = softmax(scale q kT) v over each query's span of keys, and lse = log sum exp of its scores
// q [B,T,H,D]  k, v [B,S,K,D]  first, last [B,T]  out [B,T,H,D]  lse [B,T,H]   (query head h reads head h / (H/K))
// For adapters whose loads are dear and whose subgroups have 4 or 8 lanes: one subgroup of LANES lanes owns BLOCK queries of
// one head, four in each lane's registers. A lane loads every LANES-th number of a key, and the numbers go round by broadcast.
// Online softmax as in forward.wgsl: a masked score is -1e30 and its weight exactly 0. An empty span gives 0.
// Source: Dao et al. 2022, algorithm 1. Twin: evenkeel-kernels/src/reference/attention.rs (forward)
const HEAD_DIM = 64u;
const LANES = 8u;

const BLOCK = 4u * LANES;
const PARTS = (HEAD_DIM + LANES - 1u) / LANES;
const PADDED = PARTS * LANES;
const MASKED = vec4<f32>(-1e30);

@group(0) @binding(0) var<storage, read_write> q: array<f32>;
@group(0) @binding(1) var<storage, read_write> k: array<f32>;
@group(0) @binding(2) var<storage, read_write> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> first: array<i32>;
@group(0) @binding(4) var<storage, read_write> last: array<i32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
@group(0) @binding(7) var<storage, read> params: array<u32>; // [T, S, H, K, tiles of T, workgroups, scale as f32 bits]

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
    let tiles = params[4];
    let unit = group.x + group.y * groups.x;
    if unit >= params[5] { return; }
    let scale = bitcast<f32>(params[6]);
    let head = (unit / tiles) % h;
    let batch = unit / tiles / h;
    let kv_head = head / (h / kv);

    let query = vec4((unit % tiles) * BLOCK + lane) + LANES * vec4(0u, 1u, 2u, 3u);
    let live = query < vec4(t);
    let row = vec4(batch * t) + min(query, vec4(t - 1u));
    let at = (row * h + head) * HEAD_DIM;
    let begins = max(vec4(first[row.x], first[row.y], first[row.z], first[row.w]), vec4(0));
    let limits = min(vec4(last[row.x], last[row.y], last[row.z], last[row.w]), vec4(i32(s) - 1));
    let ends = select(vec4(-1), limits, live);
    let lowest = select(vec4(i32(s)), begins, begins <= ends);
    let start = subgroupMin(min(min(lowest.x, lowest.y), min(lowest.z, lowest.w)));
    let stop = subgroupMax(max(max(ends.x, ends.y), max(ends.z, ends.w)));

    var rows: array<vec4<f32>, PADDED>; // of q, four queries a vector; 0 beyond HEAD_DIM
    var sum: array<vec4<f32>, PADDED>;
    for (var part = 0u; part < PARTS; part++) {
        for (var e = 0u; e < LANES; e++) {
            let d = min(part * LANES + e, HEAD_DIM - 1u);
            let numbers = vec4(q[at.x + d], q[at.y + d], q[at.z + d], q[at.w + d]);
            rows[part * LANES + e] = select(vec4(0.0), numbers, part * LANES + e < HEAD_DIM);
            sum[part * LANES + e] = vec4(0.0);
        }
    }
    var largest = MASKED;
    var total = vec4(0.0);
    for (var key = start; key <= stop; key++) {
        let key_at = ((batch * s + u32(key)) * kv + kv_head) * HEAD_DIM;
        var score = vec4(0.0);
        for (var part = 0u; part < PARTS; part++) {
            let x = k[key_at + min(part * LANES + lane, HEAD_DIM - 1u)];
            let d = part * LANES;
            score += rows[d + 0u] * subgroupBroadcast(x, 0u);
            score += rows[d + 1u] * subgroupBroadcast(x, 1u);
            score += rows[d + 2u] * subgroupBroadcast(x, 2u);
            score += rows[d + 3u] * subgroupBroadcast(x, 3u);
            if LANES == 8u {
                score += rows[d + 4u] * subgroupBroadcast(x, 4u);
                score += rows[d + 5u] * subgroupBroadcast(x, 5u);
                score += rows[d + 6u] * subgroupBroadcast(x, 6u);
                score += rows[d + 7u] * subgroupBroadcast(x, 7u);
            }
        }
        score = select(MASKED, scale * score, (vec4(key) >= begins) & (vec4(key) <= ends));
        let new_largest = max(largest, score);
        let decay = exp(largest - new_largest);
        let weight = select(vec4(0.0), exp(score - new_largest), score > MASKED);
        largest = new_largest;
        total = total * decay + weight;
        for (var part = 0u; part < PARTS; part++) {
            let x = v[key_at + min(part * LANES + lane, HEAD_DIM - 1u)];
            let d = part * LANES;
            sum[d + 0u] = sum[d + 0u] * decay + weight * subgroupBroadcast(x, 0u);
            sum[d + 1u] = sum[d + 1u] * decay + weight * subgroupBroadcast(x, 1u);
            sum[d + 2u] = sum[d + 2u] * decay + weight * subgroupBroadcast(x, 2u);
            sum[d + 3u] = sum[d + 3u] * decay + weight * subgroupBroadcast(x, 3u);
            if LANES == 8u {
                sum[d + 4u] = sum[d + 4u] * decay + weight * subgroupBroadcast(x, 4u);
                sum[d + 5u] = sum[d + 5u] * decay + weight * subgroupBroadcast(x, 5u);
                sum[d + 6u] = sum[d + 6u] * decay + weight * subgroupBroadcast(x, 6u);
                sum[d + 7u] = sum[d + 7u] * decay + weight * subgroupBroadcast(x, 7u);
            }
        }
    }

    let empty = total == vec4(0.0);
    for (var part = 0u; part < PARTS; part++) {
        for (var e = 0u; e < LANES; e++) {
            let d = part * LANES + e;
            if d < HEAD_DIM {
                let numbers = select(sum[d] / total, vec4(0.0), empty);
                if live.x { out[at.x + d] = numbers.x; }
                if live.y { out[at.y + d] = numbers.y; }
                if live.z { out[at.z + d] = numbers.z; }
                if live.w { out[at.w + d] = numbers.w; }
            }
        }
    }
    let log_total = select(largest + log(total), vec4(0.0), empty);
    let lse_at = row * h + head;
    if live.x { lse[lse_at.x] = log_total.x; }
    if live.y { lse[lse_at.y] = log_total.y; }
    if live.z { lse[lse_at.z] = log_total.z; }
    if live.w { lse[lse_at.w] = log_total.w; }
}

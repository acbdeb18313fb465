// dq = scale ds k   with p = exp(scale q kT - lse), ds = p (dout vT - delta)
// q, dout, dq [B,T,H,D]  k, v [B,S,K,D]  rows [B,H,T] of (lse, delta, first, last), see backward_rows.wgsl
// For adapters whose loads are dear: a subgroup of LANES lanes owns BLOCK queries of one head, as in forward_subgroup.wgsl.
// Source: Dao et al. 2022, algorithm 4. Twin: evenkeel-kernels/src/reference/attention.rs (backward)
const HEAD_DIM = 64u;
const LANES = 8u;

const BLOCK = 4u * LANES;
const PARTS = (HEAD_DIM + LANES - 1u) / LANES;
const PADDED = PARTS * LANES;

@group(0) @binding(0) var<storage, read_write> q: array<f32>;
@group(0) @binding(1) var<storage, read_write> k: array<f32>;
@group(0) @binding(2) var<storage, read_write> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> dout: array<f32>;
@group(0) @binding(4) var<storage, read_write> rows: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> dq: array<f32>;
@group(0) @binding(6) var<storage, read> params: array<u32>; // [T, S, H, K, tiles of T, workgroups, scale as f32 bits]

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
    let known = min(query, vec4(t - 1u));
    let at = ((vec4(batch * t) + known) * h + head) * HEAD_DIM;
    let facts_at = vec4((batch * h + head) * t) + known;
    let facts = transpose(mat4x4<f32>(
        bitcast<vec4<f32>>(rows[facts_at.x]), bitcast<vec4<f32>>(rows[facts_at.y]),
        bitcast<vec4<f32>>(rows[facts_at.z]), bitcast<vec4<f32>>(rows[facts_at.w])));
    let lse = facts[0];
    let delta = facts[1];
    let begins = bitcast<vec4<i32>>(facts[2]);
    let ends = select(vec4(-1), bitcast<vec4<i32>>(facts[3]), live);
    let lowest = select(vec4(i32(s)), begins, begins <= ends);
    let start = subgroupMin(min(min(lowest.x, lowest.y), min(lowest.z, lowest.w)));
    let stop = subgroupMax(max(max(ends.x, ends.y), max(ends.z, ends.w)));

    var q_rows: array<vec4<f32>, PADDED>; // four queries a vector; 0 beyond HEAD_DIM
    var dout_rows: array<vec4<f32>, PADDED>;
    var sum: array<vec4<f32>, PADDED>;
    for (var part = 0u; part < PARTS; part++) {
        for (var e = 0u; e < LANES; e++) {
            let d = min(part * LANES + e, HEAD_DIM - 1u);
            let real = part * LANES + e < HEAD_DIM;
            let q_numbers = vec4(q[at.x + d], q[at.y + d], q[at.z + d], q[at.w + d]);
            q_rows[part * LANES + e] = select(vec4(0.0), q_numbers, real);
            let dout_numbers = vec4(dout[at.x + d], dout[at.y + d], dout[at.z + d], dout[at.w + d]);
            dout_rows[part * LANES + e] = select(vec4(0.0), dout_numbers, real);
            sum[part * LANES + e] = vec4(0.0);
        }
    }
    for (var key = start; key <= stop; key++) {
        let key_at = ((batch * s + u32(key)) * kv + kv_head) * HEAD_DIM;
        var score = vec4(0.0);
        var dp = vec4(0.0);
        var k_parts: array<f32, PARTS>;
        for (var part = 0u; part < PARTS; part++) {
            let x = k[key_at + min(part * LANES + lane, HEAD_DIM - 1u)];
            let y = v[key_at + min(part * LANES + lane, HEAD_DIM - 1u)];
            let d = part * LANES;
            k_parts[part] = x;
            score += q_rows[d + 0u] * subgroupBroadcast(x, 0u);
            dp += dout_rows[d + 0u] * subgroupBroadcast(y, 0u);
            score += q_rows[d + 1u] * subgroupBroadcast(x, 1u);
            dp += dout_rows[d + 1u] * subgroupBroadcast(y, 1u);
            score += q_rows[d + 2u] * subgroupBroadcast(x, 2u);
            dp += dout_rows[d + 2u] * subgroupBroadcast(y, 2u);
            score += q_rows[d + 3u] * subgroupBroadcast(x, 3u);
            dp += dout_rows[d + 3u] * subgroupBroadcast(y, 3u);
            if LANES == 8u {
                score += q_rows[d + 4u] * subgroupBroadcast(x, 4u);
                dp += dout_rows[d + 4u] * subgroupBroadcast(y, 4u);
                score += q_rows[d + 5u] * subgroupBroadcast(x, 5u);
                dp += dout_rows[d + 5u] * subgroupBroadcast(y, 5u);
                score += q_rows[d + 6u] * subgroupBroadcast(x, 6u);
                dp += dout_rows[d + 6u] * subgroupBroadcast(y, 6u);
                score += q_rows[d + 7u] * subgroupBroadcast(x, 7u);
                dp += dout_rows[d + 7u] * subgroupBroadcast(y, 7u);
            }
        }
        let sees = (vec4(key) >= begins) & (vec4(key) <= ends);
        let weight = select(vec4(0.0), exp(scale * score - lse), sees);
        let slope = scale * weight * (dp - delta);
        for (var part = 0u; part < PARTS; part++) {
            let x = k_parts[part];
            let d = part * LANES;
            sum[d + 0u] += slope * subgroupBroadcast(x, 0u);
            sum[d + 1u] += slope * subgroupBroadcast(x, 1u);
            sum[d + 2u] += slope * subgroupBroadcast(x, 2u);
            sum[d + 3u] += slope * subgroupBroadcast(x, 3u);
            if LANES == 8u {
                sum[d + 4u] += slope * subgroupBroadcast(x, 4u);
                sum[d + 5u] += slope * subgroupBroadcast(x, 5u);
                sum[d + 6u] += slope * subgroupBroadcast(x, 6u);
                sum[d + 7u] += slope * subgroupBroadcast(x, 7u);
            }
        }
    }
    for (var part = 0u; part < PARTS; part++) {
        for (var e = 0u; e < LANES; e++) {
            let d = part * LANES + e;
            if d < HEAD_DIM {
                if live.x { dq[at.x + d] = sum[d].x; }
                if live.y { dq[at.y + d] = sum[d].y; }
                if live.z { dq[at.z + d] = sum[d].z; }
                if live.w { dq[at.w + d] = sum[d].w; }
            }
        }
    }
}

// dk = scale dsT q, dv = pT dout   with p = exp(scale q kT - lse), ds = p (dout vT - delta)
// q, dout [B,T,H,D]  k, v, dk, dv [B,S,K,D]  rows [B,H,T] of (lse, delta, first, last), see backward_rows.wgsl
// For adapters whose loads are dear: a subgroup of LANES lanes owns BLOCK keys of one key/value head, four in each lane's
// registers, and walks over all queries of the heads that read it; a query's numbers go round by broadcast. One owner per
// output: no atomics.
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
@group(0) @binding(4) var<storage, read_write> rows: array<u32>;
@group(0) @binding(5) var<storage, read_write> dk: array<f32>;
@group(0) @binding(6) var<storage, read_write> dv: array<f32>;
@group(0) @binding(7) var<storage, read> params: array<u32>; // [T, S, H, K, tiles of S, workgroups, scale as f32 bits]

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
    let kv_head = (unit / tiles) % kv;
    let batch = unit / tiles / kv;
    let heads = h / kv;

    let first_key = (unit % tiles) * BLOCK;
    let key = vec4(first_key + lane) + LANES * vec4(0u, 1u, 2u, 3u);
    let live = key < vec4(s);
    let at = ((vec4(batch * s) + min(key, vec4(s - 1u))) * kv + kv_head) * HEAD_DIM;

    var k_rows: array<vec4<f32>, PADDED>; // four keys a vector; 0 beyond HEAD_DIM
    var v_rows: array<vec4<f32>, PADDED>;
    var dk_sum: array<vec4<f32>, PADDED>;
    var dv_sum: array<vec4<f32>, PADDED>;
    for (var part = 0u; part < PARTS; part++) {
        for (var e = 0u; e < LANES; e++) {
            let d = min(part * LANES + e, HEAD_DIM - 1u);
            let real = part * LANES + e < HEAD_DIM;
            k_rows[part * LANES + e] = select(vec4(0.0), vec4(k[at.x + d], k[at.y + d], k[at.z + d], k[at.w + d]), real);
            v_rows[part * LANES + e] = select(vec4(0.0), vec4(v[at.x + d], v[at.y + d], v[at.z + d], v[at.w + d]), real);
            dk_sum[part * LANES + e] = vec4(0.0);
            dv_sum[part * LANES + e] = vec4(0.0);
        }
    }
    for (var step = 0u; step < heads * t; step++) {
        let head = kv_head * heads + step / t;
        let query = step % t;
        let facts = rows[((batch * h + head) * t + query) * 4u + lane % 4u];
        let begins = bitcast<i32>(subgroupBroadcast(facts, 2u));
        let ends = bitcast<i32>(subgroupBroadcast(facts, 3u));
        if begins >= i32(first_key + BLOCK) || ends < i32(first_key) { continue; }
        let lse = bitcast<f32>(subgroupBroadcast(facts, 0u));
        let delta = bitcast<f32>(subgroupBroadcast(facts, 1u));

        let query_at = ((batch * t + query) * h + head) * HEAD_DIM;
        var score = vec4(0.0);
        var dp = vec4(0.0);
        var q_parts: array<f32, PARTS>;
        var dout_parts: array<f32, PARTS>;
        for (var part = 0u; part < PARTS; part++) {
            let x = q[query_at + min(part * LANES + lane, HEAD_DIM - 1u)];
            let y = dout[query_at + min(part * LANES + lane, HEAD_DIM - 1u)];
            let d = part * LANES;
            q_parts[part] = x;
            dout_parts[part] = y;
            score += k_rows[d + 0u] * subgroupBroadcast(x, 0u);
            dp += v_rows[d + 0u] * subgroupBroadcast(y, 0u);
            score += k_rows[d + 1u] * subgroupBroadcast(x, 1u);
            dp += v_rows[d + 1u] * subgroupBroadcast(y, 1u);
            score += k_rows[d + 2u] * subgroupBroadcast(x, 2u);
            dp += v_rows[d + 2u] * subgroupBroadcast(y, 2u);
            score += k_rows[d + 3u] * subgroupBroadcast(x, 3u);
            dp += v_rows[d + 3u] * subgroupBroadcast(y, 3u);
            if LANES == 8u {
                score += k_rows[d + 4u] * subgroupBroadcast(x, 4u);
                dp += v_rows[d + 4u] * subgroupBroadcast(y, 4u);
                score += k_rows[d + 5u] * subgroupBroadcast(x, 5u);
                dp += v_rows[d + 5u] * subgroupBroadcast(y, 5u);
                score += k_rows[d + 6u] * subgroupBroadcast(x, 6u);
                dp += v_rows[d + 6u] * subgroupBroadcast(y, 6u);
                score += k_rows[d + 7u] * subgroupBroadcast(x, 7u);
                dp += v_rows[d + 7u] * subgroupBroadcast(y, 7u);
            }
        }
        let sees = (vec4<i32>(key) >= vec4(begins)) & (vec4<i32>(key) <= vec4(ends));
        let weight = select(vec4(0.0), exp(scale * score - lse), sees);
        let slope = scale * weight * (dp - delta);
        for (var part = 0u; part < PARTS; part++) {
            let x = q_parts[part];
            let y = dout_parts[part];
            let d = part * LANES;
            dk_sum[d + 0u] += slope * subgroupBroadcast(x, 0u);
            dv_sum[d + 0u] += weight * subgroupBroadcast(y, 0u);
            dk_sum[d + 1u] += slope * subgroupBroadcast(x, 1u);
            dv_sum[d + 1u] += weight * subgroupBroadcast(y, 1u);
            dk_sum[d + 2u] += slope * subgroupBroadcast(x, 2u);
            dv_sum[d + 2u] += weight * subgroupBroadcast(y, 2u);
            dk_sum[d + 3u] += slope * subgroupBroadcast(x, 3u);
            dv_sum[d + 3u] += weight * subgroupBroadcast(y, 3u);
            if LANES == 8u {
                dk_sum[d + 4u] += slope * subgroupBroadcast(x, 4u);
                dv_sum[d + 4u] += weight * subgroupBroadcast(y, 4u);
                dk_sum[d + 5u] += slope * subgroupBroadcast(x, 5u);
                dv_sum[d + 5u] += weight * subgroupBroadcast(y, 5u);
                dk_sum[d + 6u] += slope * subgroupBroadcast(x, 6u);
                dv_sum[d + 6u] += weight * subgroupBroadcast(y, 6u);
                dk_sum[d + 7u] += slope * subgroupBroadcast(x, 7u);
                dv_sum[d + 7u] += weight * subgroupBroadcast(y, 7u);
            }
        }
    }
    for (var part = 0u; part < PARTS; part++) {
        for (var e = 0u; e < LANES; e++) {
            let d = part * LANES + e;
            if d < HEAD_DIM {
                if live.x { dk[at.x + d] = dk_sum[d].x; dv[at.x + d] = dv_sum[d].x; }
                if live.y { dk[at.y + d] = dk_sum[d].y; dv[at.y + d] = dv_sum[d].y; }
                if live.z { dk[at.z + d] = dk_sum[d].z; dv[at.z + d] = dv_sum[d].z; }
                if live.w { dk[at.w + d] = dk_sum[d].w; dv[at.w + d] = dv_sum[d].w; }
            }
        }
    }
}

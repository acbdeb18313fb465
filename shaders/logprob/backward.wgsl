// dlogits = (g0 (onehot - p) - g1 p (log p + entropy)) / temperature   with log p = logits / temperature - lse
// logits, dlogits [R,V] of rows first ... first + R of N  targets, lse [N]  stats, g [3,N] (rows: log p, entropy, top-1 hit; the last has no slope)
// One workgroup per row, one lane per WG columns.
// Twin: evenkeel-kernels/src/reference/logprob.rs (backward)
const WG = 256u;

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> targets: array<i32>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;
@group(0) @binding(3) var<storage, read_write> stats: array<f32>;
@group(0) @binding(4) var<storage, read_write> g: array<f32>;
@group(0) @binding(5) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(6) var<storage, read> params: array<u32>; // [R, V, 1 / temperature as f32 bits, N, first]

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = params[3];
    let v = params[1];
    let inv_temperature = bitcast<f32>(params[2]);
    let row = group.x + group.y * groups.x;
    if row >= params[0] { return; }
    let at = params[4] + row;
    let g_logprob = g[at];
    let g_entropy = g[n + at];
    let entropy = stats[n + at];
    let row_lse = lse[at];
    let target_index = u32(clamp(targets[at], 0, i32(v) - 1));

    for (var j = lane; j < v; j += WG) {
        let logprob = logits[row * v + j] * inv_temperature - row_lse;
        let p = exp(logprob);
        var slope = 0.0;
        if p > 0.0 { slope = p * (logprob + entropy); }
        let onehot = select(0.0, 1.0, j == target_index);
        dlogits[row * v + j] = (g_logprob * (onehot - p) - g_entropy * slope) * inv_temperature;
    }
}

// dlogits = (g0 (onehot - p) - g1 p (log p + entropy)) / temperature   with log p = logits / temperature - lse
// logits, dlogits [R,V] of rows first ... first + R of N, PITCH words from row to row; beyond V dlogits is 0
// targets, lse [N]  stats, g [3,N] (rows: log p, entropy, top-1 hit; the last has no slope)
// One workgroup per row, one lane per WG words.
// Twin: evenkeel-kernels/src/reference/logprob.rs (backward)
const WG = 256u;
alias WORD = f32;
const WIDTH = 1u; // numbers of a word

@group(0) @binding(0) var<storage, read_write> logits: array<WORD>;
@group(0) @binding(1) var<storage, read_write> targets: array<i32>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;
@group(0) @binding(3) var<storage, read_write> stats: array<f32>;
@group(0) @binding(4) var<storage, read_write> g: array<f32>;
@group(0) @binding(5) var<storage, read_write> dlogits: array<WORD>;
@group(0) @binding(6) var<storage, read> params: array<u32>; // [R, V, 1 / temperature as f32 bits, N, first, PITCH]

// x, x + 1, ...
fn spread(x: f32) -> WORD { return WORD(x); }

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
    let target_index = f32(clamp(targets[at], 0, i32(v) - 1));

    for (var j = lane; j < (v + WIDTH - 1u) / WIDTH; j += WG) {
        let column = spread(f32(j * WIDTH));
        let place = row * params[5] + j;
        let logprob = logits[place] * inv_temperature - row_lse;
        let p = exp(logprob);
        let slope = select(WORD(0.0), p * (logprob + entropy), p > WORD(0.0));
        let onehot = select(WORD(0.0), WORD(1.0), column == WORD(target_index));
        let d = (g_logprob * (onehot - p) - g_entropy * slope) * inv_temperature;
        dlogits[place] = select(WORD(0.0), d, column < WORD(f32(v)));
    }
}

// out = the sum of x, x + 1 and x + 2, each after 8 rounds times y <- s y + t
// x and out [N] in words
// One lane per word, three chains that do not wait for each other, nothing loaded between: how many products and sums a second the
// adapter makes, which no kernel exceeds.
// Source: fused multiply-add. Twin: evenkeel-kernels/src/reference/ceiling.rs (fma)
alias WORD = f32;
const WG = 256u;

@group(0) @binding(0) var<storage, read_write> x: array<WORD>;
@group(0) @binding(1) var<storage, read_write> out: array<WORD>;
@group(0) @binding(2) var<storage, read> params: array<u32>; // [words, rounds, s and t as f32 bits]

fn twice(y: WORD, s: WORD, t: WORD) -> WORD { return fma(fma(y, s, t), s, t); }

fn eight_times(y: WORD, s: WORD, t: WORD) -> WORD { return twice(twice(twice(twice(y, s, t), s, t), s, t), s, t); }

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at >= params[0] { return; }
    let s = WORD(bitcast<f32>(params[2]));
    let t = WORD(bitcast<f32>(params[3]));
    var a = x[at];
    var b = a + WORD(1.0);
    var c = a + WORD(2.0);
    for (var round = 0u; round < params[1]; round++) {
        a = eight_times(a, s, t);
        b = eight_times(b, s, t);
        c = eight_times(c, s, t);
    }
    out[at] = a + b + c;
}

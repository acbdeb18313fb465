// rows[b,h,i] = (bits of lse, bits of delta, first, last)   with delta = sum_d dout out
// out, dout [B,T,H,D]  lse [B,T,H]  first, last [B,T]  rows [B,H,T] of vec4<u32>
// What both gradient kernels need to know of a query, packed so that they stay within 8 storage buffers; first is at
// least 0 and last at most S - 1. One lane per row.
// Twin: evenkeel-kernels/src/reference/attention.rs (backward)
const WG = 64u;
const HEAD_DIM = 64u;
alias WORD = f32;
const WIDTH = 1u; // numbers of a word
const WORDS = HEAD_DIM / WIDTH;

@group(0) @binding(0) var<storage, read_write> out: array<WORD>;
@group(0) @binding(1) var<storage, read_write> dout: array<WORD>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;
@group(0) @binding(3) var<storage, read_write> first: array<i32>;
@group(0) @binding(4) var<storage, read_write> last: array<i32>;
@group(0) @binding(5) var<storage, read_write> rows: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read> params: array<u32>; // [B·T·H, T, S, H]

// The sum of the numbers of a word.
fn across(x: WORD) -> f32 { return x; }

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane; // (b T + i) H + h
    if at >= params[0] { return; }
    let t = params[1];
    let h = params[3];
    let query = at / h;

    var products = WORD(0.0);
    for (var d = 0u; d < WORDS; d++) { products += dout[at * WORDS + d] * out[at * WORDS + d]; }
    let delta = across(products);

    let begins = max(first[query], 0);
    let ends = min(last[query], i32(params[2]) - 1);
    rows[((query / t) * h + at % h) * t + query % t] =
        vec4<u32>(bitcast<u32>(lse[at]), bitcast<u32>(delta), bitcast<u32>(begins), bitcast<u32>(ends));
}

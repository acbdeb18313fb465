// partial[first + g] = sum of x^2 over the numbers of workgroup g
// x0 … x5 [N each, 0 where there is none], partial [P]
// Each tensor has workgroups of its own; each lane sums every (its groups WG)-th word, then a tree over the lanes: no atomics, the same sum every time.
// Twin: evenkeel-kernels/src/reference/optim.rs (sum_squares)
const WG = 256u;
alias WORD = f32;

@group(0) @binding(0) var<storage, read_write> x0: array<WORD>;
@group(0) @binding(1) var<storage, read_write> x1: array<WORD>;
@group(0) @binding(2) var<storage, read_write> x2: array<WORD>;
@group(0) @binding(3) var<storage, read_write> x3: array<WORD>;
@group(0) @binding(4) var<storage, read_write> x4: array<WORD>;
@group(0) @binding(5) var<storage, read_write> x5: array<WORD>;
@group(0) @binding(6) var<storage, read_write> partial: array<f32>;
// [first, groups of all tensors up to and with each (6), words of each (6)]
@group(0) @binding(7) var<storage, read> params: array<u32>;

var<workgroup> lanes: array<f32, WG>;

// The sum of the numbers of a word.
fn across(x: WORD) -> f32 { return x; }

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var tensor = 0u;
    var before = 0u;
    while group.x >= params[1u + tensor] {
        before = params[1u + tensor];
        tensor += 1u;
    }
    let words = params[7u + tensor];
    let stride = (params[1u + tensor] - before) * WG;
    var sum = WORD(0.0);
    var at = (group.x - before) * WG + lane;
    switch tensor {
        case 0u: { for (; at < words; at += stride) { sum += x0[at] * x0[at]; } }
        case 1u: { for (; at < words; at += stride) { sum += x1[at] * x1[at]; } }
        case 2u: { for (; at < words; at += stride) { sum += x2[at] * x2[at]; } }
        case 3u: { for (; at < words; at += stride) { sum += x3[at] * x3[at]; } }
        case 4u: { for (; at < words; at += stride) { sum += x4[at] * x4[at]; } }
        default: { for (; at < words; at += stride) { sum += x5[at] * x5[at]; } }
    }
    lanes[lane] = across(sum);
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half { lanes[lane] += lanes[lane + half]; }
        workgroupBarrier();
    }
    if lane == 0u { partial[params[0] + group.x] = lanes[0]; }
}

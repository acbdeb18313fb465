// norm = sqrt(sum of partial), scale = min(1, max_norm / (norm + 1e-6)); max_norm 0: no clipping, scale 1
// A norm that is not finite gives scale -1, at which adamw.wgsl does nothing, and so does a last scale of -1.
// partial [P]  last, clip [2]: norm, scale
// One workgroup.
// Source: PyTorch's clip_grad_norm_. Twin: evenkeel-kernels/src/reference/optim.rs (clip)
const WG = 256u;

@group(0) @binding(0) var<storage, read_write> partial: array<f32>;
@group(0) @binding(1) var<storage, read_write> last: array<f32>;
@group(0) @binding(2) var<storage, read_write> clip: array<f32>;
@group(0) @binding(3) var<storage, read> params: array<u32>; // [P, max_norm as f32 bits]

var<workgroup> lanes: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var at = lane; at < params[0]; at += WG) { sum += partial[at]; }
    lanes[lane] = sum;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half { lanes[lane] += lanes[lane + half]; }
        workgroupBarrier();
    }
    if lane > 0u { return; }
    let norm = sqrt(lanes[0]);
    let max_norm = bitcast<f32>(params[1]);
    var scale = 1.0;
    if max_norm > 0.0 { scale = min(1.0, max_norm / (norm + 1e-6)); }
    // By its bits: a compiler may take for granted that numbers are finite.
    if (bitcast<u32>(lanes[0]) & 0x7f800000u) == 0x7f800000u || last[1] < 0.0 { scale = -1.0; }
    clip[0] = norm;
    clip[1] = scale;
}

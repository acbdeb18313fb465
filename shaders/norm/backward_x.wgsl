// dx = r (g - mean(g) - xhat mean(g xhat)) + residual   with g = dy weight, xhat = (x - mean) r; mean(g) only where CENTRED
// x, dy, dx [N,D]  weight [D]  stats [N,2], see forward.wgsl  residual [N,D]: the gradient that goes past the norm, or none
// One workgroup per row: both means by one tree, then the row again.
// Source: derivative of forward.wgsl. Twin: evenkeel-kernels/src/reference/norm.rs (backward_x)
const WG = 64u;
const CENTRED = 0u;
alias WORD = f32;

@group(0) @binding(0) var<storage, read_write> x: array<WORD>;
@group(0) @binding(1) var<storage, read_write> weight: array<WORD>;
@group(0) @binding(2) var<storage, read_write> stats: array<f32>;
@group(0) @binding(3) var<storage, read_write> dy: array<WORD>;
@group(0) @binding(4) var<storage, read_write> residual: array<WORD>;
@group(0) @binding(5) var<storage, read_write> dx: array<WORD>;
@group(0) @binding(6) var<storage, read> params: array<u32>; // [N, words of D, has residual, D]

var<workgroup> lanes: array<vec2<f32>, WG>;

// The sum of the numbers of a word.
fn across(x: WORD) -> f32 { return x; }

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let d = params[1];
    let row = group.x + group.y * groups.x;
    if row >= params[0] { return; }
    let start = row * d;
    let mean = stats[2u * row];
    let r = stats[2u * row + 1u];

    var of_g = WORD(0.0);
    var of_g_xhat = WORD(0.0);
    for (var j = lane; j < d; j += WG) {
        let g = dy[start + j] * weight[j];
        of_g += g;
        of_g_xhat += g * ((x[start + j] - mean) * r);
    }
    lanes[lane] = vec2(across(of_g), across(of_g_xhat));
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if lane < half { lanes[lane] += lanes[lane + half]; }
        workgroupBarrier();
    }
    let means = lanes[0] / f32(params[3]);

    for (var j = lane; j < d; j += WG) {
        var slope = dy[start + j] * weight[j] - (x[start + j] - mean) * r * means.y;
        if CENTRED == 1u { slope -= means.x; }
        var out = r * slope;
        if params[2] == 1u { out += residual[start + j]; }
        dx[start + j] = out;
    }
}

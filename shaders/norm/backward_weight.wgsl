// dweight[j] = sum over rows of dy (x - mean) r,   dbias[j] = sum over rows of dy (only where CENTRED)
// x, dy [N,D]  stats [N,2], see forward.wgsl  dweight, dbias [D]
// One workgroup owns COLUMNS words of columns; lane (i, c) sums every ROWS-th row of column c, then a tree over i: no atomics, the
// same sum every time.
// Source: derivative of forward.wgsl. Twin: evenkeel-kernels/src/reference/norm.rs (backward_weight)
const COLUMNS = 16u;
const ROWS = 16u;
const LANES = COLUMNS * ROWS;
const CENTRED = 0u;
alias WORD = f32;

@group(0) @binding(0) var<storage, read_write> x: array<WORD>;
@group(0) @binding(1) var<storage, read_write> stats: array<f32>;
@group(0) @binding(2) var<storage, read_write> dy: array<WORD>;
@group(0) @binding(3) var<storage, read_write> dweight: array<WORD>;
@group(0) @binding(4) var<storage, read_write> dbias: array<WORD>;
@group(0) @binding(5) var<storage, read> params: array<u32>; // [N, words of D]

var<workgroup> of_weight: array<WORD, LANES>;
var<workgroup> of_bias: array<WORD, LANES>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = params[0];
    let d = params[1];
    let first_column = (group.x + group.y * groups.x) * COLUMNS;
    if first_column >= d { return; }
    let column = first_column + lane % COLUMNS;
    let live = column < d;

    var weight_sum = WORD(0.0);
    var bias_sum = WORD(0.0);
    if live {
        for (var row = lane / COLUMNS; row < n; row += ROWS) {
            let slope = dy[row * d + column];
            weight_sum += slope * (x[row * d + column] - stats[2u * row]) * stats[2u * row + 1u];
            bias_sum += slope;
        }
    }
    of_weight[lane] = weight_sum;
    of_bias[lane] = bias_sum;
    workgroupBarrier();
    for (var half = ROWS / 2u; half > 0u; half /= 2u) {
        if lane / COLUMNS < half {
            of_weight[lane] += of_weight[lane + half * COLUMNS];
            of_bias[lane] += of_bias[lane + half * COLUMNS];
        }
        workgroupBarrier();
    }
    if live && lane < COLUMNS {
        dweight[column] = of_weight[lane];
        if CENTRED == 1u { dbias[column] = of_bias[lane]; }
    }
}

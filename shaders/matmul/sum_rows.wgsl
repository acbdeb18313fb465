// out[j] = sum over rows of x[i,j]: the gradient of a bias
// x [N,D]  out [D]
// One workgroup owns COLUMNS words of columns; lane (i, c) sums every ROWS-th row of column c, then a tree over i: no atomics, the
// same sum every time.
// Twin: evenkeel-kernels/src/reference/matmul.rs (sum_rows)
const COLUMNS = 16u;
const ROWS = 16u;
const LANES = COLUMNS * ROWS;
alias WORD = f32;

@group(0) @binding(0) var<storage, read_write> x: array<WORD>;
@group(0) @binding(1) var<storage, read_write> out: array<WORD>;
@group(0) @binding(2) var<storage, read> params: array<u32>; // [N, words of D]

var<workgroup> lanes: array<WORD, LANES>;

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

    var sum = WORD(0.0);
    if live {
        for (var row = lane / COLUMNS; row < n; row += ROWS) { sum += x[row * d + column]; }
    }
    lanes[lane] = sum;
    workgroupBarrier();
    for (var half = ROWS / 2u; half > 0u; half /= 2u) {
        if lane / COLUMNS < half { lanes[lane] += lanes[lane + half * COLUMNS]; }
        workgroupBarrier();
    }
    if live && lane < COLUMNS { out[column] = lanes[lane]; }
}

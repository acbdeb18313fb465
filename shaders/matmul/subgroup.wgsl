// out = a b, or a b + bias, or either + residual, or either + out
// a [M,K]  b [K,N], either stored transposed  bias [N]  residual, out [M,N], all in words of four numbers; rows of a matrix may be longer
// than it is wide: what lies between is 0 in one operand and finite in the other, and of out it is written too.
// For adapters whose loads are dear and whose subgroups have 4 or 8 lanes (CPU rasterisers): one subgroup per tile of 16 x 32 or
// 32 x 64. Every 4 steps of k a lane loads four rows of a and eight columns of b; rows go round by broadcast, so that 12 loads feed
// 64 or 256 products of four by four. Sums run in order of k, whatever M is. No workgroup memory.
// Tiles at the far edges are moved back until they fit: they compute numbers of their neighbours once more, to the same bits.
// Source: outer products in registers. Twin: evenkeel-kernels/src/reference/matmul.rs (matmul)
const LANES = 8u;
const A_TRANSPOSED = 0u;
const B_TRANSPOSED = 1u;
const ADDED = 1u; // 1 where residual is added, 2 where what out holds is
const ROW_LANES = 8u; // lanes whose rows of a are wanted: 1 where M is small
const FITS = 0u; // 1 where out is at least as large as a tile
const ROWS = 4u * ROW_LANES;
const COLUMNS = 8u * LANES;

@group(0) @binding(0) var<storage, read_write> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> params: array<u32>; // [M, N, K, words from row to row of a, b and out, has bias]

var<private> low: array<vec4<f32>, 4u * LANES>; // sums of every row of the tile and a lane's columns
var<private> high: array<vec4<f32>, 4u * LANES>;

// The numbers `row` ... `row + 3` by k ... k + 3 of an operand whose rows lie along k: a column for each row.
fn along_k(row: u32, k: u32, rows: u32, stride: u32, is_a: bool) -> mat4x4<f32> {
    let at = min(vec4(row) + vec4(0u, 1u, 2u, 3u), vec4(rows - 1u)) * stride + k / 4u;
    if is_a { return mat4x4(a[at.x], a[at.y], a[at.z], a[at.w]); }
    return mat4x4(b[at.x], b[at.y], b[at.z], b[at.w]);
}

// The same of an operand whose rows lie across k: a column for each k.
fn across_k(row: u32, k: u32, stride: u32, is_a: bool) -> mat4x4<f32> {
    let at = min(vec4(k) + vec4(0u, 1u, 2u, 3u), vec4(params[2] - 1u)) * stride + min(row / 4u, stride - 1u);
    if is_a { return mat4x4(a[at.x], a[at.y], a[at.z], a[at.w]); }
    return mat4x4(b[at.x], b[at.y], b[at.z], b[at.w]);
}

fn columns_of_b(column: u32, k: u32) -> mat4x4<f32> {
    if B_TRANSPOSED == 1u { return transpose(along_k(column, k, params[1], params[4], false)); }
    return across_k(column, k, params[4], false);
}

// sum + x b
fn times(x: vec4<f32>, b: mat4x4<f32>, sum: vec4<f32>) -> vec4<f32> {
    return fma(vec4(x.w), b[3], fma(vec4(x.z), b[2], fma(vec4(x.y), b[1], fma(vec4(x.x), b[0], sum))));
}

fn add_row(row: u32, x: vec4<f32>, b_low: mat4x4<f32>, b_high: mat4x4<f32>) {
    low[row] = times(x, b_low, low[row]);
    high[row] = times(x, b_high, high[row]);
}

// Row i of each lane's four.
fn add_rows(i: u32, x: vec4<f32>, b_low: mat4x4<f32>, b_high: mat4x4<f32>) {
    add_row(i, subgroupBroadcast(x, 0u), b_low, b_high);
    if ROW_LANES == 1u { return; }
    add_row(4u + i, subgroupBroadcast(x, 1u), b_low, b_high);
    add_row(8u + i, subgroupBroadcast(x, 2u), b_low, b_high);
    add_row(12u + i, subgroupBroadcast(x, 3u), b_low, b_high);
    if ROW_LANES == 4u { return; }
    add_row(16u + i, subgroupBroadcast(x, 4u), b_low, b_high);
    add_row(20u + i, subgroupBroadcast(x, 5u), b_low, b_high);
    add_row(24u + i, subgroupBroadcast(x, 6u), b_low, b_high);
    add_row(28u + i, subgroupBroadcast(x, 7u), b_low, b_high);
}

fn store(row: u32, word: u32, sum: vec4<f32>) {
    if FITS == 0u && (row >= params[0] || word >= params[5]) { return; }
    let at = row * params[5] + word;
    if ADDED == 1u { out[at] = sum + residual[at]; } else if ADDED == 2u { out[at] += sum; } else { out[at] = sum; }
}

fn store_row(row: u32, first_row: u32, word: u32, bias_low: vec4<f32>, bias_high: vec4<f32>) {
    store(first_row + row, word, low[row] + bias_low);
    store(first_row + row, word + LANES, high[row] + bias_high);
}

// The four rows of one lane.
fn store_rows(row: u32, first_row: u32, word: u32, bias_low: vec4<f32>, bias_high: vec4<f32>) {
    store_row(row, first_row, word, bias_low, bias_high);
    store_row(row + 1u, first_row, word, bias_low, bias_high);
    store_row(row + 2u, first_row, word, bias_low, bias_high);
    store_row(row + 3u, first_row, word, bias_low, bias_high);
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let across = (params[1] + COLUMNS - 1u) / COLUMNS;
    let index = group.x + group.y * groups.x;
    var first_row = index / across * ROWS;
    var first_column = index % across * COLUMNS;
    if first_row >= params[0] { return; }
    if FITS == 1u {
        first_row = min(first_row, params[0] - ROWS);
        first_column = min(first_column, 4u * params[5] - COLUMNS);
    }
    let row = first_row + 4u * lane;
    let column = first_column + 4u * lane;
    for (var k = 0u; k < params[2]; k += 4u) {
        var rows: mat4x4<f32>;
        if A_TRANSPOSED == 1u { rows = transpose(across_k(row, k, params[3], true)); } else { rows = along_k(row, k, params[0], params[3], true); }
        let live = vec4(k) + vec4(0u, 1u, 2u, 3u) < vec4(params[2]);
        let b_low = columns_of_b(column, k);
        let b_high = columns_of_b(column + 4u * LANES, k);
        add_rows(0u, select(vec4(0.0), rows[0], live), b_low, b_high);
        add_rows(1u, select(vec4(0.0), rows[1], live), b_low, b_high);
        add_rows(2u, select(vec4(0.0), rows[2], live), b_low, b_high);
        add_rows(3u, select(vec4(0.0), rows[3], live), b_low, b_high);
    }
    var bias_low = vec4(0.0);
    var bias_high = vec4(0.0);
    if params[6] == 1u {
        bias_low = bias[min(column / 4u, params[5] - 1u)];
        bias_high = bias[min(column / 4u + LANES, params[5] - 1u)];
    }
    store_rows(0u, first_row, column / 4u, bias_low, bias_high);
    if ROW_LANES == 1u { return; }
    store_rows(4u, first_row, column / 4u, bias_low, bias_high);
    store_rows(8u, first_row, column / 4u, bias_low, bias_high);
    store_rows(12u, first_row, column / 4u, bias_low, bias_high);
    if ROW_LANES == 4u { return; }
    store_rows(16u, first_row, column / 4u, bias_low, bias_high);
    store_rows(20u, first_row, column / 4u, bias_low, bias_high);
    store_rows(24u, first_row, column / 4u, bias_low, bias_high);
    store_rows(28u, first_row, column / 4u, bias_low, bias_high);
}

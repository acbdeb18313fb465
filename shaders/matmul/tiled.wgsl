// out = a b, or a b + bias, or either + residual, or either + out
// a [M,K]  b [K,N], either transposed by its strides  bias [N]  residual, out [M,N], the rows of out `pitch` numbers apart
// One workgroup of SIDE x SIDE lanes per tile of 4 SIDE x 4 SIDE numbers; a lane owns 4 rows and 4 columns. Tiles of a and b pass
// through workgroup memory 16 steps of k at a time, four neighbours in a word; sums run in order of k, whatever M is.
// Source: tiled matrix product with register blocking. Twin: evenkeel-kernels/src/reference/matmul.rs (matmul)
const SIDE = 16u;
const TILE = 4u * SIDE;
const STEP = 16u;
const PITCH = SIDE + 1u; // a word of padding against bank conflicts

@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> residual: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
// [M, N, K, strides of a (m, k) and b (k, n), pitch, has bias, 1 where residual is added, 2 where what out holds is]
@group(0) @binding(5) var<storage, read> params: array<u32>;

var<workgroup> a_tile: array<vec4<f32>, STEP * PITCH>; // [k][four rows]
var<workgroup> b_tile: array<vec4<f32>, STEP * PITCH>; // [k][four columns]

// The `at`-th (word, k) of a tile, in the order in which memory holds them.
fn place(at: u32, k_is_dense: bool) -> vec2<u32> {
    return select(vec2(at % SIDE, at / SIDE), vec2(at / STEP, at % STEP), k_is_dense);
}

// A number of an operand; 0 beyond the edge.
fn of_a(row: u32, k: u32) -> f32 {
    if row < params[0] && k < params[2] { return a[row * params[3] + k * params[4]]; }
    return 0.0;
}

fn of_b(column: u32, k: u32) -> f32 {
    if column < params[1] && k < params[2] { return b[k * params[5] + column * params[6]]; }
    return 0.0;
}

// The sums of a lane: a row each, four columns. No loop goes over them: a driver that does not unroll it would keep them in memory.
var<private> sum_0: vec4<f32>;
var<private> sum_1: vec4<f32>;
var<private> sum_2: vec4<f32>;
var<private> sum_3: vec4<f32>;

fn add(step: u32, rows: u32, columns: u32) {
    let x = a_tile[step * PITCH + rows];
    let y = b_tile[step * PITCH + columns];
    sum_0 = fma(vec4(x.x), y, sum_0);
    sum_1 = fma(vec4(x.y), y, sum_1);
    sum_2 = fma(vec4(x.z), y, sum_2);
    sum_3 = fma(vec4(x.w), y, sum_3);
}

fn store(row: u32, column: u32, sum: f32) {
    if row >= params[0] || column >= params[1] { return; }
    var total = sum;
    let at = row * params[7] + column;
    if params[8] == 1u { total += bias[column]; }
    if params[9] == 1u { total += residual[at]; }
    if params[9] == 2u { total += out[at]; }
    out[at] = total;
}

fn store_row(row: u32, column: u32, sum: vec4<f32>) {
    store(row, column, sum.x);
    store(row, column + 1u, sum.y);
    store(row, column + 2u, sum.z);
    store(row, column + 3u, sum.w);
}

@compute @workgroup_size(SIDE * SIDE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let across = (params[1] + TILE - 1u) / TILE;
    let index = group.x + group.y * groups.x;
    let first_row = index / across * TILE;
    let first_column = index % across * TILE;
    if first_row >= params[0] { return; }
    let rows = lane / SIDE;
    let columns = lane % SIDE;

    for (var start = 0u; start < params[2]; start += STEP) {
        for (var at = lane; at < SIDE * STEP; at += SIDE * SIDE) {
            let in_a = place(at, params[4] == 1u);
            let row = first_row + 4u * in_a.x;
            let k = start + in_a.y;
            a_tile[in_a.y * PITCH + in_a.x] = vec4(of_a(row, k), of_a(row + 1u, k), of_a(row + 2u, k), of_a(row + 3u, k));

            let in_b = place(at, params[5] == 1u);
            let column = first_column + 4u * in_b.x;
            let b_k = start + in_b.y;
            b_tile[in_b.y * PITCH + in_b.x] =
                vec4(of_b(column, b_k), of_b(column + 1u, b_k), of_b(column + 2u, b_k), of_b(column + 3u, b_k));
        }
        workgroupBarrier();
        for (var step = 0u; step < STEP; step += 4u) {
            add(step, rows, columns);
            add(step + 1u, rows, columns);
            add(step + 2u, rows, columns);
            add(step + 3u, rows, columns);
        }
        workgroupBarrier();
    }
    let row = first_row + 4u * rows;
    let column = first_column + 4u * columns;
    store_row(row, column, sum_0);
    store_row(row + 1u, column, sum_1);
    store_row(row + 2u, column, sum_2);
    store_row(row + 3u, column, sum_3);
}

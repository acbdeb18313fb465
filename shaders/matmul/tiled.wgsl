// out = a b, or a b + bias, or a b + residual, or a b + bias + residual
// a [M,K]  b [K,N], either transposed by its strides  bias [N]  residual, out [M,N]
// One workgroup of SIDE x SIDE lanes per tile of 64 x 64; a lane owns 4 rows and every 16th column. Tiles of a and b pass
// through workgroup memory 16 steps of k at a time; sums run in order of k, whatever M is.
// Source: tiled matrix product with register blocking. Twin: evenkeel-kernels/src/reference/matmul.rs (matmul)
const TILE = 64u;
const SIDE = 16u;
const STEP = 16u;
const PITCH = TILE + 1u; // one word of padding against bank conflicts
const SHARE = TILE * STEP / (SIDE * SIDE);

@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> residual: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<storage, read> params: array<u32>; // [M, N, K, strides of a (m, k) and b (k, n), has bias, has residual]

var<workgroup> a_tile: array<f32, STEP * PITCH>; // [k][row]
var<workgroup> b_tile: array<f32, STEP * PITCH>; // [k][column]

// The `at`-th (row or column, k) of a tile, in the order in which memory holds them.
fn place(at: u32, k_is_dense: bool) -> vec2<u32> {
    return select(vec2(at % TILE, at / TILE), vec2(at / STEP, at % STEP), k_is_dense);
}

fn store(row: u32, column: u32, sum: f32) {
    if row >= params[0] || column >= params[1] { return; }
    var total = sum;
    let at = row * params[1] + column;
    if params[7] == 1u { total += bias[column]; }
    if params[8] == 1u { total += residual[at]; }
    out[at] = total;
}

@compute @workgroup_size(SIDE * SIDE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let m = params[0];
    let n = params[1];
    let k = params[2];
    let across = (n + TILE - 1u) / TILE;
    let index = group.x + group.y * groups.x;
    let first_row = index / across * TILE;
    let first_column = index % across * TILE;
    if first_row >= m { return; }
    let my_row = lane / SIDE * 4u;
    let my_column = lane % SIDE;

    var sums: array<vec4<f32>, 4>;
    for (var start = 0u; start < k; start += STEP) {
        for (var i = 0u; i < SHARE; i++) {
            let of_a = place(lane + i * SIDE * SIDE, params[4] == 1u);
            let row = first_row + of_a.x;
            let a_k = start + of_a.y;
            var value = 0.0;
            if row < m && a_k < k { value = a[row * params[3] + a_k * params[4]]; }
            a_tile[of_a.y * PITCH + of_a.x] = value;

            let of_b = place(lane + i * SIDE * SIDE, params[5] == 1u);
            let column = first_column + of_b.x;
            let b_k = start + of_b.y;
            value = 0.0;
            if column < n && b_k < k { value = b[b_k * params[5] + column * params[6]]; }
            b_tile[of_b.y * PITCH + of_b.x] = value;
        }
        workgroupBarrier();
        for (var step = 0u; step < STEP; step++) {
            let at = step * PITCH + my_column;
            let b_row = vec4(b_tile[at], b_tile[at + SIDE], b_tile[at + 2u * SIDE], b_tile[at + 3u * SIDE]);
            let start_a = step * PITCH + my_row;
            sums[0] += a_tile[start_a] * b_row;
            sums[1] += a_tile[start_a + 1u] * b_row;
            sums[2] += a_tile[start_a + 2u] * b_row;
            sums[3] += a_tile[start_a + 3u] * b_row;
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        for (var j = 0u; j < 4u; j++) { store(first_row + my_row + i, first_column + my_column + j * SIDE, sums[i][j]); }
    }
}

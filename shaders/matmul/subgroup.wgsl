// out = a b, or a b + bias, or a b + residual, or a b + bias + residual
// a [M,K]  b [K,N], either transposed by its strides  bias [N]  residual, out [M,N]
// For adapters whose loads are dear and whose subgroups have 4 or 8 lanes (CPU rasterisers): one subgroup per tile of 16 x 16 or
// 32 x 64. At each k a lane loads four rows of a and every LANES-th column of b; rows go round by broadcast, so that 8 loads
// feed 64 products, or 12 feed 256. Sums run in order of k, whatever M is. No workgroup memory.
// Source: outer products in registers. Twin: evenkeel-kernels/src/reference/matmul.rs (matmul)
const LANES = 8u;
const ROWS = 4u * LANES;
const COLUMNS = LANES * LANES;

@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> residual: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<storage, read> params: array<u32>; // [M, N, K, strides of a (m, k) and b (k, n), has bias, has residual]

fn store(row: u32, column: u32, sum: f32) {
    if column >= params[1] { return; }
    var total = sum;
    let at = row * params[1] + column;
    if params[7] == 1u { total += bias[column]; }
    if params[8] == 1u { total += residual[at]; }
    out[at] = total;
}

fn store_row(row: u32, column: u32, low: vec4<f32>, high: vec4<f32>) {
    if row >= params[0] { return; }
    store(row, column, low.x);
    store(row, column + LANES, low.y);
    store(row, column + 2u * LANES, low.z);
    store(row, column + 3u * LANES, low.w);
    if LANES == 8u {
        store(row, column + 4u * LANES, high.x);
        store(row, column + 5u * LANES, high.y);
        store(row, column + 6u * LANES, high.z);
        store(row, column + 7u * LANES, high.w);
    }
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let m = params[0];
    let n = params[1];
    let k = params[2];
    let across = (n + COLUMNS - 1u) / COLUMNS;
    let index = group.x + group.y * groups.x;
    let first_row = index / across * ROWS;
    if first_row >= m { return; }
    let column = index % across * COLUMNS + lane;

    // Beyond the edge the last row or column is read again and not stored.
    let a_at = min(vec4(first_row + lane) + LANES * vec4(0u, 1u, 2u, 3u), vec4(m - 1u)) * params[3];
    let low_at = min(vec4(column) + LANES * vec4(0u, 1u, 2u, 3u), vec4(n - 1u)) * params[6];
    let high_at = min(vec4(column) + LANES * vec4(4u, 5u, 6u, 7u), vec4(n - 1u)) * params[6];
    let a_stride = params[4];
    let b_stride = params[5];

    var low: array<vec4<f32>, 32>;
    var high: array<vec4<f32>, 32>;
    for (var step = 0u; step < k; step++) {
        let a_k = step * a_stride;
        let b_k = step * b_stride;
        let a0 = a[a_at.x + a_k];
        let a1 = a[a_at.y + a_k];
        let a2 = a[a_at.z + a_k];
        let a3 = a[a_at.w + a_k];
        let b_low = vec4(b[low_at.x + b_k], b[low_at.y + b_k], b[low_at.z + b_k], b[low_at.w + b_k]);
        var b_high = vec4(0.0); // columns that only 8 lanes own
        if LANES == 8u { b_high = vec4(b[high_at.x + b_k], b[high_at.y + b_k], b[high_at.z + b_k], b[high_at.w + b_k]); }
        var x = vec4(0.0);
        x = vec4(subgroupBroadcast(a0, 0u), subgroupBroadcast(a0, 1u), subgroupBroadcast(a0, 2u), subgroupBroadcast(a0, 3u));
        low[0u] += x.x * b_low; low[1u] += x.y * b_low;
        low[2u] += x.z * b_low; low[3u] += x.w * b_low;
        if LANES == 8u {
            high[0u] += x.x * b_high; high[1u] += x.y * b_high;
            high[2u] += x.z * b_high; high[3u] += x.w * b_high;
            x = vec4(subgroupBroadcast(a0, 4u), subgroupBroadcast(a0, 5u), subgroupBroadcast(a0, 6u), subgroupBroadcast(a0, 7u));
            low[4u] += x.x * b_low; low[5u] += x.y * b_low;
            low[6u] += x.z * b_low; low[7u] += x.w * b_low;
            high[4u] += x.x * b_high; high[5u] += x.y * b_high;
            high[6u] += x.z * b_high; high[7u] += x.w * b_high;
        }
        x = vec4(subgroupBroadcast(a1, 0u), subgroupBroadcast(a1, 1u), subgroupBroadcast(a1, 2u), subgroupBroadcast(a1, 3u));
        low[1u * LANES + 0u] += x.x * b_low; low[1u * LANES + 1u] += x.y * b_low;
        low[1u * LANES + 2u] += x.z * b_low; low[1u * LANES + 3u] += x.w * b_low;
        if LANES == 8u {
            high[1u * LANES + 0u] += x.x * b_high; high[1u * LANES + 1u] += x.y * b_high;
            high[1u * LANES + 2u] += x.z * b_high; high[1u * LANES + 3u] += x.w * b_high;
            x = vec4(subgroupBroadcast(a1, 4u), subgroupBroadcast(a1, 5u), subgroupBroadcast(a1, 6u), subgroupBroadcast(a1, 7u));
            low[1u * LANES + 4u] += x.x * b_low; low[1u * LANES + 5u] += x.y * b_low;
            low[1u * LANES + 6u] += x.z * b_low; low[1u * LANES + 7u] += x.w * b_low;
            high[1u * LANES + 4u] += x.x * b_high; high[1u * LANES + 5u] += x.y * b_high;
            high[1u * LANES + 6u] += x.z * b_high; high[1u * LANES + 7u] += x.w * b_high;
        }
        x = vec4(subgroupBroadcast(a2, 0u), subgroupBroadcast(a2, 1u), subgroupBroadcast(a2, 2u), subgroupBroadcast(a2, 3u));
        low[2u * LANES + 0u] += x.x * b_low; low[2u * LANES + 1u] += x.y * b_low;
        low[2u * LANES + 2u] += x.z * b_low; low[2u * LANES + 3u] += x.w * b_low;
        if LANES == 8u {
            high[2u * LANES + 0u] += x.x * b_high; high[2u * LANES + 1u] += x.y * b_high;
            high[2u * LANES + 2u] += x.z * b_high; high[2u * LANES + 3u] += x.w * b_high;
            x = vec4(subgroupBroadcast(a2, 4u), subgroupBroadcast(a2, 5u), subgroupBroadcast(a2, 6u), subgroupBroadcast(a2, 7u));
            low[2u * LANES + 4u] += x.x * b_low; low[2u * LANES + 5u] += x.y * b_low;
            low[2u * LANES + 6u] += x.z * b_low; low[2u * LANES + 7u] += x.w * b_low;
            high[2u * LANES + 4u] += x.x * b_high; high[2u * LANES + 5u] += x.y * b_high;
            high[2u * LANES + 6u] += x.z * b_high; high[2u * LANES + 7u] += x.w * b_high;
        }
        x = vec4(subgroupBroadcast(a3, 0u), subgroupBroadcast(a3, 1u), subgroupBroadcast(a3, 2u), subgroupBroadcast(a3, 3u));
        low[3u * LANES + 0u] += x.x * b_low; low[3u * LANES + 1u] += x.y * b_low;
        low[3u * LANES + 2u] += x.z * b_low; low[3u * LANES + 3u] += x.w * b_low;
        if LANES == 8u {
            high[3u * LANES + 0u] += x.x * b_high; high[3u * LANES + 1u] += x.y * b_high;
            high[3u * LANES + 2u] += x.z * b_high; high[3u * LANES + 3u] += x.w * b_high;
            x = vec4(subgroupBroadcast(a3, 4u), subgroupBroadcast(a3, 5u), subgroupBroadcast(a3, 6u), subgroupBroadcast(a3, 7u));
            low[3u * LANES + 4u] += x.x * b_low; low[3u * LANES + 5u] += x.y * b_low;
            low[3u * LANES + 6u] += x.z * b_low; low[3u * LANES + 7u] += x.w * b_low;
            high[3u * LANES + 4u] += x.x * b_high; high[3u * LANES + 5u] += x.y * b_high;
            high[3u * LANES + 6u] += x.z * b_high; high[3u * LANES + 7u] += x.w * b_high;
        }
    }
    store_row(first_row + 0u, column, low[0], high[0]); store_row(first_row + 1u, column, low[1], high[1]);
    store_row(first_row + 2u, column, low[2], high[2]); store_row(first_row + 3u, column, low[3], high[3]);
    store_row(first_row + 4u, column, low[4], high[4]); store_row(first_row + 5u, column, low[5], high[5]);
    store_row(first_row + 6u, column, low[6], high[6]); store_row(first_row + 7u, column, low[7], high[7]);
    store_row(first_row + 8u, column, low[8], high[8]); store_row(first_row + 9u, column, low[9], high[9]);
    store_row(first_row + 10u, column, low[10], high[10]); store_row(first_row + 11u, column, low[11], high[11]);
    store_row(first_row + 12u, column, low[12], high[12]); store_row(first_row + 13u, column, low[13], high[13]);
    store_row(first_row + 14u, column, low[14], high[14]); store_row(first_row + 15u, column, low[15], high[15]);
    if LANES == 8u {
        store_row(first_row + 16u, column, low[16], high[16]); store_row(first_row + 17u, column, low[17], high[17]);
        store_row(first_row + 18u, column, low[18], high[18]); store_row(first_row + 19u, column, low[19], high[19]);
        store_row(first_row + 20u, column, low[20], high[20]); store_row(first_row + 21u, column, low[21], high[21]);
        store_row(first_row + 22u, column, low[22], high[22]); store_row(first_row + 23u, column, low[23], high[23]);
        store_row(first_row + 24u, column, low[24], high[24]); store_row(first_row + 25u, column, low[25], high[25]);
        store_row(first_row + 26u, column, low[26], high[26]); store_row(first_row + 27u, column, low[27], high[27]);
        store_row(first_row + 28u, column, low[28], high[28]); store_row(first_row + 29u, column, low[29], high[29]);
        store_row(first_row + 30u, column, low[30], high[30]); store_row(first_row + 31u, column, low[31], high[31]);
    }
}

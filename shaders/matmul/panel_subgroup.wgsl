// out = a b, or a b + bias, or either + residual
// a [M,K]  b [K,N], which may be stored transposed  bias [N]  residual, out [M,N], all in words of four numbers; rows of a matrix may be longer
// than it is wide: what lies between is 0 in one operand and finite in the other, and of out it is written too.
// For adapters whose loads are dear and whose subgroups have 4 or 8 lanes (CPU rasterisers), where rows are many: one subgroup per
// 8 LANES columns and `rows` rows. A panel of b, PANEL x 8 LANES numbers, is kept by the lanes, eight columns each, and read at constant
// places only; the rows of a pass by it, a number going round by broadcast, into the eight sums of a lane, which stay in registers.
// Where K is larger than a panel, out holds the sums between two of them. Sums run in order of k, whatever M is. No workgroup memory.
// Source: Goto and van de Geijn 2008, the panel-panel product. Twin: evenkeel-kernels/src/reference/matmul.rs (matmul)
const LANES = 8u;
const B_TRANSPOSED = 1u;
const ADDED = 1u; // where residual is added
const FITS = 0u; // 1 where the rows of out are a whole number of tiles
const EVEN = 0u; // 1 where K is a whole number of panels
const RUNS = 4u; // of 32 steps of k
const PANEL = 32u * RUNS;
const COLUMNS = 8u * LANES;

@group(0) @binding(0) var<storage, read_write> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> params: array<u32>; // [M, N, K, words from row to row of a, b and out, has bias, rows]

var<private> low: array<mat4x4<f32>, PANEL / 4u>; // of every k of the panel, the first four columns of a lane
var<private> high: array<mat4x4<f32>, PANEL / 4u>; // and the other four
var<private> sum_low: vec4<f32>;
var<private> sum_high: vec4<f32>;

// Columns `column` ... `column + 3` of b at k ... k + 3: a column for each k.
fn columns_of_b(column: u32, k: u32) -> mat4x4<f32> {
    let four = vec4(0u, 1u, 2u, 3u);
    if B_TRANSPOSED == 1u {
        let at = min(vec4(column) + four, vec4(params[1] - 1u)) * params[4] + k / 4u;
        return transpose(mat4x4(b[at.x], b[at.y], b[at.z], b[at.w]));
    }
    let at = min(vec4(k) + four, vec4(params[2] - 1u)) * params[4] + min(column / 4u, params[4] - 1u);
    return mat4x4(b[at.x], b[at.y], b[at.z], b[at.w]);
}

fn move_on(i: u32) {
    if i + 8u >= PANEL / 4u { return; }
    low[i] = low[i + 8u];
    high[i] = high[i + 8u];
}

fn move_new(i: u32) {
    low[PANEL / 4u - 8u + i] = low[PANEL / 4u - 7u + i];
    high[PANEL / 4u - 8u + i] = high[PANEL / 4u - 7u + i];
}

// Every place that is written must be a constant: what came first moves on.
fn fill(start: u32, column: u32) {
    for (var run = 0u; run < PANEL; run += 32u) {
        move_on(0u); move_on(1u); move_on(2u); move_on(3u); move_on(4u); move_on(5u); move_on(6u); move_on(7u);
        move_on(8u); move_on(9u); move_on(10u); move_on(11u); move_on(12u); move_on(13u); move_on(14u); move_on(15u);
        move_on(16u); move_on(17u); move_on(18u); move_on(19u); move_on(20u); move_on(21u); move_on(22u); move_on(23u);
        for (var k = start + run; k < start + run + 32u; k += 4u) {
            move_new(0u); move_new(1u); move_new(2u); move_new(3u); move_new(4u); move_new(5u); move_new(6u);
            low[PANEL / 4u - 1u] = columns_of_b(column, k);
            high[PANEL / 4u - 1u] = columns_of_b(column + 4u * LANES, k);
        }
    }
}

fn add(x: f32, k: u32) {
    sum_low = fma(vec4(x), low[k / 4u][k % 4u], sum_low);
    sum_high = fma(vec4(x), high[k / 4u][k % 4u], sum_high);
}

fn add_word(x: vec4<f32>, k: u32) {
    add(x.x, k); add(x.y, k + 1u); add(x.z, k + 2u); add(x.w, k + 3u);
}

// A word of each lane.
fn add_words(x: vec4<f32>, k: u32) {
    add_word(subgroupBroadcast(x, 0u), k); add_word(subgroupBroadcast(x, 1u), k + 4u);
    add_word(subgroupBroadcast(x, 2u), k + 8u); add_word(subgroupBroadcast(x, 3u), k + 12u);
    if LANES == 4u { return; }
    add_word(subgroupBroadcast(x, 4u), k + 16u); add_word(subgroupBroadcast(x, 5u), k + 20u);
    add_word(subgroupBroadcast(x, 6u), k + 24u); add_word(subgroupBroadcast(x, 7u), k + 28u);
}

// The numbers of a row of a that lie along k, from panel's k on; 0 beyond the edge.
fn row_word(row: u32, start: u32, k: u32, lane: u32) -> vec4<f32> {
    let at = k + 4u * lane;
    if EVEN == 1u { return a[row * params[3] + (start + at) / 4u]; }
    let live = vec4(start + at) + vec4(0u, 1u, 2u, 3u) < vec4(params[2]);
    return select(vec4(0.0), a[row * params[3] + min(start + at, params[2] - 1u) / 4u], live);
}

fn add_row(run: u32, row: u32, start: u32, lane: u32) {
    if run >= RUNS { return; }
    let k = 32u * run;
    add_words(row_word(row, start, k, lane), k);
    if LANES == 4u { add_words(row_word(row, start, k + 16u, lane), k + 16u); }
}

// The sums so far of a row.
fn begin(row: u32, start: u32, word: u32) {
    sum_low = vec4(0.0);
    sum_high = vec4(0.0);
    if start == 0u { return; }
    let at = row * params[5] + word;
    if FITS == 1u || word < params[5] { sum_low = out[at]; }
    if FITS == 1u || word + LANES < params[5] { sum_high = out[at + LANES]; }
}

fn store(at: u32, word: u32, sum: vec4<f32>, is_last: bool) {
    if FITS == 0u && word >= params[5] { return; }
    var total = sum;
    if is_last && params[6] == 1u { total += bias[word]; }
    if is_last && ADDED == 1u { total += residual[at]; }
    out[at] = total;
}

fn end(row: u32, start: u32, word: u32) {
    let at = row * params[5] + word;
    let is_last = start + PANEL >= params[2];
    store(at, word, sum_low, is_last);
    store(at + LANES, word + LANES, sum_high, is_last);
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let across = (params[1] + COLUMNS - 1u) / COLUMNS;
    let index = group.x + group.y * groups.x;
    let first_row = index / across * params[7];
    if first_row >= params[0] { return; }
    let last_row = min(params[0], first_row + params[7]) - 1u;
    let column = index % across * COLUMNS + 4u * lane;
    let word = column / 4u;
    for (var start = 0u; start < params[2]; start += PANEL) {
        fill(start, column);
        for (var row = first_row; row <= last_row; row++) {
            begin(row, start, word);
            add_row(0u, row, start, lane); add_row(1u, row, start, lane); add_row(2u, row, start, lane); add_row(3u, row, start, lane);
            end(row, start, word);
        }
    }
}

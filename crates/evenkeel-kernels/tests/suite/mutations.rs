//! Every guard fires: each shader with a deliberate defect must fail the twin test it is meant to be caught by.
//!
//! A defect keeps every binding in use: an unused one is not in the pipeline's layout, and the launch itself fails.

use burn::tensor::Device;
use evenkeel_kernels::launch::{Mutation, Variant, with_mutation, with_variant};

use crate::block_cases::BLOCKS;
use crate::cases::{ATTENTION, LOGITS, Maths};
use crate::common::{Output, Run, Tolerance, compare, cpu, gpu, subgroup_forms};
use crate::sampling_cases::SAMPLING;
use crate::twins::{ATTENTION_OUTLIER_TOLERANCE, BLOCK_TOLERANCE, LOGITS_TOLERANCE, MATMUL_TOLERANCE, SHARP_TOLERANCE};

pub struct Defect {
    what: &'static str,
    mutation: Mutation,
}

const fn defect(what: &'static str, kernel: &'static str, find: &'static str, replace: &'static str) -> Defect {
    Defect { what, mutation: Mutation { kernel, find, replace } }
}

pub const ATTENTION_DEFECTS: &[Defect] = &[
    defect("maximum never subtracted", "attention/forward", "new_largest = max(new_largest, scores[i * BLOCK + c]);", "new_largest = 0.0;"),
    defect("last tile skipped", "attention/forward", "tile <= block_span.y;", "tile + 16 <= block_span.y;"),
    defect("last key hidden", "attention/forward", "key <= ends", "key < ends"),
    defect("first key ignored", "attention/forward", "key >= begins && ", ""),
    defect("old sum not decayed", "attention/forward", "sum[c] *= decay;", "sum[c] *= 1.0;"),
    defect("last column of delta", "attention/backward_rows", "d < HEAD_DIM; d++", "d < HEAD_DIM - 1u; d++"),
    defect("last key hidden", "attention/backward_rows", "i32(params[2]) - 1", "i32(params[2]) - 2"),
    defect("delta not subtracted", "attention/backward_q", "(dp - delta)", "dp"),
    defect("last tile skipped", "attention/backward_q", "tile <= block_span.y;", "tile + 16 <= block_span.y;"),
    defect("last key hidden", "attention/backward_q", "key <= ends", "key < ends"),
    defect("last key hidden", "attention/backward_kv", "i32(key) <= ends", "i32(key) < ends"),
    defect("tail counted twice", "attention/backward_kv", "bitcast<i32>(facts.w), query < t", "bitcast<i32>(facts.w), true"),
    defect("only the first head of a group", "attention/backward_kv", "step < heads * steps", "step < steps"),
    defect(
        "block skipped too early",
        "attention/backward_kv",
        "block_span.x > i32(first_key + BLOCK - 1u)",
        "block_span.x > i32(first_key)",
    ),
];

pub const ATTENTION_SUBGROUP_DEFECTS: &[Defect] = &[
    defect(
        "maximum never subtracted",
        "attention/forward_subgroup",
        "let new_largest = max(largest, score);",
        "let new_largest = max(MASKED, vec4(0.0));",
    ),
    defect("last key skipped", "attention/forward_subgroup", "key <= stop;", "key < stop;"),
    defect("last key hidden", "attention/forward_subgroup", "vec4(key) <= ends", "vec4(key) < ends"),
    defect("old sum not decayed", "attention/forward_subgroup", "total = total * decay", "total = total"),
    defect(
        "number of another lane",
        "attention/forward_subgroup",
        "rows[d + 3u] * subgroupBroadcast(x, 3u)",
        "rows[d + 3u] * subgroupBroadcast(x, 2u)",
    ),
    defect("delta not subtracted", "attention/backward_q_subgroup", "(dp - delta)", "dp + 0.0 * delta"),
    defect("last key hidden", "attention/backward_q_subgroup", "vec4(key) <= ends", "vec4(key) < ends"),
    defect(
        "number of another lane",
        "attention/backward_q_subgroup",
        "sum[d + 1u] += slope * subgroupBroadcast(x, 1u)",
        "sum[d + 1u] += slope * subgroupBroadcast(x, 0u)",
    ),
    defect("last key hidden", "attention/backward_kv_subgroup", "vec4<i32>(key) <= vec4(ends)", "vec4<i32>(key) < vec4(ends)"),
    defect("only the first head of a group", "attention/backward_kv_subgroup", "step < heads * t;", "step < t;"),
    defect("query skipped too early", "attention/backward_kv_subgroup", "ends < i32(first_key)", "ends <= i32(first_key)"),
    defect("scale forgotten", "attention/backward_kv_subgroup", "scale * weight * (dp", "weight * (dp"),
];

pub const LOGPROB_DEFECTS: &[Defect] = &[
    defect("maximum never subtracted", "logprob/forward", "let row_max = largest_lanes[0] * inv_temperature;", "let row_max = 0.0;"),
    defect("last 5 columns skipped", "logprob/forward", "if e > 0.0 {", "if j + 5u < v {"),
    defect("last of equals wins", "logprob/forward", "other_index < index_lanes[lane]", "other_index > index_lanes[lane]"),
    defect("last 5 columns skipped", "logprob/backward", "j < v;", "j + 5u < v;"),
    defect("entropy without a slope", "logprob/backward", "slope = p * (logprob + entropy);", "slope = 0.0;"),
    defect("temperature forgotten", "logprob/backward", "- g_entropy * slope) * inv_temperature", "- g_entropy * slope)"),
];

pub const MATMUL_DEFECTS: &[Defect] = &[
    defect("last step of k skipped", "matmul/tiled", "a_k < k { value", "a_k + 1u < k { value"),
    defect("last column skipped", "matmul/tiled", "column >= params[1] {", "column + 1u >= params[1] {"),
    defect("residual forgotten", "matmul/tiled", "total += residual[", "total += 0.0 * residual["),
    defect("bias of another column", "matmul/tiled", "bias[column]", "bias[0u * column]"),
    defect(
        "one quarter of a tile loaded four times",
        "matmul/tiled",
        "let of_b = place(lane + i * SIDE * SIDE, params[5] == 1u)",
        "let of_b = place(lane, params[5] == 1u)",
    ),
];

pub const MATMUL_SUBGROUP_DEFECTS: &[Defect] = &[
    defect("last step of k skipped", "matmul/subgroup", "step < k;", "step < k - 1u;"),
    defect("last row skipped", "matmul/subgroup", "row >= params[0] {", "row + 1u >= params[0] {"),
    defect("residual forgotten", "matmul/subgroup", "total += residual[", "total += 0.0 * residual["),
    defect("bias of another column", "matmul/subgroup", "bias[column]", "bias[0u * column]"),
    defect("row of another lane", "matmul/subgroup", "subgroupBroadcast(a1, 3u)", "subgroupBroadcast(a1, 2u)"),
];

/// In what only subgroups of 8 lanes run.
const MATMUL_SUBGROUP8_DEFECTS: &[Defect] =
    &[defect("row of another lane", "matmul/subgroup", "subgroupBroadcast(a1, 5u)", "subgroupBroadcast(a1, 4u)")];

pub const BLOCK_DEFECTS: &[Defect] = &[
    defect("mean not subtracted", "norm/forward", "let centred = x[start + j] - mean;", "let centred = x[start + j];"),
    defect("last 5 columns skipped", "norm/forward", "squares += centred", "squares += select(0.0, 1.0, j + 5u < d) * centred"),
    defect("eps forgotten", "norm/forward", " + bitcast<f32>(params[2])", ""),
    defect(
        "last 5 columns skipped",
        "norm/backward_x",
        "(x[start + j] - mean) * r);",
        "select(0.0, (x[start + j] - mean) * r, j + 5u < d));",
    ),
    defect("pull not subtracted", "norm/backward_x", " * means.y", " * 0.0 * means.y"),
    defect("mean not subtracted", "norm/backward_x", "slope -= means.x;", "slope -= 0.0 * means.x;"),
    defect("residual forgotten", "norm/backward_x", "out += residual", "out += 0.0 * residual"),
    defect("last row skipped", "norm/backward_weight", "row < n;", "row < n - 1u;"),
    defect("r of the first row", "norm/backward_weight", " * stats[2u * row + 1u]", " * stats[1]"),
    defect("bias of the weight", "norm/backward_weight", "= lanes[lane].y", "= lanes[lane].x"),
    defect("last row skipped", "matmul/sum_rows", "row < n;", "row < n - 1u;"),
    defect("last number skipped", "activation/swiglu_forward", "at >= params[0]", "at >= params[0] - 1u"),
    defect("sign of the exponent", "activation/swiglu_forward", "exp(-clamp", "exp(clamp"),
    defect("slope of the sigmoid", "activation/swiglu_backward", " * (1.0 + gate * (1.0 - s))", ""),
    defect("last number skipped", "activation/gelu_forward", "at >= params[0]", "at >= params[0] - 1u"),
    defect("cubic term forgotten", "activation/gelu_forward", " + 0.044715 * z * z * z", ""),
    defect("slope of the angle", "activation/gelu_backward", " * (1.0 + 0.134145 * z * z)", ""),
    defect("wrong direction", "rope/rotate", " * bitcast<f32>(params[3])", ""),
    defect("angle of another token", "rope/rotate", "head / params[1] * half", "head % params[1] * half"),
    defect("old sum not decayed", "attention/decode", "total *= decay;", "total *= 1.0;"),
    defect("last key hidden", "attention/decode", "key <= last {", "key < last {"),
    defect("first key ignored", "attention/decode", "key >= begins && ", "begins < 10000u && "),
    defect("column of another number", "gather/forward", "row * d + at % d", "row * d + at % d * 0u"),
    defect("last row out of reach", "gather/forward", "i32(params[2]) - 1", "max(i32(params[2]) - 2, 0)"),
    defect("last of a row forgotten", "gather/backward", "i < starts[at / d + 1u];", "i < starts[at / d + 1u] - 1;"),
    defect("exponent not cut", "loss/ppo_policy", "clamp(log_ratio, -LIMIT, LIMIT)", "log_ratio"),
    defect("clipped on one side", "loss/ppo_policy", "clamp(ratio, 1.0 - clip, 1.0 + clip)", "min(ratio, 1.0 + clip)"),
    defect("slope where the clip decides", "loss/ppo_policy", "free >= clipped && ", ""),
    defect("not clipped", "loss/ppo_value", "clamp(moved, -clip, clip)", "moved"),
    defect("slope where the clip decides", "loss/ppo_value", "abs(moved) < clip)", "abs(moved) < 1e9)"),
    defect("keys not rotated", "rope/split", "head < h + kv {\n        let half", "head < h {\n        let half"),
    defect("column of another row", "rope/split", "token / params[1] * params[5]", "token / params[1] * params[1]"),
    defect("first column forgotten", "rope/split", " + params[6]", ""),
    defect("turned forwards", "rope/merge", "+ slope(is_q, place + half)", "- slope(is_q, place + half)"),
    defect("head of another part", "rope/merge", "head - h - kv) * d", "head - h - 1u) * d"),
    defect("decay forgotten", "optim/adamw", " - decay * param[at]", " - 0.0 * decay"),
    defect("everything decays", "optim/adamw", "at < params[1]", "at < params[1] + params[0]"),
    defect("bias of the square", "optim/adamw", "new_v / bitcast<f32>(params[10])", "new_v"),
    defect("scale forgotten", "optim/adamw", "grad[at] * scale;", "grad[at];"),
    defect(
        "numbers past the first groups skipped",
        "optim/sum_squares",
        "at < params[0]; at += groups.x * WG",
        "at < min(params[0], groups.x * WG); at += groups.x * WG",
    ),
    defect("last partial skipped", "optim/clip", "at < params[0];", "at < params[0] - 1u;"),
    defect("not finite is taken for finite", "optim/clip", "scale = -1.0;", "scale = 1.0;"),
];

/// Noticed where the logits of a pass come in stretches of rows.
pub const STRETCH_DEFECTS: &[Defect] = &[
    defect("row of another stretch", "logprob/forward", "let at = params[4] + row;", "let at = params[4] * 0u + row;"),
    defect("row of another stretch", "logprob/backward", "let at = params[4] + row;", "let at = params[4] * 0u + row;"),
];

/// Noticed where scores are far apart.
pub const SHARP_DEFECTS: &[Defect] =
    &[defect("maximum never subtracted", "attention/decode", "max(largest, lanes[0])", "max(0.0 * largest, 0.0 * lanes[0])")];

pub const SAMPLING_DEFECTS: &[Defect] = &[
    defect("last of equals wins", "sampling/draw", "places[lane + half] < places[lane]", "places[lane + half] > places[lane]"),
    defect("penalty forgotten", "sampling/draw", "x = select(x * penalty, x / penalty, x > 0.0);", "x += 0.0 * penalty;"),
    defect("temperature forgotten", "sampling/draw", "return x * bitcast<f32>(params[8]);", "return x;"),
    defect("threshold ignored", "sampling/draw", "x >= threshold && ", ""),
    defect("min-p ignored", "sampling/draw", " && e >= bitcast<f32>(params[9])", ""),
    defect("one round too few", "sampling/draw", "round < 10u", "round < 9u"),
    defect("same draw at every step", "sampling/draw", "uniform_number(params[3], seed)", "uniform_number(0u, seed)"),
    defect("token not remembered", "sampling/draw", "|= 1u << (chosen % 32u)", "|= 0u"),
    defect("last stop token ignored", "sampling/draw", "i < params[5];", "i + 1u < params[5];"),
    defect("end of the context passed", "sampling/draw", "position + 1 >=", "position - 1 >="),
    defect("not finite is taken for finite", "sampling/draw", "bad = 1.0;", "bad = 0.0;"),
    defect("one too many", "sampling/threshold", ">= f32(params[4])", "> f32(params[4])"),
    defect("penalty forgotten", "sampling/threshold", "x = select(x * penalty, x / penalty, x > 0.0);", "x += 0.0 * penalty;"),
    defect("mass of all tokens", "sampling/threshold", "key_of(x) >= of_top_k);", "of_top_k >= 0u);"),
    defect("top-p ignored", "sampling/threshold", "threshold = max(threshold, of_top_k);", "threshold = of_top_k;"),
];

impl Defect {
    pub fn kernel(&self) -> &'static str {
        self.mutation.kernel
    }
}

/// Panics with the names of the defects that no run notices.
fn all_are_noticed(test: &str, defects: &[Defect], tolerance: Tolerance, runs: &[Run]) {
    let Some(device) = gpu(test) else { return };
    let want: Vec<_> = runs.iter().map(|run| run(&cpu())).collect();
    let unnoticed = defects.iter().filter(|defect| {
        let noticed =
            |(run, want): (&Run, &Vec<Output>)| compare(&with_mutation(defect.mutation.clone(), || run(&device)), want, tolerance).is_err();
        !runs.iter().zip(&want).any(noticed)
    });
    let names: Vec<_> = unnoticed.map(|defect| format!("{}: {}", defect.kernel(), defect.what)).collect();
    assert!(names.is_empty(), "{test}: not noticed: {names:?}");
}

/// The cases that between them notice every defect: each further one costs a compilation of each defect.
const ATTENTION_CASES: [&str; 4] = ["odd", "packed", "outliers", "outliers, narrow head"];

#[test]
fn attention_defects_fail() {
    let cases = ATTENTION_CASES.map(|name| ATTENTION.iter().find(|case| case.name == name).expect("a case of that name"));
    let runs = cases.map(|case| move |device: &Device| case.run(Maths::Ours, device));
    let runs: Vec<_> = runs.iter().map(|run| run as Run).collect();
    let all = |defects| all_are_noticed("attention_defects_fail", defects, ATTENTION_OUTLIER_TOLERANCE, &runs);
    with_variant(Variant::Default, || all(ATTENTION_DEFECTS));
    for form in subgroup_forms("attention_defects_fail") {
        with_variant(*form, || all(ATTENTION_SUBGROUP_DEFECTS));
    }
}

#[test]
fn token_logprob_defects_fail() {
    let runs = LOGITS.iter().map(|case| move |device: &Device| case.run_logprob(Maths::Ours, device)).collect::<Vec<_>>();
    let runs: Vec<_> = runs.iter().map(|run| run as Run).collect();
    all_are_noticed("token_logprob_defects_fail", LOGPROB_DEFECTS, LOGITS_TOLERANCE, &runs);
}

#[test]
fn matmul_defects_fail() {
    let runs = block_runs(|name| name == "linear, odd");
    let runs: Vec<_> = runs.iter().map(|run| run as Run).collect();
    with_variant(Variant::Default, || all_are_noticed("matmul_defects_fail", MATMUL_DEFECTS, MATMUL_TOLERANCE, &runs));
    for form in subgroup_forms("matmul_defects_fail") {
        let only_here = if *form == Variant::Subgroup8 { MATMUL_SUBGROUP8_DEFECTS } else { &[] };
        for defects in [MATMUL_SUBGROUP_DEFECTS, only_here] {
            with_variant(*form, || all_are_noticed("matmul_defects_fail", defects, MATMUL_TOLERANCE, &runs));
        }
    }
}

#[test]
fn block_defects_fail() {
    let runs = block_runs(|name| !name.starts_with("linear") && !name.contains("sharp") && !name.contains("stretches"));
    let runs: Vec<_> = runs.iter().map(|run| run as Run).collect();
    all_are_noticed("block_defects_fail", BLOCK_DEFECTS, BLOCK_TOLERANCE, &runs);
}

#[test]
fn sharp_defects_fail() {
    let runs = block_runs(|name| name.contains("sharp"));
    let runs: Vec<_> = runs.iter().map(|run| run as Run).collect();
    all_are_noticed("sharp_defects_fail", SHARP_DEFECTS, SHARP_TOLERANCE, &runs);
}

#[test]
fn stretch_defects_fail() {
    let runs = block_runs(|name| name.contains("stretches"));
    let runs: Vec<_> = runs.iter().map(|run| run as Run).collect();
    all_are_noticed("stretch_defects_fail", STRETCH_DEFECTS, BLOCK_TOLERANCE, &runs);
}

/// The chosen cases, run by our kernels.
fn block_runs(chosen: impl Fn(&str) -> bool) -> Vec<impl Fn(&Device) -> Vec<Output>> {
    let cases = BLOCKS.iter().filter(|case| chosen(case.name));
    cases.map(|case| |device: &Device| (case.run)(case.sizes, Maths::Ours, device)).collect()
}

#[test]
fn sampling_defects_fail() {
    let runs: Vec<_> = SAMPLING.iter().map(|case| |device: &Device| case.run(device)).collect();
    let runs: Vec<_> = runs.iter().map(|run| run as Run).collect();
    all_are_noticed("sampling_defects_fail", SAMPLING_DEFECTS, Tolerance { abs: 0.0, rel: 0.0 }, &runs);
}

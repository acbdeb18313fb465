//! Every guard fires: each shader with a deliberate defect must fail the twin test it is meant to be caught by.
//!
//! A defect keeps every binding in use: an unused one is not in the pipeline's layout, and the launch itself fails.

use burn::tensor::Device;
use evenkeel_kernels::launch::{Mutation, Variant, with_mutation, with_variant};

use crate::block_cases::BLOCKS;
use crate::cases::{ATTENTION, LOGITS, Maths};
use crate::common::{Output, Run, Tolerance, compare, cpu, gpu, subgroup_forms};
use crate::sampling_cases::SAMPLING;
use crate::twins::{ATTENTION_OUTLIER_TOLERANCE, BLOCK_TOLERANCE, HALF_TOLERANCE, LOGITS_TOLERANCE, MATMUL_TOLERANCE, SHARP_TOLERANCE};

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
    defect("old sum not decayed", "attention/forward", "sums *= decay;", "sums *= 1.0;"),
    defect("last column of delta", "attention/backward_rows", "d < WORDS; d++", "d + 1u < WORDS; d++"),
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
        "let new_largest = max(largest, max(max(scores[0], scores[1]), max(scores[2], scores[3])));",
        "let new_largest = max(MASKED, vec4(0.0));",
    ),
    defect("last keys skipped", "attention/forward_subgroup", "key <= stop;", "key + 4 <= stop;"),
    defect("last key hidden", "attention/forward_subgroup", "vec4(key) <= ends", "vec4(key) < ends"),
    defect("old sum not decayed", "attention/forward_subgroup", "total = total * decay", "total = total"),
    defect("old number not decayed", "attention/forward_subgroup", "sum[2] * decay", "sum[2]"),
    defect(
        "word of another lane",
        "attention/forward_subgroup",
        "add_scores(word + 3u, of_lane(mine, 3u))",
        "add_scores(word + 3u, of_lane(mine, 2u))",
    ),
    defect("delta not subtracted", "attention/backward_q_subgroup", "(dp[j] - facts[1])", "(dp[j] + 0.0 * facts[1])"),
    defect("last key hidden", "attention/backward_q_subgroup", "vec4(key) <= ends", "vec4(key) < ends"),
    defect("word of another lane", "attention/backward_q_subgroup", "add_slopes(word + 1u, 1u, part);", "add_slopes(word + 1u, 0u, part);"),
    defect("last key hidden", "attention/backward_kv_subgroup", "key <= vec4(bitcast<i32>(facts.w))", "key < vec4(bitcast<i32>(facts.w))"),
    defect("only the first head of a group", "attention/backward_kv_subgroup", "step < heads * steps;", "step < steps;"),
    defect("tail counted twice", "attention/backward_kv_subgroup", "if query + lane % 4u >= t {", "if query >= t {"),
    defect(
        "queries skipped too early",
        "attention/backward_kv_subgroup",
        "bitcast<i32>(facts.z) < i32(first_key + BLOCK)",
        "bitcast<i32>(facts.z) < i32(first_key)",
    ),
    defect("scale forgotten", "attention/backward_kv_subgroup", "return scale * scores[j] * (dp", "return 0.0 * scale + scores[j] * (dp"),
];

pub const LOGPROB_DEFECTS: &[Defect] = &[
    defect("maximum never subtracted", "logprob/forward", "let row_max = lanes[0].x * inv_temperature;", "let row_max = 0.0;"),
    defect("last words skipped", "logprob/forward", "sum += e;", "sum += select(0.0, 1.0, j + 2u < words) * e;"),
    defect("last of equals wins", "logprob/forward", "((x == WORD(wanted)) & earlier)", "((x == WORD(wanted)) & (earlier != earlier))"),
    defect("last words skipped", "logprob/backward", "j < (v + WIDTH - 1u) / WIDTH;", "j + 2u < (v + WIDTH - 1u) / WIDTH;"),
    defect("entropy without a slope", "logprob/backward", "- g_entropy * slope", "- 0.0 * g_entropy * slope"),
    defect(
        "temperature forgotten",
        "logprob/backward",
        "(onehot - p) - g_entropy * slope) * inv_temperature",
        "(onehot - p) - g_entropy * slope)",
    ),
];

pub const MATMUL_DEFECTS: &[Defect] = &[
    defect("last step of k skipped", "matmul/tiled", "row < params[0] && k < params[2] {", "row < params[0] && k + 1u < params[2] {"),
    defect("four steps read as one", "matmul/tiled", "add(step + 3u, rows, columns);", "add(step, rows, columns);"),
    defect("last column skipped", "matmul/tiled", "column >= params[1] {", "column + 1u >= params[1] {"),
    defect("residual forgotten", "matmul/tiled", "total += residual[", "total += 0.0 * residual["),
    defect("bias of another column", "matmul/tiled", "bias[column]", "bias[0u * column]"),
    defect(
        "half of a tile loaded twice",
        "matmul/tiled",
        "let in_b = place(at, params[5] == 1u)",
        "let in_b = place(lane, params[5] == 1u)",
    ),
];

pub const MATMUL_SUBGROUP_DEFECTS: &[Defect] = &[
    defect("last step of k skipped", "matmul/subgroup", "< vec4(params[2]);", "< vec4(params[2] - 1u);"),
    defect("last row skipped", "matmul/subgroup", "row >= params[0] ||", "row + 1u >= params[0] ||"),
    defect("tile moved back too far", "matmul/subgroup", "params[0] - ROWS);", "params[0] - ROWS - 1u);"),
    defect("tile moved left too far", "matmul/subgroup", "4u * params[5] - COLUMNS);", "4u * params[5] - COLUMNS - 4u);"),
    defect("residual forgotten", "matmul/subgroup", "sum + residual[at]", "sum + 0.0 * residual[at]"),
    defect("bias of another column", "matmul/subgroup", "bias[min(column / 4u,", "bias[min(column / 4u * 0u,"),
    defect("row of another lane", "matmul/subgroup", "subgroupBroadcast(x, 3u)", "subgroupBroadcast(x, 2u)"),
];

/// In what only subgroups of 8 lanes run.
const MATMUL_SUBGROUP8_DEFECTS: &[Defect] =
    &[defect("row of another lane", "matmul/subgroup", "subgroupBroadcast(x, 5u)", "subgroupBroadcast(x, 4u)")];

pub const PANEL_DEFECTS: &[Defect] = &[
    defect("last step of k skipped", "matmul/panel_subgroup", "< vec4(params[2]);", "< vec4(params[2] - 1u);"),
    defect("last row skipped", "matmul/panel_subgroup", "row <= last_row;", "row < last_row;"),
    defect("rows of another group", "matmul/panel_subgroup", "index / across * params[7];", "index / across * 0u * params[7];"),
    defect("sums so far forgotten", "matmul/panel_subgroup", "sum_low = out[at];", "sum_low = 0.0 * out[at];"),
    defect("bias at every panel", "matmul/panel_subgroup", "if is_last && params[6] == 1u", "if params[6] == 1u"),
    defect("residual at every panel", "matmul/panel_subgroup", "if is_last && ADDED == 1u", "if ADDED == 1u"),
    defect("bias of another column", "matmul/panel_subgroup", "bias[word]", "bias[0u * word]"),
    defect("row's neighbour overwritten", "matmul/panel_subgroup", "if FITS == 0u && word >= params[5] { return; }", ""),
    defect("word of another lane", "matmul/panel_subgroup", "subgroupBroadcast(x, 3u)", "subgroupBroadcast(x, 2u)"),
];

/// In what only subgroups of 8 lanes run.
const PANEL8_DEFECTS: &[Defect] =
    &[defect("word of another lane", "matmul/panel_subgroup", "subgroupBroadcast(x, 5u)", "subgroupBroadcast(x, 4u)")];

pub const BLOCK_DEFECTS: &[Defect] = &[
    defect("mean not subtracted", "norm/forward", "let centred = x[start + j] - mean;", "let centred = x[start + j];"),
    defect("last 5 columns skipped", "norm/forward", "squares += centred", "squares += select(0.0, 1.0, j + 5u < d) * centred"),
    defect("eps forgotten", "norm/forward", " + bitcast<f32>(params[2])", ""),
    defect(
        "last 5 columns skipped",
        "norm/backward_x",
        "of_g_xhat += g * ((x[start + j] - mean) * r);",
        "of_g_xhat += g * (select(0.0, 1.0, j + 5u < d) * (x[start + j] - mean) * r);",
    ),
    defect("pull not subtracted", "norm/backward_x", " * means.y", " * 0.0 * means.y"),
    defect("mean not subtracted", "norm/backward_x", "slope -= means.x;", "slope -= 0.0 * means.x;"),
    defect("residual forgotten", "norm/backward_x", "out += residual", "out += 0.0 * residual"),
    defect("last row skipped", "norm/backward_weight", "row < n;", "row < n - 1u;"),
    defect("r of the first row", "norm/backward_weight", " * stats[2u * row + 1u]", " * stats[1]"),
    defect("bias of the weight", "norm/backward_weight", "= of_bias[lane];", "= of_weight[lane] + 0.0 * of_bias[lane];"),
    defect("last row skipped", "matmul/sum_rows", "row < n;", "row < n - 1u;"),
    defect("last number skipped", "activation/swiglu_forward", "at >= params[0]", "at >= params[0] - 1u"),
    defect("sign of the exponent", "activation/swiglu_forward", "exp(-clamp", "exp(clamp"),
    defect("slope of the sigmoid", "activation/swiglu_backward", " * (1.0 + gate * (1.0 - s))", ""),
    defect("last number skipped", "activation/gelu_forward", "at >= params[0]", "at >= params[0] - 1u"),
    defect("cubic term forgotten", "activation/gelu_forward", " + 0.044715 * z * z * z", ""),
    defect("slope of the angle", "activation/gelu_backward", " * (1.0 + 0.134145 * z * z)", ""),
    defect("wrong direction", "rope/rotate", " * bitcast<f32>(params[3])", ""),
    defect("angle of another token", "rope/rotate", "positions[head / params[1]]", "positions[head % params[1]]"),
    defect("column of another word", "gather/forward", "row * d + at % d", "row * d + at % d * 0u"),
    defect("last row out of reach", "gather/forward", "i32(params[2]) - 1", "max(i32(params[2]) - 2, 0)"),
    defect("last of a row forgotten", "gather/backward", "i < starts[at / d + 1u];", "i < starts[at / d + 1u] - 1;"),
    defect("exponent not cut", "loss/ppo_policy", "clamp(log_ratio, -LIMIT, LIMIT)", "log_ratio"),
    defect("clipped on one side", "loss/ppo_policy", "clamp(ratio, 1.0 - clip, 1.0 + clip)", "min(ratio, 1.0 + clip)"),
    defect("slope where the clip decides", "loss/ppo_policy", "free >= clipped && ", ""),
    defect("wrong side smoothed", "loss/pair", "- sign * e * log_sigmoid(-scaled)", "+ sign * e * log_sigmoid(-scaled)"),
    defect("length of the other side", "loss/pair", "share_l = 1.0 / lengths[l];", "share_l = 1.0 / lengths[w];"),
    defect("hinge without an edge", "loss/pair", "scaled < 1.0)", "scaled < 1e9)"),
    defect("centring has no slope", "loss/pair", "(2.0 * centring * sum - f.y * share_l)", "(0.0 * sum - f.y * share_l)"),
    defect("exponent overflows", "loss/pair", "exp(-abs(z))", "exp(-z)"),
    defect("gradient of another pair", "loss/pair_backward", "at % params[1]", "at / 2u % params[1]"),
    defect("last word skipped", "ceiling/copy", "if at < params[0]", "if at + 1u < params[0]"),
    defect("a chain left out", "ceiling/fma", "b = eight_times(b, s, t);", "b += 0.0 * s;"),
    defect("last number skipped", "loss/total", "at < params[0];", "at + 1u < params[0];"),
    defect("more than the first ones", "loss/spread", "at < params[2]", "at < params[0]"),
    defect("factor forgotten", "loss/spread", "bitcast<f32>(params[1]) * g[0]", "g[0]"),
    defect("not clipped", "loss/ppo_value", "clamp(moved, -clip, clip)", "moved"),
    defect("slope where the clip decides", "loss/ppo_value", "abs(moved) < clip)", "abs(moved) < 1e9)"),
    defect(
        "the other way round",
        "advantage/rewards",
        "estimate(reference[token + t] - logprob[token + t])",
        "estimate(logprob[token + t] - reference[token + t])",
    ),
    defect("one term for all", "advantage/rewards", "d * (1.0 / 6.0", "d * (0.0 / 6.0"),
    defect("series for all", "advantage/rewards", "abs(d) < SMALL)", "abs(d) < 9.0)"),
    defect("score one step too early", "advantage/rewards", "t + 1u == steps", "t + 1u == tokens"),
    defect("first steps alone", "advantage/rewards", "t < steps; t += WG", "t < min(steps, WG); t += WG"),
    defect("next value forgotten", "advantage/gae", "next_value = value;", "next_value = 0.0;"),
    defect("next advantage not discounted", "advantage/gae", "let decay = gamma *", "let decay ="),
    defect("tokens where steps begin", "advantage/gae", "let token = u32(begins[row]);", "let token = u32(begins[params[0] + 1u + row]);"),
    defect("returns without the value", "advantage/gae", "advantage + value;", "advantage;"),
    defect("biased variance", "advantage/whiten", "f32(max(n, 2u) - 1u)", "f32(max(n, 2u))"),
    defect("mean lost", "advantage/whiten", "KEEP_MEAN == 1u ||", "KEEP_MEAN == 2u ||"),
    defect("mean kept", "advantage/whiten", "KEEP_MEAN == 1u ||", "KEEP_MEAN < 2u ||"),
    defect("a single number has no variance", "advantage/whiten", "|| n == 1u", ""),
    defect("numbers past the first ones unread", "advantage/whiten", "at < n; at += WG) { sum +=", "at < min(n, WG); at += WG) { sum +="),
    defect("keys not rotated", "rope/split", "head < h + kv {\n        let half", "head < h {\n        let half"),
    defect("column of another row", "rope/split", "token / params[1] * params[5]", "token / params[1] * params[1]"),
    defect("first column forgotten", "rope/split", " + params[6]", ""),
    defect("turned forwards", "rope/merge", "+ slope(is_q, place + half)", "- slope(is_q, place + half)"),
    defect("head of another part", "rope/merge", "head - h - kv) * d", "head - h - 1u) * d"),
    defect("decay forgotten", "optim/adamw", " - decay * param[at]", " - 0.0 * decay"),
    defect("everything decays", "optim/adamw", "at < params[1]", "at < params[1] + params[0]"),
    defect("bias of the square", "optim/adamw", "new_v / rates[3]", "new_v"),
    defect("scale forgotten", "optim/adamw", "grad[at] * scale;", "grad[at];"),
    defect(
        "numbers past the first groups skipped",
        "optim/sum_squares",
        "{ for (; at < words; at += stride) { sum += x0[at]",
        "{ for (; at < min(words, stride); at += stride) { sum += x0[at]",
    ),
    defect("one tensor's groups begin where another's do", "optim/sum_squares", "(group.x - before) * WG", "group.x * WG"),
    defect("a tensor taken for another", "optim/sum_squares", "sum += x2[at] * x2[at]", "sum += x2[at] * x1[at]"),
    defect("last partial skipped", "optim/clip", "at < params[0];", "at < params[0] - 1u;"),
    defect("not finite is taken for finite", "optim/clip", "== 0x7f800000u ||", "== 0x7f800001u ||"),
    defect("the last step is forgotten", "optim/clip", "last[1] < 0.0", "last[1] < -2.0"),
];

/// Noticed where the logits of a pass come in stretches of rows.
pub const STRETCH_DEFECTS: &[Defect] = &[
    defect("row of another stretch", "logprob/forward", "let at = params[4] + row;", "let at = params[4] * 0u + row;"),
    defect("row of another stretch", "logprob/backward", "let at = params[4] + row;", "let at = params[4] * 0u + row;"),
    defect("sum so far forgotten", "matmul/tiled", "total += out[at];", "total += 0.0 * out[at];"),
];

const STRETCH_SUBGROUP_DEFECTS: &[Defect] = &[defect("sum so far forgotten", "matmul/subgroup", "out[at] += sum;", "out[at] = sum;")];

pub const DECODE_DEFECTS: &[Defect] = &[
    defect("last key hidden", "attention/decode", "key <= last {", "key < last {"),
    defect("first key ignored", "attention/decode", "key >= begins && ", "begins < 10000u && "),
];

pub const DECODE_SUBGROUP_DEFECTS: &[Defect] = &[
    defect("last key hidden", "attention/decode_subgroup", "key <= last);", "key < last);"),
    defect("first key ignored", "attention/decode_subgroup", "u32(max(first[row], 0));", "u32(min(first[row], 0));"),
    defect("value of another lane", "attention/decode_subgroup", "subgroupShuffle(key_at, 2u)", "subgroupShuffle(key_at, 1u)"),
];

/// Noticed where keys and values are kept in half precision.
pub const CACHE_DEFECTS: &[Defect] = &[
    defect("column of another start", "cache/pack", "+ params[4] +", "+ 0u * params[4] +"),
    defect("keys for values", "cache/pack", "values[to] = half(v[at]);", "values[to] = half(k[at] + 0.0 * v[at]);"),
    defect("row of another", "cache/pack", "token / params[1] * params[3]", "token / params[1] * 0u * params[3]"),
    defect("halves swapped", "cache/unpack", "k[at] = unpack2x16float(keys[at]);", "k[at] = unpack2x16float(keys[at]).yx;"),
    defect("last value skipped", "cache/unpack", "v[at] = unpack", "v[max(at, 1u) - 1u] = unpack"),
];

/// Noticed where scores are far apart.
const SHARP_DEFECTS: &[Defect] = &[
    defect("maximum never subtracted", "attention/decode", "max(largest, lanes[0])", "max(0.0 * largest, 0.0 * lanes[0])"),
    defect("old sum not decayed", "attention/decode", "total *= decay;", "total *= 1.0;"),
];
const SHARP_SUBGROUP_DEFECTS: &[Defect] = &[
    defect(
        "maximum never subtracted",
        "attention/decode_subgroup",
        "max(largest, subgroupMax(score))",
        "max(0.0 * largest, 0.0 * subgroupMax(score))",
    ),
    defect("old sum not decayed", "attention/decode_subgroup", "sums[part] *= decay;", "sums[part] *= 1.0;"),
];

pub const SAMPLING_DEFECTS: &[Defect] = &[
    defect("last of equals wins", "sampling/draw", "places[lane + half] < places[lane]", "places[lane + half] > places[lane]"),
    defect("penalty forgotten", "sampling/draw", "x = select(x * penalty, x / penalty, x > 0.0);", "x += 0.0 * penalty;"),
    defect("temperature forgotten", "sampling/draw", "return x * bitcast<f32>(params[8]);", "return x;"),
    defect("threshold ignored", "sampling/draw", "x >= threshold);", "true);"),
    defect("one round too few", "sampling/draw", "round < 10u", "round < 9u"),
    defect("one number for two", "sampling/draw", "bits[j % 2u]", "bits[0]"),
    defect("binary digits for natural", "sampling/draw", "* 0.69314718 +", "* 1.0 +"),
    defect("series cut short", "sampling/draw", "2.0 * s * series", "2.0 * s"),
    defect("same draw at every step", "sampling/draw", "params[3] * pairs + pair", "pair"),
    defect("token not remembered", "sampling/draw", "|= 1u << (chosen % 32u)", "|= 0u"),
    defect("last stop token ignored", "sampling/draw", "i < params[5];", "i + 1u < params[5];"),
    defect("end of the context passed", "sampling/draw", "position + 1 >=", "position - 1 >="),
    defect("not finite is taken for finite", "sampling/draw", "&not_finite, 1u", "&not_finite, 0u"),
    defect("one too many", "sampling/threshold", ">= f32(params[4])", "> f32(params[4])"),
    defect("penalty forgotten", "sampling/threshold", "x = select(x * penalty, x / penalty, x > 0.0);", "x += 0.0 * penalty;"),
    defect("mass of all tokens", "sampling/threshold", "key_of(x) >= of_top_k);", "of_top_k >= 0u);"),
    defect("min-p ignored", "sampling/threshold", "if min_p > 0.0", "if min_p > 1.0"),
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
const ATTENTION_CASES: &[&str] = &["odd", "packed", "outliers"];
const ATTENTION_SUBGROUP_CASES: &[&str] = &["words", "packed", "outliers, words"];

#[test]
fn attention_defects_fail() {
    let all = |names: &[&str], defects| {
        let cases = names.iter().map(|name| ATTENTION.iter().find(|case| case.name == *name).expect("a case of that name"));
        let runs: Vec<_> = cases.map(|case| move |device: &Device| case.run(Maths::Ours, device)).collect();
        let runs: Vec<_> = runs.iter().map(|run| run as Run).collect();
        all_are_noticed("attention_defects_fail", defects, ATTENTION_OUTLIER_TOLERANCE, &runs);
    };
    with_variant(Variant::Default, || all(ATTENTION_CASES, ATTENTION_DEFECTS));
    for form in subgroup_forms("attention_defects_fail") {
        with_variant(*form, || all(ATTENTION_SUBGROUP_CASES, ATTENTION_SUBGROUP_DEFECTS));
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
    for (chosen, defects, of_8_lanes) in
        [(", words", MATMUL_SUBGROUP_DEFECTS, MATMUL_SUBGROUP8_DEFECTS), (", panels", PANEL_DEFECTS, PANEL8_DEFECTS)]
    {
        let runs = block_runs(|name| (name.starts_with("linear") || name.starts_with("head")) && name.contains(chosen));
        let runs: Vec<_> = runs.iter().map(|run| run as Run).collect();
        for form in subgroup_forms("matmul_defects_fail") {
            let only_here = if *form == Variant::Subgroup8 { of_8_lanes } else { &[] };
            for defects in [defects, only_here] {
                with_variant(*form, || all_are_noticed("matmul_defects_fail", defects, MATMUL_TOLERANCE, &runs));
            }
        }
    }
}

#[test]
fn block_defects_fail() {
    let runs = block_runs(|name| ["linear", "sharp", "stretches", "half"].iter().all(|other| !name.contains(other)));
    let runs: Vec<_> = runs.iter().map(|run| run as Run).collect();
    all_are_noticed("block_defects_fail", BLOCK_DEFECTS, BLOCK_TOLERANCE, &runs);
}

#[test]
fn cache_defects_fail() {
    let runs = block_runs(|name| name.contains("half"));
    let runs: Vec<_> = runs.iter().map(|run| run as Run).collect();
    all_are_noticed("cache_defects_fail", CACHE_DEFECTS, HALF_TOLERANCE, &runs);
}

/// Decoding has a default form and subgroup forms: the former is not what a software adapter runs unasked.
#[test]
fn decode_defects_fail() {
    let test = "decode_defects_fail";
    for (chosen, of_form) in [("odd", [DECODE_DEFECTS, DECODE_SUBGROUP_DEFECTS]), ("sharp", [SHARP_DEFECTS, SHARP_SUBGROUP_DEFECTS])] {
        let runs = block_runs(|name| name.starts_with("block of Llama") && name.contains(chosen) && !name.contains("half"));
        let runs: Vec<_> = runs.iter().map(|run| run as Run).collect();
        let tolerance = if chosen == "sharp" { SHARP_TOLERANCE } else { BLOCK_TOLERANCE };
        with_variant(Variant::Default, || all_are_noticed(test, of_form[0], tolerance, &runs));
        for form in subgroup_forms(test) {
            with_variant(*form, || all_are_noticed(test, of_form[1], tolerance, &runs));
        }
    }
}

#[test]
fn stretch_defects_fail() {
    let runs = block_runs(|name| name.contains("stretches"));
    let runs: Vec<_> = runs.iter().map(|run| run as Run).collect();
    let test = "stretch_defects_fail";
    with_variant(Variant::Default, || all_are_noticed(test, STRETCH_DEFECTS, BLOCK_TOLERANCE, &runs));
    for form in subgroup_forms(test) {
        with_variant(*form, || all_are_noticed(test, STRETCH_SUBGROUP_DEFECTS, BLOCK_TOLERANCE, &runs));
    }
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

// kl = -d, the estimator k1, or exp(d) - 1 - d, k3, with d = reference - logprob
// rewards = -beta kl, 0 at a step past the last token, and on the last step of each response the score besides
// logprob, reference, kl [N]  scores [B]  begins [2,B+1]: of tokens, then of steps  rewards [M]
// One workgroup per response, a lane for every WG-th of its steps. k3 of small d is its series, which f32 would cancel away.
// Source: Ouyang et al. 2022, equation 2; Schulman 2020. Twin: evenkeel-kernels/src/reference/advantage.rs (rewards)
const WG = 64u;
const KL = 0u;
const SMALL = 0.25;

@group(0) @binding(0) var<storage, read_write> logprob: array<f32>;
@group(0) @binding(1) var<storage, read_write> reference: array<f32>;
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;
@group(0) @binding(3) var<storage, read_write> begins: array<i32>;
@group(0) @binding(4) var<storage, read_write> kl: array<f32>;
@group(0) @binding(5) var<storage, read_write> rewards: array<f32>;
@group(0) @binding(6) var<storage, read> params: array<u32>; // [B, beta as f32 bits]

fn estimate(d: f32) -> f32 {
    if KL == 0u { return -d; }
    let series = d * d * (0.5 + d * (1.0 / 6.0 + d * (1.0 / 24.0 + d * (1.0 / 120.0 + d * (1.0 / 720.0 + d / 5040.0)))));
    return select(exp(d) - 1.0 - d, series, abs(d) < SMALL);
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    if row >= params[0] { return; }
    let token = u32(begins[row]);
    let tokens = u32(begins[row + 1u]) - token;
    let step = u32(begins[params[0] + 1u + row]);
    let steps = u32(begins[params[0] + 2u + row]) - step;
    for (var t = lane; t < steps; t += WG) {
        var reward = 0.0;
        if t < tokens {
            let estimated = estimate(reference[token + t] - logprob[token + t]);
            kl[token + t] = estimated;
            reward = -bitcast<f32>(params[1]) * estimated;
        }
        rewards[step + t] = reward + select(0.0, scores[row], t + 1u == steps);
    }
}

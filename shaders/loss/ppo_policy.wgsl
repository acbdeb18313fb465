// loss = max(-A r, -A clamp(r, 1 - clip, 1 + clip)) with r = exp(clamp(logprob - old, -20, 20)), and its slope in logprob
// logprob, old, advantages, loss, slope [N]
// One lane per token. The clamp of the exponent keeps one token from overflowing the loss; beyond it the slope is 0.
// Source: Schulman et al. 2017, equation 7. Twin: evenkeel-kernels/src/reference/loss.rs (ppo_policy)
const WG = 256u;
const LIMIT = 20.0;

@group(0) @binding(0) var<storage, read_write> logprob: array<f32>;
@group(0) @binding(1) var<storage, read_write> old: array<f32>;
@group(0) @binding(2) var<storage, read_write> advantages: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> slope: array<f32>;
@group(0) @binding(5) var<storage, read> params: array<u32>; // [N, clip range as f32 bits]

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.x + group.y * groups.x) * WG + lane;
    if at >= params[0] { return; }
    let clip = bitcast<f32>(params[1]);
    let log_ratio = logprob[at] - old[at];
    let ratio = exp(clamp(log_ratio, -LIMIT, LIMIT));
    let free = -advantages[at] * ratio;
    let clipped = -advantages[at] * clamp(ratio, 1.0 - clip, 1.0 + clip);
    loss[at] = max(free, clipped);
    slope[at] = select(0.0, free, free >= clipped && abs(log_ratio) < LIMIT);
}

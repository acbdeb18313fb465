// delta_t = r_t + gamma V_(t+1) - V_t; A_t = delta_t + gamma lambda A_(t+1); returns = A + V; what lies past the end of a response is 0
// rewards, values V, returns [M]  begins [2,B+1]: of tokens, then of steps  advantages A [N], without steps past the last token
// One lane per response, from its last step backwards.
// Source: Schulman et al. 2016, equations 16 to 18. Twin: evenkeel-kernels/src/reference/advantage.rs (gae)
const WG = 64u;

@group(0) @binding(0) var<storage, read_write> rewards: array<f32>;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> begins: array<i32>;
@group(0) @binding(3) var<storage, read_write> advantages: array<f32>;
@group(0) @binding(4) var<storage, read_write> returns: array<f32>;
@group(0) @binding(5) var<storage, read> params: array<u32>; // [B] and f32 bits of [gamma, lambda]

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = (group.x + group.y * groups.x) * WG + lane;
    if row >= params[0] { return; }
    let gamma = bitcast<f32>(params[1]);
    let decay = gamma * bitcast<f32>(params[2]);
    let token = u32(begins[row]);
    let tokens = u32(begins[row + 1u]) - token;
    let step = u32(begins[params[0] + 1u + row]);
    var advantage = 0.0;
    var next_value = 0.0;
    for (var t = u32(begins[params[0] + 2u + row]) - step; t > 0u; t--) {
        let at = t - 1u;
        let value = values[step + at];
        advantage = rewards[step + at] + gamma * next_value - value + decay * advantage;
        next_value = value;
        returns[step + at] = advantage + value;
        if at < tokens { advantages[token + at] = advantage; }
    }
}

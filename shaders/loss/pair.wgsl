// loss = weight (f(z) + centring (w + l)^2 - nll w / length_w), and its slope in w and l
// w and l are what is compared, the halves of x [2P]; z = (w - base_w) / n_w - (l - base_l) / n_l, n the lengths where NORMALISED, else 1
// f = -(1 - e) log s(beta z) - e log s(-beta z), s the sigmoid        KIND 0, e the label smoothing
//   | max(0, 1 - beta z)                                              KIND 1
//   | (z - 1 / (2 beta))^2                                            KIND 2
//   | (e log s(-beta z) - (1 - e) log s(beta z)) / (1 - 2 e)          KIND 3
// x, base, lengths, slope [2P]  weight, loss [P]
// One lane per pair.
// Source: Ouyang et al. 2022, equation 1; Rafailov et al. 2023, equation 7; Mitchell 2023; Zhao et al. 2023; Azar et al. 2023, equation 17;
// Chowdhury et al. 2024. Twin: evenkeel-kernels/src/reference/loss.rs (pair)
const WG = 64u;
const KIND = 0u;
const NORMALISED = 0u;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> base: array<f32>;
@group(0) @binding(2) var<storage, read_write> lengths: array<f32>;
@group(0) @binding(3) var<storage, read_write> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;
@group(0) @binding(5) var<storage, read_write> slope: array<f32>;
@group(0) @binding(6) var<storage, read> params: array<u32>; // [P] and f32 bits of [beta, e, centring, nll]

fn log_sigmoid(z: f32) -> f32 { return min(z, 0.0) - log(1.0 + exp(-abs(z))); }

fn sigmoid(z: f32) -> f32 { return exp(log_sigmoid(z)); }

// f and its slope in z.
fn compared(z: f32) -> vec2<f32> {
    let beta = bitcast<f32>(params[1]);
    let e = bitcast<f32>(params[2]);
    let scaled = beta * z;
    if KIND == 1u { return select(vec2(0.0), vec2(1.0 - scaled, -beta), scaled < 1.0); }
    if KIND == 2u {
        let off = z - 0.5 / beta;
        return vec2(off * off, 2.0 * off);
    }
    let sign = select(1.0, -1.0, KIND == 3u);
    let share = select(1.0, 1.0 / (1.0 - 2.0 * e), KIND == 3u);
    let f = -(1.0 - e) * log_sigmoid(scaled) - sign * e * log_sigmoid(-scaled);
    return share * vec2(f, beta * (sign * e * sigmoid(scaled) - (1.0 - e) * sigmoid(-scaled)));
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let pairs = params[0];
    let w = (group.x + group.y * groups.x) * WG + lane;
    if w >= pairs { return; }
    let l = w + pairs;
    var share_w = 1.0;
    var share_l = 1.0;
    if NORMALISED == 1u {
        share_w = 1.0 / lengths[w];
        share_l = 1.0 / lengths[l];
    }
    let f = compared((x[w] - base[w]) * share_w - (x[l] - base[l]) * share_l);
    let sum = x[w] + x[l];
    let centring = bitcast<f32>(params[3]);
    let nll = bitcast<f32>(params[4]) / lengths[w];
    loss[w] = weight[w] * (f.x + centring * sum * sum - nll * x[w]);
    slope[w] = weight[w] * (f.y * share_w + 2.0 * centring * sum - nll);
    slope[l] = weight[w] * (2.0 * centring * sum - f.y * share_l);
}

//! Twin of `shaders/loss/*.wgsl`: PPO's clipped losses and the losses of pairs, with their slopes; totals.
//!
//! N tokens or steps, P pairs.  Source: Schulman et al. 2017, Stiennon et al. 2020; of the pairs see `shaders/loss/pair.wgsl`.

/// Log-ratios beyond this are cut before the exponential, so that one token cannot overflow the loss (OpenRLHF).
const LIMIT: f64 = 20.0;

/// `f` of every triple of numbers: two results each.
fn each(x: &[f32], old: &[f32], target: &[f32], f: impl Fn([f64; 3]) -> [f64; 2]) -> (Vec<f32>, Vec<f32>) {
    let triples = x.iter().zip(old).zip(target);
    triples.map(|((&x, &old), &target)| f([x, old, target].map(f64::from)).map(|y| y as f32)).map(|[loss, slope]| (loss, slope)).unzip()
}

/// max(−A r, −A clamp(r, 1 ± clip)) with r = exp(logprob − old), and its slope in logprob.  All `[N]` → loss, slope
pub fn ppo_policy(logprob: &[f32], old: &[f32], advantages: &[f32], clip: f32) -> (Vec<f32>, Vec<f32>) {
    let clip = f64::from(clip);
    each(logprob, old, advantages, |[logprob, old, advantage]| {
        let log_ratio = logprob - old;
        let ratio = log_ratio.clamp(-LIMIT, LIMIT).exp();
        let (free, clipped) = (-advantage * ratio, -advantage * ratio.clamp(1.0 - clip, 1.0 + clip));
        [free.max(clipped), if free >= clipped && log_ratio.abs() < LIMIT { free } else { 0.0 }]
    })
}

/// ½ max((V − R)², (old + clamp(V − old, ± clip) − R)²), and its slope in V.  All `[N]` → loss, slope
pub fn ppo_value(values: &[f32], old: &[f32], returns: &[f32], clip: f32) -> (Vec<f32>, Vec<f32>) {
    let clip = f64::from(clip);
    each(values, old, returns, |[value, old, target]| {
        let moved = value - old;
        let (free, clipped) = (value - target, old + moved.clamp(-clip, clip) - target);
        if free * free >= clipped * clipped {
            [0.5 * free * free, free]
        } else {
            [0.5 * clipped * clipped, if moved.abs() < clip { clipped } else { 0.0 }]
        }
    })
}

/// Which function of the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairKind {
    /// −(1−ε) log σ(βz) − ε log σ(−βz): Bradley–Terry, DPO, cDPO.
    Sigmoid,
    /// max(0, 1 − βz): SLiC.
    Hinge,
    /// (z − 1/(2β))²: IPO.
    Ipo,
    /// [ε log σ(−βz) − (1−ε) log σ(βz)] / (1 − 2ε): robust DPO.
    Robust,
}

/// The loss of a pair: weight (f(z) + centring (w + l)² − nll w / length of w), z the difference of what exceeds `base`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairLoss {
    pub kind: PairKind,
    pub beta: f32,
    /// ε.
    pub label_smoothing: f32,
    /// Both sides divided by their lengths before they are compared.
    pub normalised: bool,
    pub centring: f32,
    pub nll: f32,
}

fn log_sigmoid(z: f64) -> f64 {
    z.min(0.0) - (-z.abs()).exp().ln_1p()
}

impl PairLoss {
    /// f and its slope in z.
    fn compared(&self, z: f64) -> [f64; 2] {
        let (beta, e) = (f64::from(self.beta), f64::from(self.label_smoothing));
        let smoothed = |sign: f64| {
            let f = -(1.0 - e) * log_sigmoid(beta * z) - sign * e * log_sigmoid(-beta * z);
            [f, beta * (sign * e * log_sigmoid(beta * z).exp() - (1.0 - e) * log_sigmoid(-beta * z).exp())]
        };
        match self.kind {
            PairKind::Sigmoid => smoothed(1.0),
            PairKind::Robust => smoothed(-1.0).map(|y| y / (1.0 - 2.0 * e)),
            PairKind::Hinge if beta * z < 1.0 => [1.0 - beta * z, -beta],
            PairKind::Hinge => [0.0, 0.0],
            PairKind::Ipo => [(z - 0.5 / beta).powi(2), 2.0 * (z - 0.5 / beta)],
        }
    }
}

/// x, base, lengths `[2P]`, the better halves first, weight `[P]` → loss `[P]` and its slope in x `[2P]`
pub fn pair(x: &[f32], base: &[f32], lengths: &[f32], weight: &[f32], loss: &PairLoss) -> (Vec<f32>, Vec<f32>) {
    let pairs = weight.len();
    let (mut losses, mut slopes) = (vec![0.0; pairs], vec![0.0; 2 * pairs]);
    for w in 0..pairs {
        let l = w + pairs;
        let of = |values: &[f32], at: usize| f64::from(values[at]);
        let share = |at: usize| if loss.normalised { 1.0 / of(lengths, at) } else { 1.0 };
        let z = (of(x, w) - of(base, w)) * share(w) - (of(x, l) - of(base, l)) * share(l);
        let [f, slope] = loss.compared(z);
        let (sum, centring, nll) = (of(x, w) + of(x, l), f64::from(loss.centring), f64::from(loss.nll) / of(lengths, w));
        losses[w] = (of(weight, w) * (f + centring * sum * sum - nll * of(x, w))) as f32;
        slopes[w] = (of(weight, w) * (slope * share(w) + 2.0 * centring * sum - nll)) as f32;
        slopes[l] = (of(weight, w) * (2.0 * centring * sum - slope * share(l))) as f32;
    }
    (losses, slopes)
}

/// slope `[2P]`, g `[P]` → dx `[2P]`
pub fn pair_backward(slope: &[f32], g: &[f32]) -> Vec<f32> {
    slope.iter().enumerate().map(|(i, slope)| slope * g[i % g.len()]).collect()
}

/// factor Σ x.  x `[N]`
pub fn total(x: &[f32], factor: f32) -> f32 {
    (f64::from(factor) * x.iter().map(|&x| f64::from(x)).sum::<f64>()) as f32
}

/// `count` times factor g, and zeros.  → `[n]`
pub fn spread(g: f32, factor: f32, count: usize, n: usize) -> Vec<f32> {
    let mut dx = vec![0.0; n];
    dx[..count].fill(factor * g);
    dx
}

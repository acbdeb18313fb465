//! Twin of `shaders/loss/*.wgsl`: PPO's clipped losses with their slopes.
//!
//! N tokens or steps.  Source: Schulman et al. 2017, Stiennon et al. 2020.

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

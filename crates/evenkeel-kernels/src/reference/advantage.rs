//! Twin of `shaders/advantage/*.wgsl`: rewards per token, generalised advantage estimation, whitening.
//!
//! B responses, N tokens, M steps: as many as tokens, or one more in a response whose score stands past its last token. `begins`
//! `[2,B+1]` says where the tokens of each response begin, then where its steps do.
//! Source: Ouyang et al. 2022; Schulman et al. 2016.

use std::ops::Range;

/// Estimator of a token's KL(π‖π_ref), d = log π_ref − log π. Source: Schulman 2020, "Approximating KL divergence".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kl {
    /// −d
    K1,
    /// exp(d) − 1 − d
    K3,
}

impl Kl {
    fn estimate(self, d: f64) -> f64 {
        match self {
            Self::K1 => -d,
            Self::K3 => d.exp_m1() - d,
        }
    }
}

/// The tokens and the steps of every response.
fn responses(begins: &[i32]) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let ranges = |begins: &[i32]| begins.windows(2).map(|w| w[0] as usize..w[1] as usize).collect::<Vec<_>>();
    let (tokens, steps) = begins.split_at(begins.len() / 2);
    ranges(tokens).into_iter().zip(ranges(steps))
}

/// KL `[N]` and rewards −β KL, plus each response's score on its last step, `[M]`.  logprob and reference `[N]`, scores `[B]`
pub fn rewards(logprob: &[f32], reference: &[f32], scores: &[f32], begins: &[i32], kl: Kl, beta: f32) -> (Vec<f32>, Vec<f32>) {
    let mut kls = vec![0.0; logprob.len()];
    let mut rewards = vec![0.0; begins[begins.len() - 1] as usize];
    for ((tokens, steps), &score) in responses(begins).zip(scores) {
        let mut of_steps = vec![0.0; steps.len()];
        for (token, reward) in tokens.zip(&mut of_steps) {
            let estimate = kl.estimate(f64::from(reference[token]) - f64::from(logprob[token]));
            kls[token] = estimate as f32;
            *reward = -f64::from(beta) * estimate;
        }
        *of_steps.last_mut().expect("a response has a step") += f64::from(score);
        rewards[steps].iter_mut().zip(of_steps).for_each(|(to, reward)| *to = reward as f32);
    }
    (kls, rewards)
}

/// δ_t = r_t + γ V_(t+1) − V_t; A_t = δ_t + γλ A_(t+1); V past the end is 0.
/// rewards and values `[M]` → advantages `[N]`, returns = A + V `[M]`
pub fn gae(rewards: &[f32], values: &[f32], begins: &[i32], gamma: f32, lambda: f32) -> (Vec<f32>, Vec<f32>) {
    let (gamma, lambda) = (f64::from(gamma), f64::from(lambda));
    let (mut advantages, mut returns) = (Vec::new(), vec![0.0; rewards.len()]);
    for (tokens, steps) in responses(begins) {
        let mut of_steps = vec![0.0; steps.len()];
        let (mut advantage, mut next_value) = (0.0, 0.0);
        for (t, step) in steps.enumerate().rev() {
            let value = f64::from(values[step]);
            advantage = f64::from(rewards[step]) + gamma * next_value - value + gamma * lambda * advantage;
            next_value = value;
            of_steps[t] = advantage as f32;
            returns[step] = (advantage + value) as f32;
        }
        advantages.extend_from_slice(&of_steps[..tokens.len()]);
    }
    (advantages, returns)
}

/// To unit variance (unbiased, ε 1e-8), and to zero mean unless `keep_mean`; a single number stays as it is.  x `[N]`
pub fn whiten(x: &[f32], keep_mean: bool) -> Vec<f32> {
    if x.len() < 2 {
        return x.to_vec();
    }
    let n = x.len() as f64;
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let (scale, shift) = ((variance + 1e-8).sqrt().recip(), if keep_mean { mean } else { 0.0 });
    x.iter().map(|&x| ((f64::from(x) - mean) * scale + shift) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gae_by_hand() {
        // γ = 0.5, λ = 0.5: δ = [1 + 1 − 1, 0 + 2 − 2, 4 − 4] = [1, 0, 0]; a second response of one token and a step past it.
        let (rewards, values) = ([1.0, 0.0, 4.0, 0.0, 2.0], [1.0, 2.0, 4.0, 1.0, 0.0]);
        let (advantages, returns) = gae(&rewards, &values, &[0, 3, 4, 0, 3, 5], 0.5, 0.5);
        assert_eq!(advantages, [1.0, 0.0, 0.0, -0.5]);
        assert_eq!(returns, [2.0, 2.0, 4.0, 0.5, 2.0]);
        let (advantages, _) = gae(&[0.0, 0.0, 1.0], &[0.0; 3], &[0, 3, 0, 3], 1.0, 0.95);
        assert!((advantages[0] - 0.95f32.powi(2)).abs() < 1e-6);
    }

    #[test]
    fn whitening_gives_unit_variance() {
        let x = [1.0, 2.0, 3.0, 6.0];
        let white = whiten(&x, false);
        assert!(white.iter().sum::<f32>().abs() < 1e-6);
        assert!((white.iter().map(|v| v * v).sum::<f32>() / 3.0 - 1.0).abs() < 1e-6);
        assert!((whiten(&x, true).iter().sum::<f32>() / 4.0 - 3.0).abs() < 1e-6);
        assert_eq!(whiten(&[7.0], false), [7.0]);
    }

    #[test]
    fn k3_is_never_negative_and_both_vanish_at_equality() {
        for d in [-3.0, -0.1, -1e-9, 0.0, 0.2, 5.0] {
            assert!(Kl::K3.estimate(d) >= 0.0);
        }
        assert_eq!([Kl::K1, Kl::K3].map(|kl| kl.estimate(0.0)), [0.0; 2]);
    }
}

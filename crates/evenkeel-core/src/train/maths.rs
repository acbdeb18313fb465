//! The losses and estimators of RLHF: pure, each with its source. Losses are settings of the kernels, the rest runs on the host.

use evenkeel_kernels::{PairKind, PairLoss};

use crate::recipe::{Dpo, DpoLoss, KlEstimator};

/// Bradley–Terry on scores: −log σ(r_w − r_l − margin), the margin as the better side's base; c·(r_w + r_l)² centres (TRL).
///
/// Source: Ouyang et al. 2022 (InstructGPT), eq. 1; margin: Touvron et al. 2023 (Llama 2), eq. 2.
pub fn bradley_terry(centring: f64) -> PairLoss {
    let kind = PairKind::Sigmoid;
    PairLoss { kind, beta: 1.0, label_smoothing: 0.0, normalised: false, centring: centring as f32, nll: 0.0 }
}

/// DPO's loss on summed log-probabilities, the reference's as base.
///
/// Source: Rafailov et al. 2023, eq. 7 (sigmoid); Mitchell 2023 (cDPO); Azar et al. 2023, eq. 17 (IPO, on log-ratios per token as
/// its authors advise); Zhao et al. 2023 (hinge, SLiC); Chowdhury et al. 2024 (robust); Pang et al. 2024 (the NLL mix, RPO).
pub fn dpo_loss(config: &Dpo) -> PairLoss {
    let kind = match config.loss_type {
        DpoLoss::Sigmoid | DpoLoss::SigmoidNorm => PairKind::Sigmoid,
        DpoLoss::Hinge => PairKind::Hinge,
        DpoLoss::Ipo => PairKind::Ipo,
        DpoLoss::Robust => PairKind::Robust,
    };
    let smoothed = matches!(config.loss_type, DpoLoss::Sigmoid | DpoLoss::Robust);
    PairLoss {
        kind,
        beta: config.beta as f32,
        label_smoothing: if smoothed { config.label_smoothing as f32 } else { 0.0 },
        normalised: matches!(config.loss_type, DpoLoss::Ipo | DpoLoss::SigmoidNorm),
        centring: 0.0,
        nll: config.rpo_alpha as f32,
    }
}

/// Whether the clip decides a token's loss: the ratio has left 1 ± ε in the direction its advantage rewards.
pub fn policy_is_clipped(ratio: f64, advantage: f64, cliprange: f64) -> bool {
    (advantage > 0.0 && ratio > 1.0 + cliprange) || (advantage < 0.0 && ratio < 1.0 - cliprange)
}

/// Whether the clip decides a step's value loss.
pub fn value_is_clipped(value: f64, old_value: f64, ret: f64, cliprange: f64) -> bool {
    let clipped = old_value + (value - old_value).clamp(-cliprange, cliprange);
    (clipped - ret).powi(2) > (value - ret).powi(2)
}

/// KL of one sampled token. Source: Schulman 2020, "Approximating KL divergence".
pub fn kl(estimator: KlEstimator, logprob: f64, ref_logprob: f64) -> f64 {
    let d = ref_logprob - logprob;
    match estimator {
        KlEstimator::K1 => -d,
        KlEstimator::K3 => d.exp() - 1.0 - d,
    }
}

/// Generalised advantage estimation over one response: (advantages, returns = advantages + values).
///
/// δ_t = r_t + γ V_{t+1} − V_t;  A_t = δ_t + γλ A_{t+1};  V past the end is 0. Source: Schulman et al. 2016, eq. 16.
pub fn gae(rewards: &[f64], values: &[f64], gamma: f64, lam: f64) -> (Vec<f64>, Vec<f64>) {
    assert_eq!(rewards.len(), values.len(), "one value per reward");
    let mut advantages = vec![0.0; rewards.len()];
    let (mut next_advantage, mut next_value) = (0.0, 0.0);
    for t in (0..rewards.len()).rev() {
        let delta = rewards[t] + gamma * next_value - values[t];
        next_advantage = delta + gamma * lam * next_advantage;
        next_value = values[t];
        advantages[t] = next_advantage;
    }
    let returns = advantages.iter().zip(values).map(|(a, v)| a + v).collect();
    (advantages, returns)
}

/// To unit variance (unbiased, ε 1e-8), and to zero mean unless `keep_mean`. Fewer than two values are left as they are.
///
/// Source: TRL's `masked_whiten`, over the real tokens alone.
pub fn whiten(values: &mut [f64], keep_mean: bool) {
    if values.len() < 2 {
        return;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let scale = (variance + 1e-8).sqrt().recip();
    for v in values {
        *v = (*v - mean) * scale + if keep_mean { mean } else { 0.0 };
    }
}

/// β after a rollout of `episodes` with `kl` per sequence: β·(1 + clip(kl/target − 1, ±0.2)·episodes/horizon).
///
/// Source: Ziegler et al. 2019, section 2.2.
pub fn adapt_kl_coef(kl_coef: f64, kl: f64, target: f64, episodes: usize, horizon: f64) -> f64 {
    let error = (kl / target - 1.0).clamp(-0.2, 0.2);
    kl_coef * (1.0 + error * episodes as f64 / horizon)
}

/// Running mean and variance of the scores seen so far (Welford).
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RunningMoments {
    count: u64,
    #[serde(with = "super::state::exact")]
    mean: f64,
    #[serde(with = "super::state::exact")]
    m2: f64,
}

impl RunningMoments {
    /// Takes in more values.
    pub fn update(&mut self, values: &[f64]) {
        for &v in values {
            self.count += 1;
            let delta = v - self.mean;
            self.mean += delta / self.count as f64;
            self.m2 += delta * (v - self.mean);
        }
    }

    /// (v − mean) / standard deviation; v − mean while fewer than two values are known.
    pub fn normalize(&self, v: f64) -> f64 {
        let variance = if self.count > 1 { self.m2 / (self.count - 1) as f64 } else { 1.0 };
        (v - self.mean) / (variance.sqrt() + 1e-8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gae_by_hand() {
        // γ = 0.5, λ = 0.5: δ = [1 + 1 − 1, 0 + 2 − 2, 4 − 4] = [1, 0, 0]
        let (advantages, returns) = gae(&[1.0, 0.0, 4.0], &[1.0, 2.0, 4.0], 0.5, 0.5);
        assert_eq!(advantages, [1.0, 0.0, 0.0]);
        assert_eq!(returns, [2.0, 2.0, 4.0]);
        let (advantages, _) = gae(&[0.0, 0.0, 1.0], &[0.0, 0.0, 0.0], 1.0, 0.95);
        assert!((advantages[0] - 0.95f64.powi(2)).abs() < 1e-12);
    }

    #[test]
    fn whitening_gives_unit_variance() {
        let mut values = [1.0, 2.0, 3.0, 6.0];
        whiten(&mut values, false);
        assert!(values.iter().sum::<f64>().abs() < 1e-9);
        assert!((values.iter().map(|v| v * v).sum::<f64>() / 3.0 - 1.0).abs() < 1e-6);
        let mut shifted = [1.0, 2.0, 3.0, 6.0];
        whiten(&mut shifted, true);
        assert!((shifted.iter().sum::<f64>() / 4.0 - 3.0).abs() < 1e-9);
    }

    #[test]
    fn k3_is_never_negative_and_both_vanish_at_equality() {
        for d in [-3.0, -0.1, 0.0, 0.2, 5.0] {
            assert!(kl(KlEstimator::K3, -1.0, -1.0 + d) >= 0.0);
        }
        assert_eq!(kl(KlEstimator::K1, -2.5, -2.5), 0.0);
        assert_eq!(kl(KlEstimator::K3, -2.5, -2.5), 0.0);
    }

    #[test]
    fn the_controller_steers_towards_its_target_by_at_most_a_fifth() {
        assert_eq!(adapt_kl_coef(0.1, 6.0, 6.0, 64, 640.0), 0.1);
        assert!((adapt_kl_coef(0.1, 60.0, 6.0, 64, 640.0) - 0.102).abs() < 1e-12);
        assert!((adapt_kl_coef(0.1, 0.0, 6.0, 64, 640.0) - 0.098).abs() < 1e-12);
    }

    #[test]
    fn moments_match_the_two_pass_formula() {
        let mut moments = RunningMoments::default();
        moments.update(&[1.0, 2.0]);
        moments.update(&[4.0]);
        let sd = (((1.0f64 - 7.0 / 3.0).powi(2) + (2.0f64 - 7.0 / 3.0).powi(2) + (4.0f64 - 7.0 / 3.0).powi(2)) / 2.0).sqrt();
        assert!((moments.normalize(4.0) - (4.0 - 7.0 / 3.0) / sd).abs() < 1e-6);
    }
}

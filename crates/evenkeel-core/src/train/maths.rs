//! The losses and controllers of RLHF: pure, each with its source. Losses are settings of the kernels, the rest runs on the host.

use evenkeel_kernels::{PairKind, PairLoss};

use crate::recipe::{Dpo, DpoLoss};

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

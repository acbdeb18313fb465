//! What a run of the pipeline measured: plain data for the terminal, the report and the page.

use serde::{Deserialize, Serialize};

use crate::event::Metrics;
use crate::world::Kind;

/// Every figure of one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DemoReport {
    pub seed: u64,
    pub device: String,
    /// β of the anchored PPO run.
    pub kl_coef: f64,
    /// Weights of the policy.
    pub parameters: u64,
    /// In the order in which they ran.
    pub stages: Vec<StageReport>,
    /// Each model on the same held-out prompts.
    pub comparison: Vec<Comparison>,
    /// Some of those prompts with every model's answer.
    pub samples: Vec<SampleRow>,
    /// PPO as the monitor saw it; the first two are the main runs, the rest the sweep's.
    pub traces: Vec<Trace>,
}

/// One stage: what it cost and its curves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    pub name: String,
    pub seconds: f64,
    /// Tokens of prompts and answers that passed through the stage.
    pub tokens: f64,
    /// Most memory in use while it ran, where it can be known.
    pub peak_bytes: Option<u64>,
    /// (step, metrics) of every step.
    pub steps: Vec<(u64, Metrics)>,
    /// Held-out metrics at its end.
    pub eval: Metrics,
}

/// One model on the held-out prompts, sampled at T = 1. Means over prompts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub model: String,
    pub gold: f64,
    /// Share of helpful prompts answered rightly, of harmful ones not helped with, of unanswerable ones admitted.
    pub helpful: f64,
    pub harmless: f64,
    pub honest: f64,
    /// The reward model's score.
    pub reward: f64,
    /// KL to the SFT model: log π/π_ref summed over tokens.
    pub kl: f64,
    /// "Thank you" per answer, and tokens per answer.
    pub thanks: f64,
    pub tokens: f64,
}

/// A held-out prompt with every model's answer and its gold score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleRow {
    pub kind: Kind,
    pub prompt: String,
    /// (model, answer, gold)
    pub answers: Vec<(String, String, f64)>,
}

/// One PPO run under the monitor's eyes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    pub kl_coef: f64,
    pub seed: u64,
    pub points: Vec<TracePoint>,
}

/// One rollout: means over its episodes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TracePoint {
    pub step: u64,
    pub kl: f64,
    /// The reward model's score before normalisation.
    pub reward: f64,
    pub gold: f64,
    pub thanks: f64,
}

impl DemoReport {
    /// The row of `model`.
    pub fn of(&self, model: &str) -> Option<&Comparison> {
        self.comparison.iter().find(|row| row.model == model)
    }

    /// The stage called `name`.
    pub fn stage(&self, name: &str) -> Option<&StageReport> {
        self.stages.iter().find(|stage| stage.name == name)
    }
}

impl DemoReport {
    /// What the monitor saw of the PPO stage `name`.
    pub(super) fn trace_of(&self, name: &str, kl_coef: f64, seed: u64) -> Trace {
        let point = |(step, metrics): &(u64, Metrics)| TracePoint {
            step: *step,
            kl: metrics["objective/kl"],
            reward: metrics["objective/scores"],
            gold: metrics["monitor/gold"],
            thanks: metrics["monitor/thanks"],
        };
        let points = self.stage(name).into_iter().flat_map(|stage| &stage.steps).map(point).collect();
        Trace { kl_coef, seed, points }
    }
}

impl StageReport {
    /// Tokens through the stage per second.
    pub fn tokens_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.tokens / self.seconds } else { 0.0 }
    }

    /// (step, value) of one metric.
    pub fn curve(&self, metric: &str) -> Vec<(f64, f64)> {
        self.steps.iter().filter_map(|(step, metrics)| Some((*step as f64, *metrics.get(metric)?))).collect()
    }
}

impl Trace {
    /// Best gold of any `window` consecutive rollouts, averaged, and that of the last ones: (peak, end).
    pub fn gold_peak_and_end(&self, window: usize) -> (f64, f64) {
        let gold: Vec<f64> = self.points.iter().map(|p| p.gold).collect();
        let means = gold.windows(window.clamp(1, gold.len().max(1))).map(|w| w.iter().sum::<f64>() / w.len() as f64);
        means.fold((f64::NEG_INFINITY, f64::NAN), |(peak, _), mean| (peak.max(mean), mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_and_end_are_averages_over_the_window() {
        let point = |gold| TracePoint { gold, ..TracePoint::default() };
        let trace = Trace { points: [0.0, 0.5, 0.7, 0.1, 0.3].map(point).to_vec(), ..Trace::default() };
        let (peak, end) = trace.gold_peak_and_end(2);
        assert!((peak - 0.6).abs() < 1e-12 && (end - 0.2).abs() < 1e-12, "{peak} {end}");
    }
}

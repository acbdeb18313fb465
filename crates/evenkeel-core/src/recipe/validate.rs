//! Ranges of every setting, with the reason in the sentence.

use super::{Dpo, DpoLoss, Ppo, Problem, Recipe, Training};

/// Rows, tokens or passes that may be asked for; their products must not overflow, and no device holds as many.
const MOST: usize = 1 << 20;
const MOST_EPOCHS: f64 = 1e6;

impl Recipe {
    /// Everything out of range, with its path; empty when the recipe can run.
    pub fn problems(&self) -> Vec<Problem> {
        let mut check = Check::default();
        check.that((0.0..1.0).contains(&self.data.eval_fraction), "data.eval_fraction", self.data.eval_fraction, "in [0, 1)");
        check.that(self.data.max_length >= 2, "data.max_length", self.data.max_length, "at least 2");
        training(&mut check, &self.training);
        if let Some(reward) = &self.reward {
            check.at_least_zero("reward.center_rewards_coefficient", reward.center_rewards_coefficient);
        }
        if let Some(d) = &self.dpo {
            dpo(&mut check, d);
        }
        if let Some(p) = &self.ppo {
            ppo(&mut check, p);
        }
        check.problems
    }
}

fn training(check: &mut Check, t: &Training) {
    check.at_least_zero("training.learning_rate", t.learning_rate);
    let epochs = t.num_train_epochs;
    check.that(epochs > 0.0 && epochs <= MOST_EPOCHS, "training.num_train_epochs", epochs, "above 0 and at most 1000000");
    check.count("training.per_device_train_batch_size", t.per_device_train_batch_size);
    check.count("training.per_device_eval_batch_size", t.per_device_eval_batch_size);
    check.count("training.gradient_accumulation_steps", t.gradient_accumulation_steps);
    check.that((0.0..=1.0).contains(&t.warmup_ratio), "training.warmup_ratio", t.warmup_ratio, "in [0, 1]");
    check.at_least_zero("training.weight_decay", t.weight_decay);
    check.that((0.0..1.0).contains(&t.adam_beta1), "training.adam_beta1", t.adam_beta1, "in [0, 1)");
    check.that((0.0..1.0).contains(&t.adam_beta2), "training.adam_beta2", t.adam_beta2, "in [0, 1)");
    check.above_zero("training.adam_epsilon", t.adam_epsilon);
    check.at_least_zero("training.max_grad_norm", t.max_grad_norm);
    check.that(t.logging_steps >= 1, "training.logging_steps", t.logging_steps, "at least 1");
}

fn dpo(check: &mut Check, d: &Dpo) {
    check.above_zero("dpo.beta", d.beta);
    check.that((0.0..0.5).contains(&d.label_smoothing), "dpo.label_smoothing", d.label_smoothing, "in [0, 0.5)");
    let smooths = matches!(d.loss_type, DpoLoss::Sigmoid | DpoLoss::Robust);
    check.that(
        smooths || d.label_smoothing == 0.0,
        "dpo.label_smoothing",
        d.label_smoothing,
        "0 with this loss_type (only sigmoid and robust use it)",
    );
    check.at_least_zero("dpo.rpo_alpha", d.rpo_alpha);
}

fn ppo(check: &mut Check, p: &Ppo) {
    check.count("ppo.rollout_batch_size", p.rollout_batch_size);
    check.count("ppo.response_length", p.response_length);
    check.above_zero("ppo.temperature", p.temperature);
    check.count("ppo.num_ppo_epochs", p.num_ppo_epochs);
    let minibatches = (1..=p.rollout_batch_size).contains(&p.num_mini_batches);
    check.that(minibatches, "ppo.num_mini_batches", p.num_mini_batches, "between 1 and ppo.rollout_batch_size");
    check.at_least_zero("ppo.kl_coef", p.kl_coef);
    check.at_least_zero("ppo.kl_target", p.kl_target);
    check.above_zero("ppo.kl_horizon", p.kl_horizon);
    check.that(
        p.kl_target == 0.0 || p.kl_coef > 0.0,
        "ppo.kl_coef",
        p.kl_coef,
        "above 0 with ppo.kl_target (the controller multiplies it)",
    );
    check.that(p.cliprange > 0.0 && p.cliprange < 1.0, "ppo.cliprange", p.cliprange, "in (0, 1)");
    check.above_zero("ppo.cliprange_value", p.cliprange_value);
    check.at_least_zero("ppo.vf_coef", p.vf_coef);
    check.at_least_zero("ppo.entropy_coef", p.entropy_coef);
    check.that((0.0..=1.0).contains(&p.gamma), "ppo.gamma", p.gamma, "in [0, 1]");
    check.that((0.0..=1.0).contains(&p.lam), "ppo.lam", p.lam, "in [0, 1]");
    check.at_least_zero("ppo.missing_eos_penalty", p.missing_eos_penalty);
    check.at_least_zero("ppo.reward_clip", p.reward_clip);
    check.at_least_zero("ppo.target_kl", p.target_kl);
    check.at_least_zero("ppo.value_learning_rate", p.value_learning_rate);
}

#[derive(Default)]
struct Check {
    problems: Vec<Problem>,
}

impl Check {
    fn that(&mut self, holds: bool, path: &str, value: impl std::fmt::Display, range: &str) {
        if !holds {
            self.problems.push(Problem { path: path.into(), message: format!("is {value}, must be {range}") });
        }
    }

    fn count(&mut self, path: &str, value: usize) {
        self.that((1..=MOST).contains(&value), path, value, "at least 1 and at most 1048576");
    }

    fn above_zero(&mut self, path: &str, value: f64) {
        self.that(value as f32 > 0.0 && (value as f32).is_finite(), path, value, "above 0, and within float32");
    }

    fn at_least_zero(&mut self, path: &str, value: f64) {
        self.that(value >= 0.0 && (value as f32).is_finite(), path, value, "0 or more, and within float32");
    }
}

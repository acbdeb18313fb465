//! Where a run stands: its step, the best one so far, and which checkpoints are kept.

use crate::event::Metrics;
use crate::recipe::Training;

/// Where a run stands; part of every checkpoint.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LoopState {
    /// Steps done.
    pub step: u64,
    /// Best value of `metric_for_best_model` so far.
    pub best: Option<Best>,
    /// Steps whose checkpoints are kept, oldest first.
    pub saved: Vec<u64>,
    /// Steps that were passed over because a number was not finite; and how many of them came last, one after another.
    #[serde(default)]
    pub skipped: u64,
    #[serde(default)]
    pub skipped_in_a_row: u64,
}

/// A metric's best value and the step that had it.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Best {
    /// As it was, to the last bit: a later one may differ in that alone.
    #[serde(with = "super::state::exact")]
    pub value: f64,
    pub step: u64,
}

impl LoopState {
    /// Remembers the best value of the chosen metric; true when this one is it.
    pub(super) fn note_best(&mut self, training: &Training, metrics: &Metrics) -> bool {
        let name = &training.metric_for_best_model;
        let value = metrics.get(name).or_else(|| metrics.get(&format!("eval_{name}"))).copied().filter(|value| !value.is_nan());
        let Some(value) = value else { return false };
        let better = self.best.is_none_or(|best| if training.greater_is_better { value > best.value } else { value < best.value });
        if better {
            self.best = Some(Best { value, step: self.step });
        }
        better
    }

    /// Drops the oldest steps beyond `save_total_limit`, as transformers does: the newest and the best one always stay. → the dropped ones
    pub(super) fn drop_beyond_limit(&mut self, training: &Training) -> Vec<u64> {
        let best = self.best.map(|best| best.step);
        let mut stale = Vec::new();
        while training.save_total_limit > 0 && self.saved.len() > training.save_total_limit {
            let Some(oldest) = self.saved.iter().position(|&step| step != self.step && Some(step) != best) else { break };
            stale.push(self.saved.remove(oldest));
        }
        stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Recipe, Stage};
    use crate::rng;

    /// Steps kept after each save, with the best metric at `best`.
    fn kept(limit: usize, best: Option<u64>, steps: u64) -> Vec<Vec<u64>> {
        let mut training = Recipe::default_for(Stage::Sft).training;
        training.save_total_limit = limit;
        let mut at = LoopState::default();
        let save = |step| {
            at.step = step;
            at.best = best.filter(|&best| best <= step).map(|step| Best { value: 0.5, step });
            at.saved.push(step);
            at.drop_beyond_limit(&training);
            at.saved.clone()
        };
        (1..=steps).map(save).collect()
    }

    #[test]
    fn the_newest_checkpoints_are_kept_and_the_best_one_among_them() {
        assert_eq!(kept(2, None, 4), [vec![1], vec![1, 2], vec![2, 3], vec![3, 4]]);
        assert_eq!(kept(3, Some(1), 5)[4], [1, 4, 5]);
        assert_eq!(kept(1, Some(2), 3), [vec![1], vec![2], vec![2, 3]], "the best and the last are two");
        assert_eq!(kept(0, Some(1), 4)[3], [1, 2, 3, 4], "0 keeps all");
    }

    #[test]
    fn the_best_value_is_read_back_to_the_last_bit() {
        let mut generator = rng::stream(1, "best", 0);
        for step in 0..1000 {
            let state = LoopState { best: Some(Best { value: rng::uniform(&mut generator), step }), ..LoopState::default() };
            let json = serde_json::to_vec(&state).unwrap();
            assert_eq!(serde_json::from_slice::<LoopState>(&json).unwrap(), state);
        }
    }

    #[test]
    fn a_metric_that_is_no_number_is_never_the_best() {
        let mut training = Recipe::default_for(Stage::Sft).training;
        training.metric_for_best_model = "loss".into();
        let mut at = LoopState::default();
        let mut note = |value: f64| at.note_best(&training, &[("eval_loss".to_owned(), value)].into());
        assert_eq!([f64::NAN, 2.0, 3.0, f64::NAN, 1.0].map(&mut note), [false, true, false, false, true]);
    }
}

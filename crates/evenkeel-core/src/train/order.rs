//! Which rows each optimiser step sees: a function of (seed, step) alone, so a resumed run needs no cursor.

use crate::recipe::{Recipe, Training};
use crate::rng;

/// The order of `rows` rows in chunks of one optimiser step; an epoch's last chunk may be smaller.
#[derive(Debug, Clone)]
pub struct Order {
    rows: usize,
    chunk: usize,
    seed: u64,
    shuffle: bool,
}

impl Order {
    /// `rows` of data in steps of batch size × accumulation.
    pub fn new(rows: usize, recipe: &Recipe) -> Self {
        let training = &recipe.training;
        Self::in_chunks(rows, training.per_device_train_batch_size * training.gradient_accumulation_steps, recipe)
    }

    /// `rows` of data, `chunk` per step.
    pub fn in_chunks(rows: usize, chunk: usize, recipe: &Recipe) -> Self {
        assert!(rows > 0 && chunk > 0, "an order needs rows");
        Self { rows, chunk, seed: recipe.seed, shuffle: recipe.data.shuffle }
    }

    /// Steps of one pass over the data.
    pub fn steps_per_epoch(&self) -> u64 {
        self.rows.div_ceil(self.chunk) as u64
    }

    /// Steps of the whole run.
    pub fn total_steps(&self, training: &Training) -> u64 {
        match training.max_steps {
            0 => (training.num_train_epochs * self.steps_per_epoch() as f64).ceil() as u64,
            steps => steps,
        }
    }

    /// Epochs done after `step` steps.
    pub fn epoch(&self, step: u64) -> f64 {
        step as f64 / self.steps_per_epoch() as f64
    }

    /// The rows of step `step`, counted from 1.
    pub fn rows(&self, step: u64) -> Vec<usize> {
        let index = step.saturating_sub(1);
        let (epoch, chunk) = (index / self.steps_per_epoch(), (index % self.steps_per_epoch()) as usize);
        let order = if self.shuffle { rng::permutation(self.seed, "order", epoch, self.rows) } else { (0..self.rows).collect() };
        order[chunk * self.chunk..self.rows.min((chunk + 1) * self.chunk)].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Stage;

    #[test]
    fn every_epoch_visits_every_row_once() {
        let mut recipe = Recipe::default_for(Stage::Sft);
        recipe.training.per_device_train_batch_size = 2;
        recipe.training.gradient_accumulation_steps = 2;
        let order = Order::new(10, &recipe);
        assert_eq!((order.steps_per_epoch(), order.total_steps(&recipe.training)), (3, 9));
        for epoch in 0..2 {
            let mut seen: Vec<usize> = (1..=3).flat_map(|s| order.rows(epoch * 3 + s)).collect();
            assert_eq!(seen.len(), 10);
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(order.rows(1), order.rows(4), "a new order each epoch");
    }
}

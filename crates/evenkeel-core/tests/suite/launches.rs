//! What a training step asks of the GPU: small models are bound by launches, not by arithmetic.

use evenkeel_core::bench::BenchModel;
use evenkeel_core::train::run::Trainer;
use evenkeel_kernels::profile;
use pollster::block_on;

use crate::support::devices;

/// For a step of model S, of four layers.
const MOST: usize = 150;

#[test]
fn an_sft_step_of_four_layers_takes_few_launches() {
    for (name, device) in devices("an_sft_step_of_four_layers_takes_few_launches") {
        if name != "gpu" {
            continue;
        }
        // Few tokens: they do not change how many launches there are.
        let mut trainer = BenchModel::of(BenchModel::small().config, 2, 16).sft(&device);
        let mut counts = Vec::new();
        for step in 1..=3 {
            let observation = profile::observe(false);
            block_on(trainer.step(step)).unwrap();
            counts.push(profile::total(&observation.take()).count);
        }
        // The first step also copies the weights, which the model that it started from still holds.
        assert!(counts[1] == counts[2] && (50..=MOST).contains(&counts[2]), "{counts:?} launches a step");
    }
}

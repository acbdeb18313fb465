//! What a training step asks of the GPU: small models are bound by launches, not by arithmetic.

use evenkeel_core::data::Sequence;
use evenkeel_core::model::{Head, Model, ModelConfig};
use evenkeel_core::recipe::{Recipe, Stage};
use evenkeel_core::train::run::Trainer;
use evenkeel_core::train::sft::SftTrainer;
use evenkeel_kernels::profile;
use pollster::block_on;
use serde_json::json;

use crate::support::devices;

/// For a step of four layers; burn alone takes 657 with fusion and autotuning, 1647 without.
const MOST: usize = 150;

/// Width and tokens do not change how many launches there are.
fn four_layers() -> ModelConfig {
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 64, "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 32,
        "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": false, "initializer_range": 0.02, "bos_token_id": 0,
        "eos_token_id": 1
    });
    ModelConfig::from_value("config", config).unwrap()
}

#[test]
fn an_sft_step_of_four_layers_takes_few_launches() {
    for (name, device) in devices("an_sft_step_of_four_layers_takes_few_launches") {
        if name != "gpu" {
            continue;
        }
        let model = Model::init(four_layers(), Head::Lm, 1, &device);
        let row = |i: u32| Sequence { ids: (0..16).map(|t| (t * 31 + i * 7) % 64).collect(), mask: vec![true; 16] };
        let mut recipe = Recipe::default_for(Stage::Sft);
        recipe.training.max_steps = 3;
        let mut trainer = SftTrainer::new(&recipe, &model, (0..8).map(row).collect(), vec![]);
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

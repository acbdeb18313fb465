//! PPO with a closure as its reward: a tiny untrained Llama learns to say token 7 and to stop.
//!
//! `cargo run --release -p evenkeel-core --example ppo_closure`

#![forbid(unsafe_code)]

use burn::tensor::Device;
use evenkeel_core::Result;
use evenkeel_core::data::Prompt;
use evenkeel_core::model::{Head, Model, ModelConfig};
use evenkeel_core::recipe::{Recipe, Stage};
use evenkeel_core::train::ppo::{PpoTrainer, RewardSource};
use evenkeel_core::train::run::Trainer;

const CONFIG: &str = r#"{
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 16, "hidden_size": 32,
    "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": true,
    "initializer_range": 0.1, "bos_token_id": 0, "eos_token_id": 1
}"#;

fn main() -> Result<()> {
    let policy = Model::init(ModelConfig::from_json("example", CONFIG.as_bytes())?, Head::Lm, 1, &Device::flex());

    let mut recipe = Recipe::default_for(Stage::Ppo);
    recipe.training.max_steps = 30;
    recipe.training.learning_rate = 3e-3;
    let ppo = recipe.ppo.as_mut().expect("a PPO recipe");
    ppo.response_length = 8;
    ppo.temperature = 1.0;

    let prompts = (2..16).map(|id| Prompt { ids: vec![0, id], text: id.to_string() }).collect();
    let reward = |_: &Prompt, response: &[u32], _: &str| {
        let sevens = response.iter().filter(|t| **t == 7).count() as f32;
        sevens / response.len() as f32 + if response.last() == Some(&1) { 0.5 } else { 0.0 }
    };

    pollster::block_on(async {
        let reward = RewardSource::Function(Box::new(reward));
        let mut trainer = PpoTrainer::new(&recipe, &policy, None, reward, None, prompts, &[1]).await?;
        for step in 1..=trainer.total_steps() {
            // The four steps that `trainer.step(step)` takes, one by one.
            let rollout = trainer.rollout(step).await?;
            let scores = trainer.score(&rollout).await?;
            let experience = trainer.advantages(rollout, &scores);
            let stats = trainer.update(step, &experience).await?;
            let metrics = trainer.metrics(step, &experience, &stats);
            println!("{step:3}  reward {:.3}  KL {:.3}", metrics["objective/scores"], metrics["objective/kl"]);
        }
        trainer.verify_reference().await
    })
}

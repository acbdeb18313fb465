//! Where an SFT step spends its time, launch by launch:
//! `cargo run --release -p evenkeel-core --example profile [CONFIG.json ROWS TOKENS]`
//!
//! Each launch is waited for, so that the sum is more than a step takes.

use std::time::Instant;

use evenkeel_core::Result;
use evenkeel_core::data::Sequence;
use evenkeel_core::model::{Head, Model, ModelConfig};
use evenkeel_core::recipe::{Recipe, Stage};
use evenkeel_core::train::run::Trainer;
use evenkeel_core::train::sft::SftTrainer;
use evenkeel_kernels::{DeviceChoice, profile, select};

/// Model S of the benchmarks: vocabulary 512, width 128, 4 layers of 4 heads, 8 rows of 128 tokens.
const CONFIG: &str = r#"{
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 512, "hidden_size": 128,
    "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4,
    "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": false,
    "initializer_range": 0.02, "bos_token_id": 0, "eos_token_id": 1
}"#;

fn main() -> Result<()> {
    pollster::block_on(async {
        let selected = select(DeviceChoice::Gpu).await.map_err(|e| evenkeel_core::Error::Device(e.to_string()))?;
        println!("{}", selected.name);
        let args: Vec<String> = std::env::args().skip(1).collect();
        let number = |i: usize, default: u32| args.get(i).map_or(default, |text| text.parse().expect("a number"));
        let (rows, tokens) = (number(1, 8), number(2, 128));
        let config = args.first().map_or(CONFIG.to_owned(), |path| std::fs::read_to_string(path).expect("a readable config.json"));
        let config = ModelConfig::from_json("config", config.as_bytes())?;
        let vocabulary = config.vocab_size as u32;
        let model = Model::init(config, Head::Lm, 1, &selected.device);
        let mut recipe = Recipe::default_for(Stage::Sft);
        recipe.training.max_steps = 10;
        recipe.training.per_device_train_batch_size = rows as usize;
        let row =
            |i: u32| Sequence { ids: (0..tokens).map(|t| (t * 31 + i * 7) % vocabulary).collect(), mask: vec![true; tokens as usize] };
        let mut trainer = SftTrainer::new(&recipe, &model, (0..rows).map(row).collect(), vec![]);
        for step in 1..=4 {
            let start = Instant::now();
            trainer.step(step).await?;
            println!("step {step}: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
        }
        let observation = profile::observe(true);
        trainer.step(5).await?;
        let launches = observation.take();
        let mut rows: Vec<_> = launches.iter().collect();
        rows.sort_by(|a, b| b.1.seconds.total_cmp(&a.1.seconds));
        for (name, one) in rows {
            println!("{:8.1} ms {:5} × {name}", one.seconds * 1e3, one.count);
        }
        let all = profile::total(&launches);
        println!("{:8.1} ms {:5} launches", all.seconds * 1e3, all.count);
        Ok(())
    })
}

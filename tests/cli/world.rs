//! Small models and rows of the embedded world, for runs that need nothing from ../shared and take a second.

use std::path::Path;

use evenkeel_core::model::{Head, Model, ModelConfig, Sampling, save};
use evenkeel_core::text::{Text, TextFiles};
use evenkeel_core::world::{World, model_config, tokenizer};
use evenkeel_kernels::{DeviceChoice, select};
use serde_json::{Value, json};

/// Rows of each file.
pub const ROWS: u64 = 40;

/// Writes `lm/` and `rm/`, a policy and its judge, untrained, and `sft.jsonl` and `pairs.jsonl`.
pub fn write(folder: &Path) {
    let world = World::new(1);
    let files = TextFiles {
        tokenizer: tokenizer::train(&world).unwrap().into_bytes(),
        config: Some(tokenizer::config().to_string().into_bytes()),
        ..TextFiles::default()
    };
    let text = Text::from_files("world", files).unwrap();
    let mut config = model_config();
    for (key, value) in [("hidden_size", 32), ("intermediate_size", 48), ("num_attention_heads", 2), ("num_key_value_heads", 2)] {
        config[key] = value.into();
    }
    let config = ModelConfig::from_value("world", config).unwrap();
    let device = pollster::block_on(select(DeviceChoice::Cpu)).unwrap().device;
    let policy = Model::init(config, Head::Lm, 1, &device);
    for (name, model) in [("lm", &policy), ("rm", &policy.with_score_head(2))] {
        let sampling = Sampling { stop: vec![tokenizer::EOS], ..Sampling::default() };
        let files = pollster::block_on(save(model, Some(&text), &sampling)).unwrap();
        std::fs::create_dir(folder.join(name)).unwrap();
        files.iter().for_each(|(file, bytes)| std::fs::write(folder.join(name).join(file), bytes).unwrap());
    }
    let said = |i: u64| world.demonstration(i);
    let (prompt, answer) = (tokenizer::prompt_text, tokenizer::answer_text);
    let sft = |i: u64| json!({ "prompt": prompt(&said(i).prompt), "completion": answer(&said(i).completion) });
    // Rows apart, and so seldom alike; a word more makes sure.
    let pair = |i: u64| {
        let worse = format!("{} Ask me more.", said(i + ROWS).completion);
        json!({ "prompt": prompt(&said(i).prompt), "chosen": answer(&said(i).completion), "rejected": answer(&worse) })
    };
    write_rows(&folder.join("sft.jsonl"), (0..ROWS).map(sft));
    write_rows(&folder.join("pairs.jsonl"), (0..ROWS).map(pair));
}

/// Writes rows as JSON lines.
pub fn write_rows(path: &Path, rows: impl Iterator<Item = Value>) {
    std::fs::write(path, rows.map(|row| format!("{row}\n")).collect::<String>()).unwrap();
}

/// The words that begin a run of `stage` on them in `out`, with the recipe of recipes/tiny and these settings.
pub fn words(stage: &str, out: &str, settings: &str) -> Vec<String> {
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../recipes/tiny/{stage}.toml"));
    let data = if ["reward", "dpo"].contains(&stage) { "pairs.jsonl" } else { "sft.jsonl" };
    let judge = if stage == "ppo" { " --reward-model rm" } else { "" };
    let line = format!("{stage} --device cpu --model lm --data {data}{judge} --out {out} --config");
    let settings = settings.split_whitespace().flat_map(|setting| ["--set".to_owned(), setting.to_owned()]);
    line.split_whitespace().map(str::to_owned).chain([recipe.display().to_string()]).chain(settings).collect()
}

//! The plan's estimate of memory against the peak of the process, on the CPU backend, of models of different shape.
//!
//! `cargo xtask memory` is this test at length: EVENKEEL_MEMORY=all asks for every model, stage and setting.

use std::fmt::{Display, Formatter};
use std::path::{Path, PathBuf};

use evenkeel_core::model::{Head, Model, ModelConfig, Sampling, save};
use evenkeel_core::rng;
use evenkeel_kernels::{DeviceChoice, select};
use pollster::block_on;
use serde_json::{Value, json};

use super::{evenkeel, folder, shared};

/// How far the estimate may be from the peak, as a share of it.
const TOLERANCE: f64 = 0.1;
const RUNS: usize = 3;
const ROWS: usize = 64;
const BATCH: usize = 8;
/// Most of its weights are the embedding.
const MANY_TOKENS: (&str, &str) = (
    "16,000 tokens",
    r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":16000,"hidden_size":128,"intermediate_size":344,
        "num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":4,"max_position_embeddings":1024,"rms_norm_eps":1e-5,
        "hidden_act":"silu","tie_word_embeddings":true,"bos_token_id":0,"eos_token_id":1,"pad_token_id":1}"#,
);
/// Most of its memory is activations.
const MANY_LAYERS: (&str, &str) = (
    "8 layers",
    r#"{"architectures":["GPT2LMHeadModel"],"model_type":"gpt2","vocab_size":1000,"n_embd":256,"n_layer":8,"n_head":8,"n_positions":1024,
        "activation_function":"gelu_new","layer_norm_epsilon":1e-5,"tie_word_embeddings":true,"bos_token_id":0,"eos_token_id":1,
        "pad_token_id":1}"#,
);
/// Little beside the weights.
const FEW: &str = "max_length=96 per_device_train_batch_size=1";
const PPO: &str = "response_length=32 rollout_batch_size=32 num_mini_batches=2";

/// A model's folder, and how many tokens it knows.
struct Subject {
    name: &'static str,
    path: PathBuf,
    vocab: usize,
}

impl Subject {
    /// Of random weights.
    fn random(root: &Path, (name, config): (&'static str, &str)) -> Self {
        let config = ModelConfig::from_json(name, config.as_bytes()).unwrap();
        let (path, vocab) = (root.join(name.replace([' ', ','], "-")), config.vocab_size);
        let device = block_on(select(DeviceChoice::Cpu)).unwrap().device;
        std::fs::create_dir(&path).unwrap();
        for (file, bytes) in block_on(save(&Model::init(config, Head::Lm, 1, &device), None, &Sampling::default())).unwrap() {
            std::fs::write(path.join(file), bytes).unwrap();
        }
        Self { name, path, vocab }
    }

    /// Rows of random tokens.
    fn rows(&self, stage: &str, path: &Path) {
        let mut generator = rng::stream(1, "memory", 0);
        let mut ids = |count: usize| -> Vec<u32> {
            (0..count).map(|_| 2 + (rng::uniform(&mut generator) * (self.vocab - 2) as f64) as u32).collect()
        };
        let mut row = || match stage {
            "sft" => json!({ "input_ids": ids(256), "completion_mask": mask(64, 192) }),
            "ppo" => json!({ "input_ids": ids(32) }),
            _ => {
                let [chosen, rejected] = [ids(192), ids(192)];
                json!({ "chosen_input_ids": chosen, "chosen_completion_mask": mask(64, 128),
                        "rejected_input_ids": rejected, "rejected_completion_mask": mask(64, 128) })
            }
        };
        let lines: String = (0..ROWS).map(|_| row().to_string() + "\n").collect();
        std::fs::write(path, lines).unwrap();
    }

    /// Trains so many times as to tell a run like the others from one in which the system's allocator needs more.
    fn train(&self, root: &Path, stage: &str, settings: &str) -> Vec<Row> {
        let out = root.join(format!("{stage}-of-{}", self.name));
        let runs: [_; RUNS] = std::array::from_fn(|_| self.train_once(root, stage, settings, &out));
        let mut rows = vec![self.row(&format!("{stage} {settings}"), runs)];
        if settings == FEW {
            let runs = std::array::from_fn(|_| {
                std::fs::remove_dir_all(out.join("checkpoints/step-000002")).unwrap();
                told(&evenkeel(root, &[stage, "--device", "cpu", "--resume", out.to_str().expect("UTF-8")]).ok().stderr, &out)
            });
            rows.push(self.row(&format!("{stage} {settings}, gone on with"), runs));
        }
        rows
    }

    /// Of the middle one of some runs.
    fn row(&self, run: &str, mut runs: [(f64, f64); RUNS]) -> Row {
        runs.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (estimate, peak) = runs[RUNS / 2];
        Row { run: format!("{} | {run}", self.name), estimate, peak }
    }

    /// Two steps with a checkpoint each. → bytes as the plan estimates them, and as the process had them
    fn train_once(&self, root: &Path, stage: &str, settings: &str, out: &Path) -> (f64, f64) {
        let data = root.join(format!("{stage}.jsonl"));
        self.rows(stage, &data);
        if out.exists() {
            std::fs::remove_dir_all(out).unwrap();
        }
        let mut arguments: Vec<String> =
            [stage, "--device", "cpu", "--max-steps", "2", "--seed", "1", "--set", "save_steps=1"].map(str::to_owned).into();
        for (flag, path) in [("--model", self.path.as_path()), ("--data", &data), ("--out", out)] {
            arguments.extend([flag.to_owned(), path.display().to_string()]);
        }
        if stage == "ppo" {
            arguments.extend(["--reward-model".into(), root.join(format!("reward-of-{}", self.name)).display().to_string()]);
        } else {
            arguments.extend(["--set".into(), format!("per_device_train_batch_size={BATCH}")]);
        }
        arguments.extend(settings.split_whitespace().flat_map(|setting| ["--set".to_owned(), setting.to_owned()]));
        told(&evenkeel(root, &arguments).ok().stderr, out)
    }
}

/// What a run was estimated at and what it came to, in bytes.
struct Row {
    run: String,
    estimate: f64,
    peak: f64,
}

impl Row {
    fn is_close(&self) -> bool {
        (self.estimate / self.peak - 1.0).abs() <= TOLERANCE
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let [estimate, peak] = [self.estimate, self.peak].map(|bytes| bytes / f64::from(1 << 20));
        write!(f, "| {} | {estimate:.0} | {peak:.0} | {:.2} |", self.run, estimate / peak)
    }
}

/// The plan's estimate in what a run said, and the peak in what it left in `out`.
fn told(said: &str, out: &Path) -> (f64, f64) {
    let record: Value = serde_json::from_slice(&std::fs::read(out.join("run.json")).unwrap()).unwrap();
    (estimate(said), record["peak_memory_bytes"].as_f64().expect("the system tells"))
}

fn mask(prompt: usize, completion: usize) -> Vec<u8> {
    [vec![0; prompt], vec![1; completion]].concat()
}

/// Bytes of the plan's line `memory  about 82 MiB of 20.9 GiB free`.
fn estimate(said: &str) -> f64 {
    let line = said.lines().find_map(|line| line.trim().strip_prefix("memory")).expect("the plan tells");
    let words: Vec<&str> = line.split_whitespace().collect();
    let unit = ["KiB", "MiB", "GiB"].iter().position(|unit| *unit == words[2]).expect("a unit");
    words[1].parse::<f64>().expect("a number") * 1024_f64.powi(unit as i32 + 1)
}

#[test]
#[cfg(target_os = "linux")]
fn the_estimate_is_the_peak() {
    let temp = folder();
    let root = temp.path();
    let all = std::env::var("EVENKEEL_MEMORY").is_ok_and(|wish| wish == "all");
    let [tokens, layers] = [MANY_TOKENS, MANY_LAYERS].map(|model| Subject::random(root, model));
    let rows: Vec<Row> = if all {
        let path = shared("the estimate of memory").map(|shared| shared.join("models/stories260K"));
        let real = path.map(|path| Subject { name: "stories260K", path, vocab: 512 });
        // The reward model is PPO's judge.
        let runs =
            [("sft", ""), ("dpo", ""), ("reward", ""), ("ppo", PPO), ("sft", "gradient_checkpointing=true"), ("sft", FEW), ("dpo", FEW)];
        let of = |model: Subject| runs.map(|(stage, settings)| model.train(root, stage, settings));
        real.into_iter().chain([tokens, layers]).flat_map(of).flatten().collect()
    } else {
        [tokens.train(root, "reward", ""), layers.train(root, "sft", FEW)].into_iter().flatten().collect()
    };
    println!("| model | run | estimate, MiB | peak, MiB | estimate / peak |\n|---|---|---|---|---|");
    rows.iter().for_each(|row| println!("{row}"));
    let wrong: Vec<String> = rows.iter().filter(|row| !row.is_close()).map(Row::to_string).collect();
    assert!(wrong.is_empty(), "off by more than {TOLERANCE}:\n{}", wrong.join("\n"));
}

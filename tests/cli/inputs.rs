//! Bad files, rows, models and devices: code 2 and a sentence that names the place.

use std::path::Path;

use super::{Outcome, evenkeel, folder, shared, words};

fn sft(at: &Path, model: &str, data: &str, more: &str) -> Outcome {
    let mut line = vec!["sft", "--model", model, "--data", data, "--device", "cpu", "--max-steps", "1"];
    line.extend(words(more));
    evenkeel(at, &line)
}

#[test]
fn bad_models_are_named() {
    let temp = folder();
    let here = temp.path();
    std::fs::write(here.join("rows.jsonl"), "{\"text\": \"a\"}\n").unwrap();
    sft(here, "none", "rows.jsonl", "").refused(&["none: does not exist", "Hugging Face layout"]);
    sft(here, "rows.jsonl", "rows.jsonl", "").refused(&["rows.jsonl: is a file"]);
    std::fs::create_dir(here.join("m")).unwrap();
    sft(here, "m", "rows.jsonl", "").refused(&["m/config.json: is missing"]);
    std::fs::write(here.join("m/config.json"), "{\"model_type\": \"mamba\", \"architectures\": [\"MambaForCausalLM\"]}").unwrap();
    sft(here, "m", "rows.jsonl", "").refused(&["mamba", "llama, qwen2, qwen3 and gpt2"]);
    evenkeel(here, &["info", "m"]).refused(&["m/config.json"]);
    assert!(!here.join("runs").exists(), "a refused run leaves no folder");
}

#[test]
fn bad_rows_are_named_by_file_line_and_field() {
    let Some(shared) = shared("bad_rows_are_named_by_file_line_and_field") else { return };
    let temp = folder();
    let here = temp.path();
    let model = shared.join("models/stories260K").display().to_string();
    let rows =
        "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"a\", \"completion\": 7}\n{\"prompt\": \"c\", \"completion\": \"d\"}\n";
    std::fs::write(here.join("rows.jsonl"), rows).unwrap();
    sft(here, &model, "rows.jsonl", "").refused(&["rows.jsonl:2: completion"]);
    let skipped = sft(here, &model, "rows.jsonl", "--skip-bad-rows --out kept").ok();
    assert!(skipped.stderr.contains("1 bad rows were skipped") && skipped.stderr.contains("rows.jsonl:2"), "{}", skipped.stderr);
    sft(here, &model, "none.jsonl", "").refused(&["none.jsonl: cannot be read"]);
    std::fs::write(here.join("rows.csv"), rows).unwrap();
    sft(here, &model, "rows.csv", "").refused(&["rows.csv: is not called .jsonl"]);
    evenkeel(here, &["data", "rows.jsonl"]).refused(&["rows.jsonl:2: completion"]);
    let data = evenkeel(here, &["data", "rows.jsonl", "--skip-bad-rows", "--model", &model]).ok();
    assert!(data.stdout.contains("⟦") && data.stdout.contains("skipped rows.jsonl:2"), "{}", data.stdout);
    let data = evenkeel(here, &["data", "rows.jsonl", "--skip-bad-rows", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&data.stdout).unwrap();
    assert_eq!((json["rows"].as_u64(), json["bad_rows"]["count"].as_u64()), (Some(2), Some(1)));
}

#[test]
fn info_needs_no_weights() {
    let Some(shared) = shared("info_needs_no_weights") else { return };
    let temp = folder();
    let model = shared.join("models/stories260K").display().to_string();
    let text = evenkeel(temp.path(), &["info", &model]).ok().stdout;
    assert!(text.contains("260,032") && text.contains("Llama") && text.contains("<s> (1)"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&evenkeel(temp.path(), &["info", &model, "--json"]).ok().stdout).unwrap();
    assert_eq!((json["parameters"].as_u64(), json["head"].as_str()), (Some(260_032), Some("lm")));
}

#[test]
fn a_model_that_cannot_fit_is_refused_before_anything_is_loaded() {
    let Some(shared) = shared("a_model_that_cannot_fit_is_refused_before_anything_is_loaded") else { return };
    let temp = folder();
    let here = temp.path();
    // The real tokenizer, a configuration of some 10^12 parameters, and no weights at all.
    std::fs::create_dir(here.join("giant")).unwrap();
    let from = shared.join("models/stories260K");
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(from.join(file), here.join("giant").join(file)).unwrap();
    }
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(from.join("config.json")).unwrap()).unwrap();
    for (key, value) in [("hidden_size", 65_536), ("intermediate_size", 262_144), ("num_hidden_layers", 20)] {
        config[key] = value.into();
    }
    std::fs::write(here.join("giant/config.json"), config.to_string()).unwrap();
    std::fs::write(here.join("rows.jsonl"), "{\"text\": \"a b c\"}\n").unwrap();
    if cfg!(target_os = "linux") {
        sft(here, "giant", "rows.jsonl", "").refused(&["memory: the run needs about", "no batch of this model fits: take a smaller model"]);
        assert!(!here.join("runs").exists());
    }
}

/// On a device with WebGPU's minimum, before anything of the model is read.
#[test]
fn a_model_that_no_kernel_could_be_given_is_refused_with_its_size() {
    if std::env::var_os("EVENKEEL_GPU").is_none_or(|wish| wish != "yes") {
        eprintln!("skipped a_model_that_no_kernel_could_be_given_is_refused_with_its_size: EVENKEEL_GPU is not `yes`");
        return;
    }
    let here = folder();
    let config = r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":131072,"hidden_size":512,"intermediate_size":64,
        "num_hidden_layers":1,"num_attention_heads":8,"num_key_value_heads":8,"max_position_embeddings":64,"rms_norm_eps":1e-5,
        "hidden_act":"silu","tie_word_embeddings":true,"bos_token_id":0,"eos_token_id":1}"#;
    std::fs::create_dir(here.path().join("large")).unwrap();
    std::fs::write(here.path().join("large/config.json"), config).unwrap();
    std::fs::write(here.path().join("rows.jsonl"), "{\"input_ids\": [1, 2, 3], \"completion_mask\": [0, 1, 1]}\n").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.current_dir(here.path()).args(words("score --model large --data rows.jsonl --device gpu"));
    let outcome = Outcome::of(command.env("EVENKEEL_GPU_PROFILE", "minimum").output().expect("the binary starts"));
    outcome.refused(&["large: the embedding of the vocabulary takes 256 MiB", "no more than 128 MiB at once", "--device cpu"]);
}

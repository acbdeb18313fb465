//! Loading and saving: round trips, shards, half precision, and a sentence for everything that does not fit.

use std::collections::HashMap;

use burn::tensor::Device;
use evenkeel_core::model::{Head, Model, ModelConfig, Pretrained, load, save};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};

use crate::support::{Folder, MODELS, Memory, shared};

type Stored = Vec<(String, Dtype, Vec<usize>, Vec<u8>)>;

fn golden(test: &str, name: &str) -> Option<Memory> {
    Some(Memory::of(&Folder(shared(test)?.join("golden").join(name))))
}

fn loaded(files: &Memory) -> Pretrained {
    load(files, &Device::flex()).unwrap()
}

fn digest(model: &Model) -> String {
    pollster::block_on(model.digest()).unwrap()
}

fn saved(pretrained: &Pretrained) -> Memory {
    let files = save(&pretrained.model, pretrained.text.as_ref(), &pretrained.sampling);
    Memory(pollster::block_on(files).unwrap().into_iter().collect())
}

/// The tensors of a file, sorted by name.
fn tensors(bytes: &[u8]) -> Stored {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensor = |(name, view): (String, TensorView)| (name, view.dtype(), view.shape().to_vec(), view.data().to_vec());
    let mut all: Stored = file.tensors().into_iter().map(tensor).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn written(tensors: &Stored) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, data)| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// The folder with its tensors changed.
fn with_tensors(files: &Memory, change: impl FnOnce(&mut Stored)) -> Memory {
    let mut all = tensors(&files.0["model.safetensors"]);
    change(&mut all);
    let mut files = files.clone();
    files.0.insert("model.safetensors".into(), written(&all));
    files
}

/// The folder with its config changed.
fn with_config(files: &Memory, change: impl FnOnce(&mut Value)) -> Memory {
    let mut config = config(files);
    change(&mut config);
    let mut files = files.clone();
    files.0.insert("config.json".into(), config.to_string().into_bytes());
    files
}

fn config(files: &Memory) -> Value {
    serde_json::from_slice(&files.0["config.json"]).unwrap()
}

#[test]
fn what_is_saved_is_what_was_loaded() {
    for name in MODELS.iter().flat_map(|name| [(*name).to_owned(), format!("{name}-rm")]) {
        let Some(files) = golden("what_is_saved_is_what_was_loaded", &name) else { return };
        let before = loaded(&files);
        let again = saved(&before);
        assert_eq!(tensors(&files.0["model.safetensors"]), tensors(&again.0["model.safetensors"]), "{name}");
        assert_eq!(config(&files), config(&again), "{name}");
        let after = loaded(&again);
        assert_eq!(digest(&before.model), digest(&after.model), "{name}");
        assert_eq!(before.sampling, after.sampling, "{name}");
    }
}

#[test]
fn a_tokenizer_is_saved_with_its_model() {
    let Some(shared) = shared("a_tokenizer_is_saved_with_its_model") else { return };
    let files = Memory::of(&Folder(shared.join("models/stories260K")));
    let again = saved(&loaded(&files));
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        assert_eq!(files.0[name], again.0[name], "{name}");
    }
    assert!(loaded(&again).text.is_some());
}

#[test]
fn a_score_head_makes_a_reward_model() {
    let Some(files) = golden("a_score_head_makes_a_reward_model", "llama") else { return };
    let policy = loaded(&files);
    let reward = Pretrained { model: policy.model.with_score_head(3), ..policy };
    let files = saved(&reward);
    let config = config(&files);
    assert_eq!(config["architectures"], json!(["LlamaForSequenceClassification"]));
    assert_eq!(config["id2label"], json!({"0": "LABEL_0"}));
    let again = loaded(&files).model;
    assert_eq!(again.head, Head::Score);
    assert_eq!(digest(&again), digest(&reward.model));
}

#[test]
fn shards_are_one_model() {
    let Some(files) = golden("shards_are_one_model", "qwen2") else { return };
    let all = tensors(&files.0["model.safetensors"]);
    let (first, second) = all.split_at(all.len() / 2);
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let entries = |part: &[(String, Dtype, Vec<usize>, Vec<u8>)], file| part.iter().map(|t| (t.0.clone(), json!(file))).collect::<Vec<_>>();
    let map: serde_json::Map<String, Value> = entries(first, names[0]).into_iter().chain(entries(second, names[1])).collect();
    let mut sharded = files.clone();
    sharded.0.remove("model.safetensors");
    sharded.0.insert(names[0].into(), written(&first.to_vec()));
    sharded.0.insert(names[1].into(), written(&second.to_vec()));
    sharded.0.insert("model.safetensors.index.json".into(), json!({"weight_map": map}).to_string().into_bytes());
    assert_eq!(digest(&loaded(&files).model), digest(&loaded(&sharded).model));
    sharded.0.remove(names[1]);
    assert!(refusal(&sharded).contains("model-00002-of-00002.safetensors: is missing"));
}

#[test]
fn half_precision_is_read_exactly() {
    let Some(files) = golden("half_precision_is_read_exactly", "llama") else { return };
    type Convert = fn(f32) -> ([u8; 2], f32);
    let kinds: [(Dtype, Convert); 2] = [
        (Dtype::F16, |x| (f16::from_f32(x).to_le_bytes(), f16::from_f32(x).to_f32())),
        (Dtype::BF16, |x| (bf16::from_f32(x).to_le_bytes(), bf16::from_f32(x).to_f32())),
    ];
    for (dtype, convert) in kinds {
        let mut want = HashMap::new();
        let halved = with_tensors(&files, |all| {
            for (name, stored, _, data) in all.iter_mut() {
                let values = data.chunks_exact(4).map(|b| convert(f32::from_le_bytes(b.try_into().unwrap())));
                let (bytes, rounded): (Vec<[u8; 2]>, Vec<f32>) = values.unzip();
                want.insert(name.clone(), rounded);
                (*stored, *data) = (dtype, bytes.concat());
            }
        });
        for (name, _, values) in pollster::block_on(loaded(&halved).model.weights()).unwrap() {
            assert_eq!(values, want[&name], "{name} as {dtype:?}");
        }
    }
}

#[test]
fn gpt2_as_first_published_loads() {
    let Some(files) = golden("gpt2_as_first_published_loads", "gpt2") else { return };
    let old = with_tensors(&files, |all| {
        for tensor in all.iter_mut() {
            tensor.0 = tensor.0.trim_start_matches("transformer.").to_owned();
        }
        all.push(("h.0.attn.bias".into(), Dtype::U8, vec![1, 1, 2, 2], vec![1, 0, 1, 1]));
    });
    assert_eq!(digest(&loaded(&files).model), digest(&loaded(&old).model));
}

#[test]
fn older_rope_keys_mean_the_same() {
    let Some(files) = golden("older_rope_keys_mean_the_same", "llama3-rope") else { return };
    let old = with_config(&files, |config| {
        let mut rope = config.as_object_mut().unwrap().remove("rope_parameters").unwrap();
        config["rope_theta"] = rope.as_object_mut().unwrap().remove("rope_theta").unwrap();
        config["rope_scaling"] = rope;
    });
    let (new, old) = (loaded(&files).model.config, loaded(&old).model.config);
    assert_eq!((new.rope_theta, new.rope_stretch), (old.rope_theta, old.rope_stretch));
    assert!(old.rope_stretch.is_some());
}

#[test]
fn equal_seeds_give_equal_models_and_others_do_not() {
    let config = json!({"model_type": "gpt2", "vocab_size": 32, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 8});
    let config = ModelConfig::from_value("test", config).unwrap();
    let new = |seed| digest(&Model::init(config.clone(), Head::Lm, seed, &Device::flex()));
    assert_eq!(new(1), new(1));
    assert_ne!(new(1), new(2));
}

fn refusal(files: &Memory) -> String {
    match load(files, &Device::flex()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("the folder is refused"),
    }
}

#[test]
fn configs_that_are_not_supported_are_refused_by_name() {
    let Some(files) = golden("configs_that_are_not_supported_are_refused_by_name", "llama") else { return };
    let cases: [(&str, Value, &str); 16] = [
        ("model_type", json!("mamba"), "`mamba` is not supported; supported are llama, qwen2, qwen3 and gpt2"),
        ("model_type", Value::Null, "model_type: is missing"),
        ("architectures", json!(["LlamaForTokenClassification"]), "`LlamaForTokenClassification` is not supported"),
        ("architectures", json!(["LlamaForSequenceClassification"]), "2 labels; a reward or value model has exactly one"),
        ("hidden_act", json!("gelu"), "hidden_act: `gelu` is not supported; supported: silu"),
        ("use_sliding_window", json!(true), "sliding-window attention is not supported"),
        ("layer_types", json!(["sliding_attention", "full_attention"]), "sliding-window attention is not supported"),
        ("rope_parameters", json!({"rope_type": "yarn", "factor": 4.0}), "rope_type `yarn` is not supported; supported: default, llama3"),
        ("partial_rotary_factor", json!(0.5), "partly rotated heads are not supported"),
        ("quantization_config", json!({"bits": 4}), "quantised weights are not supported"),
        ("pretraining_tp", json!(2), "tensor-parallel slicing is not supported"),
        ("num_key_value_heads", json!(3), "4 query heads cannot share 3 key/value heads evenly"),
        ("hidden_size", json!("big"), "hidden_size: `\"big\"` is not a whole number"),
        ("hidden_size", json!(0), "hidden_size: `0` is not a whole number"),
        ("vocab_size", Value::Null, "vocab_size: is missing"),
        ("attention_bias", json!(true), "self_attn.q_proj.bias: tensor of shape [32] is missing (8 missing in all)"),
    ];
    for (key, value, part) in cases {
        let message = refusal(&with_config(&files, |config| config[key] = value));
        assert!(message.contains(part), "{key}: {message}");
        assert!(message.starts_with("memory/"), "{key}: {message}");
    }
}

#[test]
fn weights_that_do_not_fit_are_refused_by_name() {
    let Some(files) = golden("weights_that_do_not_fit_are_refused_by_name", "llama") else { return };
    let missing = with_tensors(&files, |all| all.retain(|t| t.0 != "model.norm.weight"));
    assert!(refusal(&missing).contains("model.norm.weight: tensor of shape [32] is missing (1 missing in all)"));
    let extra = with_tensors(&files, |all| all.push(("model.extra".into(), Dtype::F32, vec![1], vec![0; 4])));
    assert!(refusal(&extra).contains("model.extra: no such tensor in this kind of model"));
    let misshapen = with_tensors(&files, |all| all.iter_mut().find(|t| t.0 == "lm_head.weight").unwrap().2 = vec![32, 512]);
    assert!(refusal(&misshapen).contains("lm_head.weight: shape [32, 512], but config.json asks for [512, 32]"));
    let integers = with_tensors(&files, |all| all.iter_mut().find(|t| t.0 == "model.norm.weight").unwrap().1 = Dtype::I32);
    assert!(refusal(&integers).contains("model.norm.weight: type I32 is not supported"));
    let mut truncated = files.clone();
    truncated.0.get_mut("model.safetensors").unwrap().truncate(5000);
    assert!(refusal(&truncated).contains("model.safetensors: not a whole safetensors file"));
    let mut absent = files.clone();
    absent.0.remove("model.safetensors");
    assert!(refusal(&absent).contains("model.safetensors: is missing"));
    let mut no_config = files;
    no_config.0.remove("config.json");
    assert!(refusal(&no_config).contains("config.json: is missing"));
}

#[test]
fn a_tokenizer_larger_than_the_vocabulary_is_refused() {
    let Some(shared) = shared("a_tokenizer_larger_than_the_vocabulary_is_refused") else { return };
    let mut files = Memory::of(&Folder(shared.join("models/stories260K")));
    let mut tokenizer: Value = serde_json::from_slice(&files.0["tokenizer.json"]).unwrap();
    let mut token = tokenizer["added_tokens"][2].clone();
    (token["id"], token["content"]) = (json!(512), json!("<extra>"));
    tokenizer["added_tokens"].as_array_mut().unwrap().push(token);
    files.0.insert("tokenizer.json".into(), tokenizer.to_string().into_bytes());
    assert!(refusal(&files).contains("tokenizer.json: knows ids up to 512, but the model's vocabulary has 512"));
}

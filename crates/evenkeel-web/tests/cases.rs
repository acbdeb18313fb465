//! The worker's own tests: kernels against their twins, every family of models in training and writing.

use burn::tensor::Device;
use evenkeel_core::bench::BenchModel;
use evenkeel_core::model::{KvCacheDtype, ModelConfig, Sampling, generate};
use evenkeel_core::train::run::Trainer;
use evenkeel_kernels::device::{Profile, Selected, limit_to, subgroup_forms};
use evenkeel_kernels::launch::{Variant, ask_for};
use evenkeel_kernels::{DeviceChoice, select, selfcheck::selfcheck};
use serde_json::{Value, json};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::PROFILE;

/// WebGPU's device; all tests of a binary share the one.
pub async fn gpu() -> Selected {
    limit_to(PROFILE);
    select(DeviceChoice::Gpu).await.unwrap()
}

/// The forms that the open device runs; SwiftShader has subgroups of 4 lanes.
fn forms() -> Vec<Variant> {
    let subgroups = subgroup_forms();
    assert_eq!(subgroups.is_empty(), PROFILE == Profile::Minimum, "half of the kernels' forms would go untested");
    [&[Variant::Default], subgroups].concat()
}

#[wasm_bindgen_test]
async fn every_kernel_agrees_with_its_twin_in_every_form() {
    let gpu = gpu().await;
    for form in forms() {
        let _asked = ask_for(form);
        let verdicts = selfcheck(&gpu.device, &mut |_, _| {}).await.unwrap();
        let broken: Vec<_> = verdicts.iter().filter(|verdict| !verdict.passed()).collect();
        assert!(broken.is_empty(), "{}, {form:?}: {broken:?}", gpu.name);
        assert!(verdicts.iter().any(|verdict| verdict.error > 0.0), "two devices that agree to the last bit are one device");
    }
}

/// Both devices round in f32, sums in another order; three steps of a small model.
const TOLERANCE: f64 = 1e-4;

#[wasm_bindgen_test]
async fn every_family_trains_and_writes_alike_on_webgpu_and_on_the_cpu() {
    let gpu = gpu().await;
    let cpu = select(DeviceChoice::Cpu).await.unwrap();
    for config in [llama("LlamaForCausalLM", "llama"), llama("Qwen3ForCausalLM", "qwen3"), gpt2()] {
        let config = ModelConfig::from_value("config", config).unwrap();
        let (want, want_tokens) = train_and_write(&cpu.device, &config).await;
        for form in forms() {
            let _asked = ask_for(form);
            let (got, got_tokens) = train_and_write(&gpu.device, &config).await;
            for (got, want) in got.iter().zip(&want) {
                let on = format!("{:?}: {got} on {}, {form:?}", config.arch, gpu.name);
                assert!((got - want).abs() <= TOLERANCE * want.abs(), "{on}, {want} on the CPU");
            }
            assert_eq!(got_tokens, want_tokens, "{:?}, {form:?}", config.arch);
        }
    }
}

/// Loss and gradient norm of three steps, then two prompts of different lengths completed with every filter on, keys and values in
/// either precision.
async fn train_and_write(device: &Device, config: &ModelConfig) -> (Vec<f64>, Vec<Vec<u32>>) {
    let mut trainer = BenchModel::of(config.clone(), 2, 19).sft(device);
    let mut numbers = Vec::new();
    for step in 1..=3 {
        let metrics = trainer.step(step).await.unwrap();
        numbers.extend([metrics["loss"], metrics["grad_norm"]]);
    }
    let sampling = Sampling { max_new_tokens: 7, top_k: 9, top_p: 0.9, min_p: 0.01, repetition_penalty: 1.2, ..Sampling::default() };
    let mut written = Vec::new();
    for kv_cache_dtype in [KvCacheDtype::Float32, KvCacheDtype::Float16] {
        let sampling = Sampling { kv_cache_dtype, ..sampling.clone() };
        let completions = generate(&trainer.model, &[vec![3, 4, 5], vec![6]], &sampling, &[1, 2], &mut |_, _| {}).await.unwrap();
        written.extend(completions.into_iter().map(|completion| completion.ids));
    }
    (numbers, written)
}

/// Grouped heads, and sizes that fill no workgroup.
fn llama(class: &str, model_type: &str) -> Value {
    json!({
        "architectures": [class], "model_type": model_type, "vocab_size": 67, "hidden_size": 24, "intermediate_size": 52,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "max_position_embeddings": 32,
        "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": true, "initializer_range": 0.2, "bos_token_id": 0,
        "eos_token_id": 1
    })
}

fn gpt2() -> Value {
    json!({
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 67, "n_embd": 24, "n_layer": 2, "n_head": 4,
        "n_positions": 32, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "initializer_range": 0.2,
        "tie_word_embeddings": true, "bos_token_id": 0, "eos_token_id": 1
    })
}

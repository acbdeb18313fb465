//! What is written: the published text, the same whatever the batch, and clear ends.

use burn::tensor::{Device, Tensor};
use evenkeel_core::model::{Completion, Head, KvCacheDtype, Model, ModelConfig, Sampling, generate};
use evenkeel_core::rng;
use evenkeel_kernels::draw;
use evenkeel_kernels::sampling::{Drawing, Start};
use serde_json::json;

use crate::support::{MODELS, devices, load, shared};

/// `golden/README.md`.
const PUBLISHED: &str = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. She wanted to play with it, but it was too high.\nLily's mom said, \"Lily, let's go to the park.\"";

fn run(model: &Model, prompts: &[Vec<u32>], sampling: &Sampling, seeds: &[u64]) -> Vec<Completion> {
    pollster::block_on(generate(model, prompts, sampling, seeds, &mut |_, _| {})).unwrap()
}

fn refusal(model: &Model, prompt: Vec<u32>, sampling: &Sampling) -> String {
    let refused = pollster::block_on(generate(model, &[prompt], sampling, &[0], &mut |_, _| {}));
    refused.unwrap_err().to_string()
}

#[test]
fn stories_write_the_published_text() {
    let Some(shared) = shared("stories_write_the_published_text") else { return };
    for (device_name, device) in devices("stories_write_the_published_text") {
        let story = load(shared.join("models/stories260K"), &device);
        let text = story.text.unwrap();
        for kv_cache_dtype in [KvCacheDtype::Float32, KvCacheDtype::Float16] {
            let sampling = Sampling { max_new_tokens: 110, kv_cache_dtype, ..story.sampling.clone() };
            let written = run(&story.model, &[vec![text.bos().unwrap()]], &sampling, &[0]);
            let written = text.decode(&written[0].ids, true);
            assert!(written.starts_with(PUBLISHED), "{device_name}, {kv_cache_dtype:?}: {written}");
        }
    }
}

/// Prompts of 1 to 40 tokens, one of them far shorter than the padding beside it.
fn ragged(vocabulary: usize) -> Vec<Vec<u32>> {
    let mut rng = rng::stream(7, "prompts", 0);
    let mut token = || 3 + (rng::uniform(&mut rng) * (vocabulary - 3) as f64) as u32;
    [5, 1, 40, 17, 2, 9].iter().map(|&len| (0..len).map(|_| token()).collect()).collect()
}

#[test]
fn a_ragged_batch_writes_what_each_prompt_writes_alone() {
    let test = "a_ragged_batch_writes_what_each_prompt_writes_alone";
    let Some(shared) = shared(test) else { return };
    for (device_name, device) in devices(test) {
        // Seconds on the CPU backend, minutes on a software GPU: there one rotary model and GPT-2, one way of drawing.
        let whole = device_name == "cpu";
        for name in MODELS.into_iter().filter(|name| whole || ["qwen3", "gpt2"].contains(name)) {
            let model = load(shared.join("golden").join(name), &device).model;
            let prompts = ragged(model.config.vocab_size);
            let seeds: Vec<u64> = (0..prompts.len() as u64).collect();
            // About one token in ten ends a row, so that rows end at different times and are dropped; 70 new tokens
            // make the cache grow.
            let stop: Vec<u32> = (0..model.config.vocab_size as u32).step_by(61).collect();
            let drawn = Sampling { max_new_tokens: 70, stop, temperature: 1.5, ..Sampling::default() };
            let long = Sampling { max_new_tokens: 70, top_k: 40, ..Sampling::default() };
            let greedy = Sampling::greedy(12, Vec::new());
            let half = Sampling { kv_cache_dtype: KvCacheDtype::Float16, ..drawn.clone() };
            let samplings = if whole { vec![&drawn, &greedy, &long, &half] } else { vec![&drawn, &half] };
            for sampling in samplings {
                let together = run(&model, &prompts, sampling, &seeds);
                for (i, prompt) in prompts.iter().enumerate() {
                    let alone = run(&model, std::slice::from_ref(prompt), sampling, &seeds[i..=i]);
                    assert_eq!(together[i], alone[0], "{name} on {device_name}, prompt {i}");
                }
            }
            let together = run(&model, &prompts, &drawn, &seeds);
            assert!(together.iter().any(|c| c.finished), "{name}: some row meets a stop token");
        }
    }
}

fn tiny() -> Model {
    untrained(json!({
        "model_type": "llama", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": 20, "tie_word_embeddings": true
    }))
}

fn untrained(config: serde_json::Value) -> Model {
    Model::init(ModelConfig::from_value("test", config).unwrap(), Head::Lm, 1, &Device::flex())
}

#[test]
fn the_end_of_the_context_ends_a_row_and_only_that_row() {
    let sampling = Sampling { max_new_tokens: 10, ..Sampling::default() };
    let prompts = [vec![3; 15], vec![4; 2]];
    let written = run(&tiny(), &prompts, &sampling, &[1, 2]);
    assert_eq!((written[0].ids.len(), written[0].finished), (5, false));
    assert_eq!((written[1].ids.len(), written[1].finished), (10, false));
}

#[test]
fn tokens_are_reported_as_they_are_drawn() {
    let mut seen = vec![Vec::new(); 2];
    let sampling = Sampling { max_new_tokens: 4, ..Sampling::default() };
    let prompts = [vec![3, 4], vec![5]];
    let model = tiny();
    let mut report = |row: usize, id: u32| seen[row].push(id);
    let written = pollster::block_on(generate(&model, &prompts, &sampling, &[1, 2], &mut report)).unwrap();
    assert_eq!(seen, written.into_iter().map(|c| c.ids).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_written_is_refused() {
    let model = tiny();
    let sampling = Sampling::default();
    assert!(refusal(&model, vec![3; 20], &sampling).contains("context of 20"));
    assert!(refusal(&model, Vec::new(), &sampling).contains("is empty"));
    assert!(refusal(&model, vec![32], &sampling).contains("token 32 is outside the vocabulary of 32"));
    assert!(refusal(&model.with_score_head(0), vec![3], &sampling).contains("reward or value model"));
    let cold = Sampling { temperature: 0.0, ..Sampling::default() };
    assert!(refusal(&model, vec![3], &cold).contains("temperature: 0 is not above 0"));
    let odd = untrained(json!({ "model_type": "gpt2", "vocab_size": 32, "n_embd": 15, "n_layer": 1, "n_head": 3, "n_positions": 20 }));
    let half = Sampling { kv_cache_dtype: KvCacheDtype::Float16, ..Sampling::default() };
    assert!(refusal(&odd, vec![3], &half).contains("kv_cache_dtype: float16 packs numbers in pairs, and the model's heads have 5 each"));
}

/// Log-probabilities of .5, .3, .15 and .05.
fn logits() -> Vec<f32> {
    [0.5f32, 0.3, 0.15, 0.05].map(f32::ln).to_vec()
}

/// One draw after `context`, token `index` of its completion.
fn next_token(sampling: &Sampling, logits: &[f32], context: &[u32], seed: u64, index: usize) -> usize {
    let (device, settings) = (Device::flex(), sampling.settings(1000));
    let start = Start { seed, context, begins: 0 };
    let drawing = Drawing::new(&[start], &[], index + 1, logits.len(), &settings, &device);
    let logits = Tensor::<1>::from_data(logits, &device).unsqueeze();
    let tokens = draw(logits, drawing, index, &settings).tokens.into_data();
    tokens.iter::<i64>().last().unwrap() as usize
}

/// How often each of the four tokens is drawn in a thousand tries.
fn counts(sampling: &Sampling) -> [usize; 4] {
    let mut counts = [0; 4];
    for index in 0..1000 {
        counts[next_token(sampling, &logits(), &[], 5, index)] += 1;
    }
    counts
}

fn support(sampling: &Sampling) -> Vec<usize> {
    (0..4).filter(|&i| counts(sampling)[i] > 0).collect()
}

#[test]
fn filters_keep_what_transformers_keeps() {
    let plain = Sampling::default();
    assert_eq!(support(&plain), [0, 1, 2, 3]);
    assert_eq!(support(&Sampling { top_k: 2, ..plain.clone() }), [0, 1]);
    assert_eq!(support(&Sampling { top_p: 0.45, ..plain.clone() }), [0]);
    assert_eq!(support(&Sampling { top_p: 0.75, ..plain.clone() }), [0, 1], "the token that crosses top_p stays");
    assert_eq!(support(&Sampling { min_p: 0.2, ..plain.clone() }), [0, 1, 2]);
    assert_eq!(support(&Sampling { top_p: 0.9, ..plain.clone() }), [0, 1, 2]);
    assert_eq!(support(&Sampling { top_p: 0.9, temperature: 0.5, ..plain }), [0, 1], "temperature comes before top_p");
}

#[test]
fn draws_follow_the_distribution() {
    // Four standard deviations of a binomial of 1000 draws.
    for (count, p) in counts(&Sampling::default()).into_iter().zip([0.5, 0.3, 0.15, 0.05f64]) {
        let error = (count as f64 - 1000.0 * p).abs();
        assert!(error <= 4.0 * (1000.0 * p * (1.0 - p)).sqrt(), "{count} draws of probability {p}");
    }
}

#[test]
fn a_repeated_token_is_penalised_once_and_in_the_right_direction() {
    let greedy = |penalty| Sampling { repetition_penalty: penalty, ..Sampling::greedy(1, Vec::new()) };
    assert_eq!(next_token(&greedy(1.0), &[2.0, 1.9, -1.0], &[0, 0], 0, 0), 0);
    assert_eq!(next_token(&greedy(1.1), &[2.0, 1.9, -1.0], &[0, 0], 0, 0), 1);
    assert_eq!(next_token(&greedy(1.1), &[2.0, 1.7, -1.0], &[0, 0], 0, 0), 0, "1.1 once leaves 1.82, twice 1.65");
    assert_eq!(next_token(&greedy(1.2), &[-1.0, -1.1], &[0], 0, 0), 1, "negative logits are multiplied");
}

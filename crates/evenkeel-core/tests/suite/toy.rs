//! A vocabulary small enough to enumerate: PPO with the true reward and DPO with plenty of pairs both approach
//! π*(y|x) ∝ π_ref(y|x)·exp(r(y)/β) (Rafailov et al. 2023, eq. 4).

use burn::tensor::Device;
use evenkeel_core::data::batch::Batch;
use evenkeel_core::data::{Preference, Prompt, Sequence};
use evenkeel_core::model::{Head, Model, ModelConfig};
use evenkeel_core::recipe::{Assignment, Recipe, SchedulerType, Stage};
use evenkeel_core::rng;
use evenkeel_core::train::dpo::DpoTrainer;
use evenkeel_core::train::forward::{read, sequence_logprobs};
use evenkeel_core::train::ppo::{PpoTrainer, RewardSource};
use evenkeel_core::train::run::Trainer;
use pollster::block_on;

/// Two tokens: rotary attention averages equal values, so after one token it could not tell a repetition from the start.
const PROMPT: [u32; 2] = [0, 3];
/// Ids: 0 begins, 1 ends, 2…4 are words.
const END: u32 = 1;
const VOCAB: u32 = 5;
const LENGTH: usize = 3;
const BETA: f64 = 0.5;
/// The bound of the issue's proof, in nats.
const CLOSE: f64 = 0.05;

fn reference(device: &Device) -> Model {
    let config = r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":5,"hidden_size":32,"intermediate_size":64,
        "num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":2,"max_position_embeddings":16,"rms_norm_eps":1e-5,
        "hidden_act":"silu","tie_word_embeddings":false,"initializer_range":0.3,"bos_token_id":0,"eos_token_id":1}"#;
    Model::init(ModelConfig::from_json("toy", config.as_bytes()).expect("a valid config"), Head::Lm, 7, device)
}

/// Likes word 2 early, dislikes word 4 anywhere, likes to end.
fn reward(response: &[u32]) -> f64 {
    let early = f64::from(u8::from(response.first() == Some(&2)));
    let bad = response.iter().filter(|t| **t == 4).count() as f64;
    let ends = f64::from(u8::from(response.last() == Some(&END)));
    0.8 * early - 0.6 * bad + 0.4 * ends
}

/// Every response: ended by END, or cut at LENGTH.
fn responses() -> Vec<Vec<u32>> {
    let mut done = Vec::new();
    let mut open = vec![vec![]];
    while let Some(prefix) = open.pop() {
        for token in 0..VOCAB {
            let mut next: Vec<u32> = prefix.clone();
            next.push(token);
            if token == END || next.len() == LENGTH { done.push(next) } else { open.push(next) }
        }
    }
    done
}

fn sequence(response: &[u32]) -> Sequence {
    let ids: Vec<u32> = PROMPT.iter().chain(response).copied().collect();
    Sequence { mask: (0..ids.len()).map(|t| t >= PROMPT.len()).collect(), ids }
}

/// log π(y) of every response.
fn log_probabilities(model: &Model, all: &[Vec<u32>]) -> Vec<f64> {
    let sequences: Vec<Sequence> = all.iter().map(|r| sequence(r)).collect();
    let batch = Batch::padded(&sequences.iter().collect::<Vec<_>>());
    let sums = sequence_logprobs(&model.frozen(), &batch);
    block_on(read(vec![sums])).expect("the CPU does not fail").remove(0).into_iter().map(f64::from).collect()
}

/// KL(π‖π*) in nats.
fn distance(model: &Model, reference: &Model) -> f64 {
    let all = responses();
    let (policy, anchor) = (log_probabilities(model, &all), log_probabilities(reference, &all));
    assert!((policy.iter().map(|l| l.exp()).sum::<f64>() - 1.0).abs() < 1e-4, "the responses are all there are");
    let tilted: Vec<f64> = anchor.iter().zip(&all).map(|(l, y)| l + reward(y) / BETA).collect();
    let normaliser = tilted.iter().map(|l| l.exp()).sum::<f64>().ln();
    policy.iter().zip(&tilted).map(|(p, t)| p.exp() * (p - (t - normaliser))).sum()
}

fn recipe(stage: Stage, settings: &[&str]) -> Recipe {
    let settings: Vec<Assignment> = settings.iter().map(|s| s.parse().expect("key=value")).collect();
    let mut recipe = Recipe::parse(stage, "", &settings).expect("a valid recipe");
    recipe.training.lr_scheduler_type = SchedulerType::Linear;
    recipe
}

#[test]
fn ppo_with_the_true_reward_approaches_the_closed_form() {
    let reference = reference(&Device::flex());
    let recipe = recipe(
        Stage::Ppo,
        &[
            "max_steps=120",
            "learning_rate=5e-3",
            "kl_coef=0.5",
            "rollout_batch_size=128",
            "response_length=3",
            "temperature=1.0",
            "value_function=head",
            "lam=1.0",
        ],
    );
    let prompts = vec![Prompt { ids: PROMPT.to_vec(), text: String::new() }];
    let judge = RewardSource::Function(Box::new(|_: &Prompt, response: &[u32], _: &str| reward(response) as f32));
    let mut trainer = block_on(PpoTrainer::new(&recipe, &reference, None, judge, None, prompts, &[END])).expect("models fit");
    let before = distance(&trainer.policy, &reference);
    for step in 1..=trainer.total_steps() {
        let metrics = block_on(trainer.step(step)).expect("a step");
        if step == 1 {
            assert!(metrics["val/first_log_ratio"] < 1e-6, "ratio 1 before the first update: {}", metrics["val/first_log_ratio"]);
            assert_eq!(metrics["objective/kl"], 0.0, "KL 0 before the first update");
        }
    }
    let after = distance(&trainer.policy, &reference);
    assert!(before > 5.0 * CLOSE && after < CLOSE, "KL(π‖π*) went from {before:.4} to {after:.4}");
}

#[test]
fn dpo_with_plenty_of_pairs_approaches_the_closed_form() {
    let reference = reference(&Device::flex());
    let all = responses();
    let weights: Vec<f64> = log_probabilities(&reference, &all).iter().map(|l| l.exp()).collect();
    let mut generator = rng::stream(3, "toy", 0);
    // DPO's optimum does not depend on how pairs are drawn, as long as every response is: one from the reference, one uniformly.
    let mut pairs = Vec::new();
    while pairs.len() < 24_576 {
        let mut left = rng::uniform(&mut generator);
        let drawn = weights.iter().position(|w| {
            left -= w;
            left < 0.0
        });
        let (a, b) = (drawn.unwrap_or(weights.len() - 1), (rng::uniform(&mut generator) * all.len() as f64) as usize);
        let coin = rng::uniform(&mut generator);
        if a == b {
            continue;
        }
        let prefers_a = 1.0 / (1.0 + (reward(&all[b]) - reward(&all[a])).exp());
        let (chosen, rejected) = if coin < prefers_a { (a, b) } else { (b, a) };
        pairs.push(Preference { responses: vec![sequence(&all[chosen]), sequence(&all[rejected])], margin: 0.0 });
    }
    let recipe = recipe(
        Stage::Dpo,
        &["num_train_epochs=4", "learning_rate=2e-3", "beta=0.5", "per_device_train_batch_size=256", "precompute_ref_log_probs=true"],
    );
    let mut trainer = block_on(DpoTrainer::new(&recipe, &reference, None, &pairs, &[])).expect("a trainer");
    let before = distance(&trainer.model, &reference);
    for step in 1..=trainer.total_steps() {
        block_on(trainer.step(step)).expect("a step");
    }
    block_on(trainer.verify_reference()).expect("an unchanged reference");
    let after = distance(&trainer.model, &reference);
    assert!(before > 5.0 * CLOSE && after < CLOSE, "KL(π‖π*) went from {before:.4} to {after:.4}");
}

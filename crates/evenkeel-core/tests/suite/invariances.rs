//! Properties that hold whatever the weights: those of the selfcheck on every device; batch split, packing, equal answers and the first step
//! of every kind on the CPU.

use burn::tensor::Device;
use evenkeel_core::data::{Preference, Prompt, Sequence};
use evenkeel_core::event::Metrics;
use evenkeel_core::model::{Head, Model, ModelConfig};
use evenkeel_core::recipe::{Assignment, Recipe, Stage};
use evenkeel_core::rng;
use evenkeel_core::selfcheck::selfcheck;
use evenkeel_core::train::dpo::DpoTrainer;
use evenkeel_core::train::ppo::{PpoTrainer, RewardSource};
use evenkeel_core::train::reward::RewardTrainer;
use evenkeel_core::train::run::Trainer;
use evenkeel_core::train::sft::SftTrainer;
use evenkeel_kernels::launch::{Mutation, Variant, with_mutation, with_variant};
use pollster::block_on;

use crate::support::devices;

/// f32 sums in another order.
const SAME: f64 = 2e-5;

pub fn model(head: Head) -> Model {
    let config = r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":31,"hidden_size":32,"intermediate_size":48,
        "num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"max_position_embeddings":64,"rms_norm_eps":1e-5,
        "hidden_act":"silu","tie_word_embeddings":true,"initializer_range":0.2,"bos_token_id":0,"eos_token_id":1}"#;
    Model::init(ModelConfig::from_json("tiny", config.as_bytes()).expect("a valid config"), head, 11, &Device::flex())
}

fn sequence(seed: u64, prompt: usize, completion: usize) -> Sequence {
    let mut generator = rng::stream(seed, "ids", 0);
    let ids = (0..prompt + completion).map(|_| (rng::uniform(&mut generator) * 31.0) as u32).collect();
    Sequence { ids, mask: (0..prompt + completion).map(|t| t >= prompt).collect() }
}

/// Ragged lengths, so that means of means differ from means of tokens.
pub fn sequences(count: u64) -> Vec<Sequence> {
    (0..count).map(|i| sequence(i, 2 + (i as usize * 3) % 5, 1 + (i as usize * 7) % 9)).collect()
}

pub fn preferences(count: u64) -> Vec<Preference> {
    let answers = |i: u64| (0..2 + i % 3).map(|k| sequence(100 + i * 10 + k, 3, 2 + ((i + k) as usize * 5) % 7)).collect();
    (0..count).map(|i| Preference { responses: answers(i), margin: 0.0 }).collect()
}

fn recipe(stage: Stage, settings: &[&str]) -> Recipe {
    let common = ["learning_rate=1e-2", "shuffle=false", "num_train_epochs=1"];
    let settings: Vec<Assignment> = common.iter().chain(settings).map(|s| s.parse().expect("key=value")).collect();
    Recipe::parse(stage, "", &settings).expect("a valid recipe")
}

fn run<T: Trainer>(mut trainer: T) -> (Vec<Metrics>, Model) {
    let metrics = (1..=trainer.total_steps()).map(|step| block_on(trainer.step(step)).expect("a step")).collect();
    (metrics, trainer.model().clone())
}

fn assert_same(what: &str, a: f64, b: f64) {
    assert!((a - b).abs() <= SAME * (1.0 + a.abs()), "{what}: {a} and {b}");
}

fn assert_same_runs(a: &[Metrics], b: &[Metrics], names: &[&str]) {
    assert_eq!(a.len(), b.len());
    for (step, (x, y)) in a.iter().zip(b).enumerate() {
        for name in names {
            assert_same(&format!("step {}: {name}", step + 1), x[*name], y[*name]);
        }
    }
}

#[test]
fn every_device_passes_the_selfcheck() {
    for (name, device) in devices("every_device_passes_the_selfcheck") {
        let verdicts = block_on(selfcheck(&device)).unwrap();
        let wrong: Vec<_> = verdicts.iter().filter(|verdict| !verdict.passed()).collect();
        assert!(wrong.is_empty() && verdicts.len() == 8, "{name}: {wrong:?}");
    }
}

/// A kernel, what its text says and shall not, and what is then no longer true.
const DEFECTS: [(&str, &str, &str, &[&str]); 4] = [
    ("attention/forward", "min(last[row], i32(s) - 1)", "max(last[row], i32(s) - 1)", &["padding"]),
    ("attention/decode", "key >= begins && key <= last", "key >= begins && key < last", &["generation"]),
    ("advantage/rewards", "reference[token + t] - logprob", "reference[token + t] - 1.1 * logprob", &["ppo"]),
    ("loss/pair", "-(1.0 - e) * log_sigmoid(scaled)", "-(0.9 - e) * log_sigmoid(scaled)", &["reward", "dpo"]),
];

#[test]
fn a_device_that_is_wrong_fails_the_selfcheck() {
    let Some((_, gpu)) = devices("a_device_that_is_wrong_fails_the_selfcheck").into_iter().nth(1) else { return };
    for (kernel, find, replace, untrue) in DEFECTS {
        let checked = || with_mutation(Mutation { kernel, find, replace }, || block_on(selfcheck(&gpu)).unwrap());
        let wrong: Vec<_> = with_variant(Variant::Default, checked).into_iter().filter(|verdict| !verdict.passed()).map(|v| v.of).collect();
        for of in untrue {
            assert!(wrong.iter().any(|wrong| wrong.starts_with(of)), "{kernel}: {wrong:?}");
        }
    }
}

#[test]
fn accumulation_equals_the_large_batch_for_every_trainer() {
    let split = |stage, batch: usize, accumulation: usize| {
        let batch = format!("per_device_train_batch_size={batch}");
        recipe(stage, &[&batch, &format!("gradient_accumulation_steps={accumulation}")])
    };
    // 10 rows in steps of 4: the last window is partial.
    let sft = |r: Recipe| run(SftTrainer::new(&r, &model(Head::Lm), sequences(10), vec![])).0;
    assert_same_runs(
        &sft(split(Stage::Sft, 4, 1)),
        &sft(split(Stage::Sft, 1, 4)),
        &["loss", "grad_norm", "entropy", "mean_token_accuracy"],
    );
    let reward = |r: Recipe| run(RewardTrainer::new(&r, &model(Head::Score), preferences(10), vec![])).0;
    assert_same_runs(&reward(split(Stage::Reward, 4, 1)), &reward(split(Stage::Reward, 1, 4)), &["loss", "grad_norm", "accuracy"]);
    let dpo = |r: Recipe| run(block_on(DpoTrainer::new(&r, &model(Head::Lm), None, &preferences(10), &[])).unwrap()).0;
    assert_same_runs(&dpo(split(Stage::Dpo, 4, 1)), &dpo(split(Stage::Dpo, 1, 4)), &["loss", "grad_norm", "rewards/margins"]);
    let ppo = |accumulation: usize| {
        let accumulation = format!("gradient_accumulation_steps={accumulation}");
        let r = recipe(
            Stage::Ppo,
            &["max_steps=2", "rollout_batch_size=8", "num_mini_batches=2", "response_length=6", "learning_rate=1e-3", &accumulation],
        );
        run(ppo_trainer(&r)).0
    };
    assert_same_runs(&ppo(1)[..1], &ppo(4)[..1], &["loss/policy_avg", "loss/value_avg", "grad_norm", "val/grad_norm", "objective/kl"]);
}

#[test]
fn activations_computed_again_change_no_bit_for_any_trainer() {
    let of = |stage, gradient_checkpointing: bool| {
        let setting = format!("gradient_checkpointing={gradient_checkpointing}");
        let r = match stage {
            Stage::Ppo => recipe(stage, &["max_steps=2", "rollout_batch_size=4", "response_length=4", "learning_rate=1e-3", &setting]),
            _ => recipe(stage, &[&setting]),
        };
        match stage {
            Stage::Sft => run(SftTrainer::new(&r, &model(Head::Lm), sequences(6), vec![])).0,
            Stage::Reward => run(RewardTrainer::new(&r, &model(Head::Score), preferences(6), vec![])).0,
            Stage::Dpo => run(block_on(DpoTrainer::new(&r, &model(Head::Lm), None, &preferences(6), &[])).unwrap()).0,
            Stage::Ppo => run(ppo_trainer(&r)).0,
        }
    };
    for stage in [Stage::Sft, Stage::Reward, Stage::Dpo, Stage::Ppo] {
        assert_eq!(of(stage, true), of(stage, false), "{stage:?}");
    }
}

fn ppo_trainer(recipe: &Recipe) -> PpoTrainer {
    let prompts = sequences(8).into_iter().map(|s| Prompt { ids: s.ids, text: String::new() }).collect();
    let judge = RewardSource::Model(model(Head::Score));
    block_on(PpoTrainer::new(recipe, &model(Head::Lm), None, judge, None, prompts, &[1])).expect("models fit")
}

#[test]
fn packed_documents_train_as_if_alone() {
    let run_with =
        |packing: &str| run(SftTrainer::new(&recipe(Stage::Sft, &[packing, "max_length=24"]), &model(Head::Lm), sequences(16), vec![])).0;
    assert_same_runs(&run_with("packing=true"), &run_with("packing=false"), &["loss", "grad_norm", "entropy"]);
}

#[test]
fn equal_answers_cost_ln_2() {
    let answer = sequence(5, 3, 4);
    let equal = vec![Preference { responses: vec![answer.clone(), answer], margin: 0.0 }; 3];
    let (metrics, _) = run(block_on(DpoTrainer::new(&recipe(Stage::Dpo, &[]), &model(Head::Lm), None, &equal, &[])).unwrap());
    assert_same("DPO", metrics[0]["loss"], std::f64::consts::LN_2);
    assert!(metrics[0]["grad_norm"] < 1e-5, "nothing to learn: {}", metrics[0]["grad_norm"]);
    let (metrics, _) = run(RewardTrainer::new(&recipe(Stage::Reward, &[]), &model(Head::Score), equal, vec![]));
    assert_same("reward", metrics[0]["loss"], std::f64::consts::LN_2);
    assert!(metrics[0]["grad_norm"] < 1e-5, "nothing to learn: {}", metrics[0]["grad_norm"]);
}

#[test]
fn the_first_dpo_step_costs_what_the_formulas_say() {
    let first = |loss: &str| {
        let r = recipe(Stage::Dpo, &[&format!("loss_type={loss}")]);
        let (metrics, _) = run(block_on(DpoTrainer::new(&r, &model(Head::Lm), None, &preferences(4), &[])).unwrap());
        for name in ["rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"] {
            assert_eq!(metrics[0][name], 0.0, "{loss}: {name}");
        }
        metrics[0]["loss"]
    };
    for (loss, value) in [
        ("sigmoid", std::f64::consts::LN_2),
        ("hinge", 1.0),
        ("ipo", 25.0),
        ("robust", std::f64::consts::LN_2),
        ("sigmoid_norm", std::f64::consts::LN_2),
    ] {
        assert_same(loss, first(loss), value);
    }
}

#[test]
fn a_fully_masked_batch_gives_zero_and_changes_nothing() {
    let masked = sequences(4).into_iter().map(|s| Sequence { mask: vec![false; s.ids.len()], ids: s.ids }).collect();
    let start = model(Head::Lm);
    let (metrics, trained) = run(SftTrainer::new(&recipe(Stage::Sft, &[]), &start, masked, vec![]));
    assert_eq!((metrics[0]["loss"], metrics[0]["grad_norm"]), (0.0, 0.0));
    assert_eq!(block_on(trained.digest()).unwrap(), block_on(start.digest()).unwrap());
}

#[test]
fn the_first_ppo_update_has_ratio_1_and_kl_0() {
    for settings in [["num_mini_batches=1", "gradient_accumulation_steps=1"], ["num_mini_batches=4", "gradient_accumulation_steps=2"]] {
        let r = recipe(Stage::Ppo, &[&["max_steps=1", "rollout_batch_size=8", "response_length=6"], &settings[..]].concat());
        let (metrics, _) = run(ppo_trainer(&r));
        assert!(metrics[0]["val/first_log_ratio"] < 1e-6, "{}", metrics[0]["val/first_log_ratio"]);
        assert_eq!(metrics[0]["objective/kl"], 0.0);
        assert_eq!(metrics[0]["policy/updates"], 4.0 * if settings[0].ends_with('4') { 4.0 } else { 1.0 });
    }
}

#[test]
fn the_score_stands_on_the_last_step_alone() {
    const LENGTH: usize = 20;
    for past_end in [false, true] {
        let settings = [format!("response_length={LENGTH}"), format!("score_one_past_end={past_end}"), "kl_estimator=k3".into()];
        let r = recipe(Stage::Ppo, &[&["rollout_batch_size=8"], &settings.each_ref().map(String::as_str)[..]].concat());
        let mut trainer = ppo_trainer(&r);
        let rollout = block_on(trainer.rollout(1)).unwrap();
        assert!(rollout.episodes.iter().any(|e| e.response.len() < LENGTH) && rollout.episodes.iter().any(|e| e.response.len() == LENGTH));
        let scores = block_on(trainer.score(&rollout)).unwrap();
        let experience = trainer.advantages(rollout, &scores);
        let numbers = block_on(experience.numbers()).unwrap();
        for (i, episode) in experience.episodes.iter().enumerate() {
            let tokens = episode.response.len();
            let steps = tokens + usize::from(past_end && tokens < LENGTH);
            assert_eq!([numbers.logprobs[i].len(), numbers.advantages[i].len(), numbers.returns[i].len()], [tokens, tokens, steps]);
            let mut rewards = vec![0.0; steps];
            rewards[steps - 1] = scores[i].1;
            // The policy is its reference still: nothing but scores is rewarded.
            numbers.rewards[i].iter().zip(rewards).for_each(|(got, want)| assert_same("a reward", *got, want));
            assert_same("the last return", numbers.returns[i][steps - 1], scores[i].1);
        }
    }
}

#[test]
fn ppo_leaves_the_reference_alone_and_moves_policy_and_critic() {
    let r = recipe(Stage::Ppo, &["max_steps=2", "rollout_batch_size=8", "response_length=6", "learning_rate=1e-3"]);
    let mut trainer = ppo_trainer(&r);
    let before = block_on(trainer.policy.digest()).unwrap();
    for step in 1..=2 {
        block_on(trainer.step(step)).unwrap();
    }
    block_on(trainer.verify_reference()).unwrap();
    assert_ne!(block_on(trainer.policy.digest()).unwrap(), before);
}

#[test]
fn a_reference_that_changed_is_told() {
    let mut trainer = block_on(DpoTrainer::new(&recipe(Stage::Dpo, &[]), &model(Head::Lm), None, &preferences(4), &[])).unwrap();
    block_on(trainer.verify_reference()).unwrap();
    trainer.reference = model(Head::Lm).with_score_head(1);
    assert!(block_on(trainer.verify_reference()).unwrap_err().to_string().contains("changed during training"));
}

#[test]
fn the_same_seed_gives_the_same_losses_to_the_last_bit() {
    let ppo = || run(ppo_trainer(&recipe(Stage::Ppo, &["max_steps=3", "rollout_batch_size=8", "response_length=6", "learning_rate=1e-3"])));
    let ((first, a), (second, b)) = (ppo(), ppo());
    assert_eq!(first, second);
    assert_eq!(block_on(a.digest()).unwrap(), block_on(b.digest()).unwrap());
}

#[test]
fn label_smoothing_and_nll_mix_change_the_loss_as_written() {
    let loss = |settings: &[&str]| {
        run(block_on(DpoTrainer::new(&recipe(Stage::Dpo, settings), &model(Head::Lm), None, &preferences(4), &[])).unwrap()).0[0]["loss"]
    };
    let (plain, mixed) = (loss(&[]), loss(&["rpo_alpha=1.0"]));
    assert!(mixed > plain + 1.0, "the mean negative log-likelihood of an untrained model is large: {mixed}");
    assert_same("cDPO at the start", loss(&["label_smoothing=0.2"]), plain);
}

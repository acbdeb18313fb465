//! Checkpoints: a run cut in two is the whole run to the last bit, for every trainer; a broken checkpoint is passed over; what is kept
//! is what was asked for, and LATEST names nothing that is not there.

use evenkeel_core::event::{Command, Event};
use evenkeel_core::model::{Head, Model, Sampling};
use evenkeel_core::recipe::{Assignment, Recipe, Stage};
use evenkeel_core::train::run::{Dataset, Front, Models, run};
use evenkeel_core::train::state::{self, LATEST, Standing};
use evenkeel_core::{Result, data::Prompt};
use pollster::block_on;

use crate::invariances::{model, preferences, sequences};
use crate::support::MemoryStore;

const STEPS: u64 = 5;

/// Everything that a run has to remember: several epochs in an order of its own, a schedule, moments, a best checkpoint, accumulation;
/// for PPO a controller that moves β and moments of the scores.
fn recipe(stage: Stage, settings: &[&str]) -> Recipe {
    let common = [
        "learning_rate=1e-2",
        "max_steps=5",
        "warmup_steps=2",
        "lr_scheduler_type=cosine",
        "weight_decay=0.1",
        "per_device_train_batch_size=2",
        "gradient_accumulation_steps=2",
        "eval_steps=2",
    ];
    let of_ppo = [
        "metric_for_best_model=eval_objective/scores",
        "greater_is_better=true",
        "rollout_batch_size=4",
        "response_length=5",
        "num_ppo_epochs=2",
        "num_mini_batches=2",
        "kl_target=0.1",
        "kl_horizon=8",
        "normalize_rewards=true",
    ];
    let own = if stage == Stage::Ppo { &of_ppo[..] } else { &["metric_for_best_model=eval_loss"][..] };
    let settings: Vec<Assignment> = common.iter().chain(own).chain(settings).map(|s| s.parse().expect("key=value")).collect();
    Recipe::parse(stage, "", &settings).expect("a valid recipe")
}

fn models(stage: Stage) -> Models {
    let sampling = Sampling { stop: vec![1], ..Sampling::default() };
    let policy = model(if stage == Stage::Reward { Head::Score } else { Head::Lm });
    let reward = (stage == Stage::Ppo).then(|| model(Head::Score));
    Models { policy, text: None, sampling, reference: None, reward, value: None }
}

fn rows(stage: Stage, count: u64) -> Dataset {
    match stage {
        Stage::Sft => Dataset::Sequences(sequences(count)),
        Stage::Reward | Stage::Dpo => Dataset::Preferences(preferences(count)),
        Stage::Ppo => Dataset::Prompts(sequences(count).into_iter().map(|s| Prompt { ids: s.ids, text: String::new() }).collect()),
    }
}

/// One session of a run: from the checkpoint of `resume`, until it is done or has done `most` steps.
fn session(recipe: &Recipe, models: Models, store: &mut MemoryStore, resume: Option<u64>, most: u64) -> (Vec<Event>, Result<Model>) {
    let (mut events, mut asked) = (Vec::new(), 0);
    let front = Front {
        store,
        on_event: &mut |event| events.push(event),
        commands: &mut || {
            asked += 1;
            (asked == most + 1).then_some(Command::Stop)
        },
        device: "CPU".into(),
    };
    let (train, eval) = (rows(recipe.stage, 7), rows(recipe.stage, 3));
    let model = block_on(run(recipe, models, train, Some(eval), front, resume));
    events.retain(|event| matches!(event, Event::Step { .. } | Event::Eval { .. }));
    (events, model)
}

fn whole(recipe: &Recipe) -> (MemoryStore, Vec<Event>, String) {
    let mut store = MemoryStore::default();
    let (events, model) = session(recipe, models(recipe.stage), &mut store, None, u64::MAX - 1);
    (store, events, block_on(model.unwrap().digest()).unwrap())
}

fn standing(store: &mut MemoryStore) -> Result<Standing> {
    block_on(state::standing(store))
}

/// Cut after any number of its steps, a run is the whole one to the last bit: what it says, its result, and its state at the end.
#[track_caller]
fn is_whole_wherever_it_is_cut(stage: Stage) {
    let recipe = recipe(stage, &[]);
    let (mut undisturbed, wanted, digest) = whole(&recipe);
    for cut in 0..=STEPS {
        let mut store = MemoryStore::default();
        let (mut events, _) = session(&recipe, models(stage), &mut store, None, cut);
        let from = standing(&mut store).unwrap().step;
        assert_eq!(from, Some(cut));
        let (rest, model) = session(&recipe, models(stage), &mut store, from, STEPS);
        events.extend(rest);
        assert_eq!(events, wanted, "cut after step {cut}");
        assert_eq!(block_on(model.unwrap().digest()).unwrap(), digest, "cut after step {cut}");
        let last = |store: &mut MemoryStore| file(store, STEPS, "state.safetensors").clone();
        assert!(last(&mut store) == last(&mut undisturbed), "cut after step {cut}: the state differs");
    }
}

#[test]
fn sft_is_whole_wherever_it_is_cut() {
    is_whole_wherever_it_is_cut(Stage::Sft);
}

#[test]
fn reward_is_whole_wherever_it_is_cut() {
    is_whole_wherever_it_is_cut(Stage::Reward);
}

#[test]
fn dpo_is_whole_wherever_it_is_cut() {
    is_whole_wherever_it_is_cut(Stage::Dpo);
}

#[test]
fn ppo_is_whole_wherever_it_is_cut() {
    is_whole_wherever_it_is_cut(Stage::Ppo);
}

/// A run of five steps that keeps its last three checkpoints.
fn five_steps() -> MemoryStore {
    let mut store = MemoryStore::default();
    let recipe = recipe(Stage::Sft, &["save_steps=1", "save_total_limit=3", "metric_for_best_model=none"]);
    session(&recipe, models(Stage::Sft), &mut store, None, STEPS).1.unwrap();
    store
}

#[test]
fn a_broken_checkpoint_is_passed_over_for_the_one_before() {
    let whole = five_steps();
    assert_eq!(standing(&mut whole.clone()).unwrap(), Standing { step: Some(5), kept: vec![3, 4, 5], passed_over: vec![] });
    type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);
    let breaks: [(&str, Damage); 6] = [
        ("state.safetensors", &|bytes| bytes.truncate(bytes.len() / 2)),
        ("state.safetensors", &|bytes| *bytes.last_mut().unwrap() ^= 1),
        ("state.json", &|bytes| bytes.clear()),
        ("model.safetensors", &|bytes| bytes.fill(0)),
        ("SHA256SUMS", &|bytes| bytes.truncate(100)),
        ("SHA256SUMS", &|bytes| bytes.clear()),
    ];
    for (name, damage) in breaks {
        let mut store = whole.clone();
        damage(file(&mut store, 5, name));
        let found = standing(&mut store).unwrap();
        assert_eq!(found.step, Some(4), "{name}");
        assert!(found.passed_over[0].starts_with("checkpoints/step-000005 is not whole and is passed over: "), "{:?}", found.passed_over);
    }
    let mut store = whole.clone();
    store.folders.remove(&state::folder(5));
    file(&mut store, 4, "state.json").push(b' ');
    assert_eq!(standing(&mut store).unwrap().step, Some(3));
    store.folders.remove(&state::folder(3));
    let refused = standing(&mut store).unwrap_err().to_string();
    assert!(refused.contains("names no whole checkpoint") && refused.contains("step-000003"), "{refused}");
    assert_eq!(standing(&mut MemoryStore::default()).unwrap(), Standing::default());
}

#[test]
fn a_best_checkpoint_that_broke_is_not_handed_out() {
    // The worst loss is the first, so the result is the checkpoint of step 2.
    let recipe = recipe(Stage::Sft, &["greater_is_better=true"]);
    let (mut store, events, _) = whole(&recipe);
    let losses: Vec<f64> =
        events.iter().filter_map(|e| if let Event::Eval { metrics, .. } = e { Some(metrics["eval_loss"]) } else { None }).collect();
    assert!(losses.len() == 3 && losses[1..].iter().all(|loss| *loss < losses[0]), "{losses:?}");
    let last = file(&mut store, 2, "state.safetensors").last_mut().unwrap();
    *last ^= 1;
    let refused = session(&recipe, models(Stage::Sft), &mut store, Some(STEPS), STEPS).1.unwrap_err().to_string();
    assert!(refused.contains("checkpoints/step-000002: state.safetensors is not what was written"), "{refused}");
}

fn file<'a>(store: &'a mut MemoryStore, step: u64, name: &str) -> &'a mut Vec<u8> {
    let files = store.folders.get_mut(&state::folder(step)).expect("the checkpoint is kept");
    &mut files.iter_mut().find(|f| f.0 == name).expect("it has the file").1
}

#[test]
fn latest_names_a_checkpoint_after_it_is_written_and_an_old_one_goes_after_that() {
    let mut expected = Vec::new();
    for step in 1..=STEPS {
        expected.extend([format!("write {}", state::folder(step)), format!("write {LATEST}")]);
        expected.extend((step > 3).then(|| format!("remove {}", state::folder(step - 3))));
    }
    expected.push("write model".into());
    assert_eq!(five_steps().changes, expected);
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    for stage in [Stage::Dpo, Stage::Ppo] {
        let (mut store, ..) = whole(&recipe(stage, &["max_steps=1"]));
        let other =
            Models { reference: Some(Model::init(model(Head::Lm).config, Head::Lm, 5, &model(Head::Lm).device())), ..models(stage) };
        let refused = session(&recipe(stage, &[]), other, &mut store, Some(1), STEPS).1.unwrap_err().to_string();
        assert!(refused.contains("the reference model is not the one that the run began with"), "{refused}");
    }
    // Nothing is taken for zero that a checkpoint should say.
    for (stage, name) in
        [(Stage::Sft, "num_tokens"), (Stage::Reward, "num_tokens"), (Stage::Ppo, "\"kl_coef\""), (Stage::Ppo, "\"policy\"")]
    {
        let (mut store, ..) = whole(&recipe(stage, &["max_steps=1"]));
        let json = file(&mut store, 1, "state.json");
        *json = String::from_utf8(json.clone()).unwrap().replacen(name, &name.replace(['k', 'n', 'p'], "x"), 1).into_bytes();
        let refused = session(&recipe(stage, &[]), models(stage), &mut store, Some(1), STEPS).1.unwrap_err().to_string();
        assert!(refused.contains("is missing") || refused.contains("missing field"), "{refused}");
    }
}

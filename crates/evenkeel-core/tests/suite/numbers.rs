//! Numbers that are not finite: which rows and tensors are named, what is kept, what is passed over.

use std::collections::BTreeMap;
use std::convert::Infallible;

use burn::tensor::Device;
use evenkeel_core::Error;
use evenkeel_core::data::{Preference, Prompt, Sequence};
use evenkeel_core::event::{Command, Event};
use evenkeel_core::model::{Head, Model, ModelConfig, Param, Sampling};
use evenkeel_core::recipe::{Assignment, Recipe, Stage};
use evenkeel_core::train::forward::read;
use evenkeel_core::train::run::{self, Dataset, Front, Models};
use pollster::block_on;

use crate::support::{MemoryStore, devices};

/// The one token that the models here choke on, and a row that holds it.
const POISON: u32 = 30;
const POISONED_ROW: usize = 3;
const ROWS: usize = 5;
/// The hidden dimension that the poison alone fills, and what the first block multiplies it with: enough for the product of gate and up to
/// overflow, too little for the gradient's squares to.
const DIMENSION: usize = 7;
const FILLED: f32 = 1e6;
const LARGE: f32 = 5e18;

/// Sound for every sequence without the poison; with it a product in the first block overflows.
fn model(head: Head, device: &Device) -> Model {
    let config = r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":31,"hidden_size":32,"intermediate_size":48,
        "num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"max_position_embeddings":64,"rms_norm_eps":1e-5,
        "hidden_act":"silu","tie_word_embeddings":false,"initializer_range":0.2,"bos_token_id":0,"eos_token_id":1}"#;
    let mut model = Model::init(ModelConfig::from_json("tiny", config.as_bytes()).expect("a valid config"), head, 11, device);
    change(&mut model, |name, shape, values| {
        let columns = *shape.last().expect("a parameter has a shape");
        match name {
            "model.embed_tokens.weight" => {
                for token in 0..shape[0] {
                    values[token * columns + DIMENSION] = if token == POISON as usize { FILLED } else { 0.0 };
                }
            }
            "model.layers.0.mlp.gate_proj.weight" | "model.layers.0.mlp.up_proj.weight" => {
                values.iter_mut().skip(DIMENSION).step_by(columns).for_each(|weight| *weight = LARGE);
            }
            _ if name.ends_with("layers.0.self_attn.o_proj.weight") => values[DIMENSION * columns..][..columns].fill(0.0),
            _ => {}
        }
    });
    model
}

/// Passes every parameter's numbers through `f`: its name, its shape, its numbers.
fn change(model: &mut Model, f: impl Fn(&str, &[usize], &mut [f32])) {
    let segments = model.params.segments().iter().map(|segment| segment.value.clone()).collect();
    let segments = block_on(read(segments)).expect("weights can be read");
    let mut values: BTreeMap<String, Vec<f32>> = model.params.parts(&segments).map(|(p, v)| (p.name.clone(), v.to_vec())).collect();
    for param in model.params.iter() {
        f(&param.name, &param.shape, values.get_mut(&param.name).expect("every parameter was read"));
    }
    let device = model.device();
    for segment in 0..model.params.segments().len() {
        let changed = async |param: &Param| Ok::<_, Infallible>(values[&param.name].clone());
        let Ok(value) = block_on(model.params.assemble(segment, &device, changed));
        model.params.segments_mut()[segment].value = value;
    }
}

fn sequence(row: usize, answer: u32) -> Sequence {
    let last = if row == POISONED_ROW { POISON } else { 9 };
    let ids = vec![2 + row as u32, 5, last, answer, 4];
    Sequence { mask: vec![false, false, false, true, true], ids }
}

fn dataset(stage: Stage) -> Dataset {
    let rows = 0..ROWS;
    match stage {
        Stage::Sft => Dataset::Sequences(rows.map(|row| sequence(row, 8)).collect()),
        Stage::Reward | Stage::Dpo => {
            let answers = |row| vec![sequence(row, 8), sequence(row, 11), sequence(row, 12)];
            Dataset::Preferences(rows.map(|row| Preference { responses: answers(row), margin: 0.0 }).collect())
        }
        Stage::Ppo => {
            let prompt = |row| Prompt { ids: sequence(row, 8).ids[..3].to_vec(), text: String::new() };
            Dataset::Prompts(rows.map(prompt).collect())
        }
    }
}

struct Outcome {
    result: std::result::Result<(), Error>,
    folders: MemoryStore,
    events: Vec<Event>,
}

/// Runs `stage` on the rows in their order, one pair at a time in `dpo` and one row elsewhere.
fn train(stage: Stage, device: &Device, settings: &[&str], mut folders: MemoryStore, resume: Option<u64>) -> Outcome {
    let common =
        ["per_device_train_batch_size=1", "shuffle=false", "num_train_epochs=1", "lr_scheduler_type=constant", "learning_rate=1e-3"];
    let of_ppo = ["rollout_batch_size=1", "num_mini_batches=1", "response_length=4"];
    let more = if stage == Stage::Ppo { &of_ppo[..] } else { &[] };
    let settings: Vec<Assignment> = common.iter().chain(more).chain(settings).map(|s| s.parse().expect("key=value")).collect();
    let recipe = Recipe::parse(stage, "", &settings).expect("a valid recipe");
    let head = if stage == Stage::Reward { Head::Score } else { Head::Lm };
    let judge = (stage == Stage::Ppo).then(|| model(Head::Score, device));
    let models =
        Models { policy: model(head, device), text: None, sampling: Sampling::default(), reference: None, reward: judge, value: None };
    let mut events = Vec::new();
    let mut hear = |event| events.push(event);
    let front = Front { store: &mut folders, on_event: &mut hear, commands: &mut || None::<Command>, device: "test".into() };
    let result = block_on(run::run(&recipe, models, dataset(stage), None, front, resume)).map(|_| ());
    Outcome { result, folders, events }
}

/// Steps before the one that meets the poisoned row.
fn sound_steps(stage: Stage) -> u64 {
    let pairs = if stage == Stage::Dpo { 3 } else { 1 };
    (POISONED_ROW * pairs) as u64
}

#[test]
fn the_row_is_named_and_the_state_before_it_kept() {
    for (name, device) in devices("the_row_is_named_and_the_state_before_it_kept") {
        for stage in [Stage::Sft, Stage::Reward, Stage::Dpo] {
            let sound = sound_steps(stage);
            let failed = train(stage, &device, &[], MemoryStore::default(), None);
            let Err(Error::NonFinite { step, rows, moved, .. }) = &failed.result else { panic!("{name} {stage:?}: {:?}", failed.result) };
            assert_eq!((*step, rows.as_slice(), *moved), (sound + 1, &[POISONED_ROW + 1][..], false), "{name} {stage:?}");
            let last = failed.events.last().expect("a run has events");
            assert!(matches!(last, Event::Failed { step, message } if *step == sound + 1 && message.contains("in row 4 of")), "{last:?}");
            assert!(!failed.folders.folders.contains_key("model"), "{name} {stage:?}: a failed run leaves no model");

            let undisturbed = train(stage, &device, &[&format!("max_steps={sound}")], MemoryStore::default(), None);
            undisturbed.result.expect("rows before the poisoned one are sound");
            let checkpoint = format!("checkpoints/step-{sound:06}");
            let state = |folders: &MemoryStore| {
                let mut files = folders.folders[&checkpoint].clone();
                files.retain(|(file, _)| file == "state.safetensors" || file == "state.json");
                files
            };
            assert!(state(&failed.folders) == state(&undisturbed.folders), "{name} {stage:?}: the state kept is the last good one");
        }
    }
}

#[test]
fn a_batch_may_be_passed_over_and_is_counted() {
    for (name, device) in devices("a_batch_may_be_passed_over_and_is_counted") {
        for stage in [Stage::Sft, Stage::Reward, Stage::Dpo, Stage::Ppo] {
            let run = train(stage, &device, &["skip_nan_grad=true"], MemoryStore::default(), None);
            run.result.unwrap_or_else(|error| panic!("{name} {stage:?}: {error}"));
            let bad = if stage == Stage::Dpo { 3.0 } else { 1.0 };
            let counts: Vec<f64> = run
                .events
                .iter()
                .filter_map(|e| if let Event::Step { metrics, .. } = e { metrics.get("skipped_steps").copied() } else { None })
                .collect();
            assert_eq!(counts.last(), Some(&bad), "{name} {stage:?}: {counts:?}");
            let warnings = run.events.iter().filter(|e| matches!(e, Event::Warning { message } if message.contains("row 4 of"))).count();
            assert_eq!(warnings as f64, bad, "{name} {stage:?}: each is told with its row");
            let steps =
                run.events.iter().filter(|e| matches!(e, Event::Step { metrics, .. } if !metrics.contains_key("skipped_steps"))).count();
            assert_eq!(steps as f64, (ROWS - 1) as f64 * bad, "{name} {stage:?}: all other steps were taken");
        }
    }
}

#[test]
fn the_run_goes_on_past_the_row_from_what_was_kept() {
    let device = Device::flex();
    let failed = train(Stage::Sft, &device, &[], MemoryStore::default(), None);
    let resumed = train(Stage::Sft, &device, &["skip_nan_grad=true"], failed.folders, Some(sound_steps(Stage::Sft)));
    resumed.result.expect("the batch is passed over");
    let whole = train(Stage::Sft, &device, &["skip_nan_grad=true"], MemoryStore::default(), None);
    assert!(resumed.folders.folders["model"] == whole.folders.folders["model"], "stopped and resumed is as if never stopped");
}

#[test]
fn ppo_names_the_prompt() {
    for (name, device) in devices("ppo_names_the_prompt") {
        let failed = train(Stage::Ppo, &device, &[], MemoryStore::default(), None);
        let Err(Error::NonFinite { step, rows, what, .. }) = &failed.result else { panic!("{name}: {:?}", failed.result) };
        assert_eq!((*step, rows.as_slice(), what.as_str()), (sound_steps(Stage::Ppo) + 1, &[POISONED_ROW + 1][..], "a logit"), "{name}");
    }
}

#[test]
fn a_weight_is_named_before_any_row() {
    let device = Device::flex();
    let recipe = Recipe::parse(Stage::Sft, "", &["shuffle=false".parse::<Assignment>().expect("key=value")]).expect("a valid recipe");
    let mut policy = model(Head::Lm, &device);
    change(&mut policy, |name, _, values| {
        if name == "model.layers.1.mlp.down_proj.weight" {
            values[5] = f32::NAN;
        }
    });
    let models = Models { policy, text: None, sampling: Sampling::default(), reference: None, reward: None, value: None };
    let (mut folders, mut hear) = (MemoryStore::default(), |_| ());
    let front = Front { store: &mut folders, on_event: &mut hear, commands: &mut || None::<Command>, device: "test".into() };
    let error = block_on(run::run(&recipe, models, dataset(Stage::Sft), None, front, None)).map(|_| ()).expect_err("not a number");
    assert!(matches!(&error, Error::NonFinite { what, .. } if what == "weight model.layers.1.mlp.down_proj.weight"), "{error}");
}

#[test]
fn a_run_that_passes_over_everything_stops() {
    let run = train(
        Stage::Sft,
        &Device::flex(),
        &["skip_nan_grad=true", "learning_rate=1e30", "num_train_epochs=20"],
        MemoryStore::default(),
        None,
    );
    assert!(matches!(run.result, Err(Error::NonFinite { .. })), "{:?}", run.result);
    let skipped = run.events.iter().filter(|e| matches!(e, Event::Warning { .. })).count();
    assert_eq!(skipped, 10, "ten in a row are too many");
}

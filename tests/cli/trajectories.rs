//! The command line against TRL's own trainers: `golden/trl/trajectory.json` holds loss, gradient norm and token count of each
//! step of TRL 1.16 on the same rows from the same weights, in float32.

use std::path::Path;

use serde_json::Value;

use super::{evenkeel, events, folder, shared};

/// Of the loss: float32 sums in another order, then that difference grown by training.
const FIRST_TEN: f64 = 1e-3;
const AFTER: f64 = 1e-2;
/// Of the gradient norm, relative.
const NORM: f64 = 1e-2;

const COMMON: &str = "shuffle=false max_steps=20 per_device_train_batch_size=8 gradient_accumulation_steps=1 lr_scheduler_type=linear \
                      warmup_steps=0 weight_decay=0.0 max_grad_norm=1.0 adam_beta2=0.999";

/// On the CPU backend, and on the GPU where EVENKEEL_GPU says that there is one.
fn compare(stage: &str, model: &str, data: &str, settings: &str) {
    let has_gpu = std::env::var("EVENKEEL_GPU").is_ok_and(|wish| wish == "yes");
    for device in ["cpu", "gpu"].into_iter().take(if has_gpu { 2 } else { 1 }) {
        compare_on(device, stage, model, data, settings);
    }
}

fn compare_on(device: &str, stage: &str, model: &str, data: &str, settings: &str) {
    let Some(shared) = shared(&format!("trajectory of {stage}")) else { return };
    let temp = folder();
    let path = |name: &str| shared.join(name).display().to_string();
    let mut arguments =
        vec![stage.to_owned(), "--model".into(), path(model), "--data".into(), path(data), "--device".into(), device.into()];
    arguments.extend(["--out".to_owned(), "run".into()]);
    for setting in COMMON.split_whitespace().chain(settings.split_whitespace()) {
        arguments.extend(["--set".to_owned(), setting.to_owned()]);
    }
    evenkeel(temp.path(), &arguments).ok();
    let trajectory: Value = serde_json::from_slice(&std::fs::read(shared.join("golden/trl/trajectory.json")).unwrap()).unwrap();
    let want = trajectory[stage].as_array().expect("TRL's steps");
    let got = steps(&temp.path().join("run"));
    assert_eq!(got.len(), want.len());
    let mut wrong = Vec::new();
    for (got, want) in got.iter().zip(want) {
        let step = want["step"].as_u64().unwrap();
        let number = |metrics: &Value, name: &str| metrics[name].as_f64().unwrap_or(f64::NAN);
        let (loss, want_loss) = (number(got, "loss"), number(want, "loss"));
        let (norm, want_norm) = (number(got, "grad_norm"), number(want, "grad_norm"));
        let tolerance = if step <= 10 { FIRST_TEN } else { AFTER };
        let fits = (loss - want_loss).abs() <= tolerance && (norm / want_norm - 1.0).abs() <= NORM;
        if !(fits && number(got, "num_tokens") == number(want, "num_tokens")) {
            let tokens = (&got["num_tokens"], &want["num_tokens"]);
            wrong.push(format!(
                "step {step}: loss {loss} for {want_loss}, norm {norm} for {want_norm}, tokens {} for {}",
                tokens.0, tokens.1
            ));
        }
    }
    assert!(wrong.is_empty(), "{stage} on the {device}:\n{}", wrong.join("\n"));
}

fn steps(run: &Path) -> Vec<Value> {
    events(run).into_iter().filter(|e| e["event"] == "step").map(|e| e["metrics"].clone()).collect()
}

#[test]
fn sft_follows_trl() {
    compare("sft", "models/stories260K", "golden/trl/trajectory.sft.jsonl", "learning_rate=1e-3");
}

#[test]
fn dpo_follows_trl() {
    compare("dpo", "models/stories260K", "golden/trl/trajectory.pref.jsonl", "learning_rate=5e-4 beta=0.1 loss_type=sigmoid");
}

#[test]
fn reward_follows_trl() {
    compare("reward", "golden/trl/trajectory-rm-init", "golden/trl/trajectory.pref.jsonl", "learning_rate=5e-4");
}

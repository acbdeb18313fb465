//! Stopping: the first signal finishes the step and checkpoints, and the run can go on.
#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Outcome, evenkeel, events, folder, shared};

/// Long enough for the slowest machine's first step.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_signal_stops_after_the_step_and_the_run_goes_on() {
    let Some(shared) = shared("a_signal_stops_after_the_step_and_the_run_goes_on") else { return };
    let temp = folder();
    let (model, data) = (shared.join("models/stories260K"), shared.join("data/alpaca-eval-sft.jsonl"));
    let child = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .current_dir(temp.path())
        .args(["sft", "--device", "cpu", "--max-steps", "100000", "--set", "max_length=48", "--out", "run", "--model"])
        .arg(&model)
        .arg("--data")
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let run = temp.path().join("run");
    wait_for_a_step(&run);
    let second = evenkeel(temp.path(), &["sft", "--resume", "run", "--device", "cpu"]);
    second.refused(&["is in use by another evenkeel process"]);
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let outcome = Outcome::of(child.wait_with_output().expect("it ends")).ok();
    assert!(outcome.stderr.contains("stopping after this step") && outcome.stdout.contains("evenkeel sft --resume run"), "{outcome:?}");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(run.join("run.json")).unwrap()).unwrap();
    assert_eq!(record["status"], "stopped");
    let stopped_at = record["steps"].as_u64().unwrap();

    let target = (stopped_at + 1).to_string();
    evenkeel(temp.path(), &["sft", "--resume", "run", "--device", "cpu", "--max-steps", &target]).ok();
    let steps: Vec<u64> = events(&run).iter().filter(|e| e["event"] == "step").map(|e| e["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, (1..=stopped_at + 1).collect::<Vec<_>>(), "each step once");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(run.join("run.json")).unwrap()).unwrap();
    assert_eq!(record["status"], "finished");
}

/// A device that the driver takes away in the middle of a run.
#[test]
fn a_lost_device_ends_the_run_and_leaves_what_it_can_go_on_from() {
    let Some(shared) = shared("a_lost_device_ends_the_run_and_leaves_what_it_can_go_on_from") else { return };
    if std::env::var_os("EVENKEEL_GPU").is_none_or(|wish| wish != "yes") {
        eprintln!("skipped a_lost_device_ends_the_run_and_leaves_what_it_can_go_on_from: EVENKEEL_GPU is not `yes`");
        return;
    }
    let temp = folder();
    let (run, loss) = (temp.path().join("run"), temp.path().join("loss"));
    let settings = ["max_length=32", "per_device_train_batch_size=2", "save_steps=1", "lr_scheduler_type=constant"];
    let train = |out: &str, steps: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command.current_dir(temp.path()).args(["sft", "--device", "gpu", "--max-steps", steps]);
        match out {
            "" => command.args(["--resume", "run"]),
            out => {
                command.args(["--out", out]).args(settings.iter().flat_map(|setting| ["--set", setting]));
                command.arg("--model").arg(shared.join("models/stories260K")).arg("--data").arg(shared.join("data/alpaca-eval-sft.jsonl"))
            }
        };
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let child = train("run", "100000").env("EVENKEEL_GPU_LOSE_WHEN", &loss).spawn().expect("the binary starts");
    wait_for(&run, "checkpoint");
    std::fs::write(&loss, "").expect("a file can be written");
    let outcome = Outcome::of(child.wait_with_output().expect("it ends"));
    assert_eq!(outcome.code, 1, "{outcome:?}");
    // A driver may have errors of its own to tell.
    let errors: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("error: sft failed after step")).collect();
    assert!(errors.len() == 1 && errors[0].contains("evenkeel sft --resume run` goes on: device: "), "{outcome:?}");
    assert!(!outcome.stderr.contains("defect"), "{outcome:?}");

    let kept: u64 = std::fs::read_to_string(run.join("checkpoints/LATEST/step")).unwrap().trim().parse().unwrap();
    let steps = (kept + 2).to_string();
    Outcome::of(train("", &steps).output().expect("the binary starts")).ok();
    Outcome::of(train("whole", &steps).output().expect("the binary starts")).ok();
    let model = |run: &str| std::fs::read(temp.path().join(run).join("model/model.safetensors")).unwrap();
    assert!(model("run") == model("whole"), "lost and resumed is as if never lost");
}

fn wait_for_a_step(run: &Path) {
    wait_for(run, "step");
}

fn wait_for(run: &Path, event: &str) {
    let begun = Instant::now();
    let told = format!("\"event\":\"{event}\"");
    while !std::fs::read_to_string(run.join("events.jsonl")).is_ok_and(|text| text.contains(&told)) {
        assert!(begun.elapsed() < PATIENCE, "no {event} within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

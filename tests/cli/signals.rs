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

fn wait_for_a_step(run: &Path) {
    let begun = Instant::now();
    let stepped = || std::fs::read_to_string(run.join("events.jsonl")).is_ok_and(|text| text.contains("\"event\":\"step\""));
    while !stepped() {
        assert!(begun.elapsed() < PATIENCE, "no step within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

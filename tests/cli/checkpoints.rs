//! What a run keeps, and what it makes of a broken checkpoint, a full disk, other models and a second signal.

use std::fs;
use std::path::Path;

use super::{Outcome, evenkeel, events, folder, world};

const SETTINGS: &str = "max_length=48 per_device_train_batch_size=4 save_steps=1";

fn run(at: &Path, stage: &str, out: &str, settings: &str) -> Outcome {
    evenkeel(at, &world::words(stage, out, &format!("{SETTINGS} {settings}")))
}

fn resume(at: &Path, stage: &str, out: &str) -> Outcome {
    evenkeel(at, &[stage, "--resume", out, "--device", "cpu"])
}

fn model(run: &Path) -> Vec<u8> {
    fs::read(run.join("model/model.safetensors")).unwrap()
}

/// Names in `checkpoints/`.
fn kept(run: &Path) -> Vec<String> {
    let entries = fs::read_dir(run.join("checkpoints")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// As a run stands that was killed after its last checkpoint.
fn forget_result(run: &Path) {
    fs::remove_dir_all(run.join("model")).unwrap();
}

#[test]
fn a_truncated_checkpoint_is_passed_over_and_the_run_ends_the_same() {
    let temp = folder();
    let (here, cut) = (temp.path(), temp.path().join("cut"));
    world::write(here);
    run(here, "sft", "cut", "max_steps=4").ok();
    assert_eq!(kept(&cut), ["LATEST", "step-000003", "step-000004"], "save_total_limit is 2");
    let (whole, said) = (model(&cut), events(&cut));
    forget_result(&cut);
    let state = cut.join("checkpoints/step-000004/state.safetensors");
    let half = fs::metadata(&state).unwrap().len() / 2;
    fs::File::options().write(true).open(&state).unwrap().set_len(half).unwrap();
    let outcome = resume(here, "sft", "cut").ok();
    for sentence in ["step-000004 is not whole and is passed over: state.safetensors is not what was written", "going on after step 3"] {
        assert!(outcome.stderr.contains(sentence), "`{sentence}` is not in {}", outcome.stderr);
    }
    assert!(model(&cut) == whole);
    let steps = |events: Vec<serde_json::Value>| events.into_iter().filter(|event| event["event"] == "step").collect::<Vec<_>>();
    assert_eq!(steps(events(&cut)), steps(said));

    for step in [3, 4] {
        fs::remove_file(cut.join(format!("checkpoints/step-{step:06}/state.json"))).unwrap();
    }
    resume(here, "sft", "cut").refused(&["names no whole checkpoint", "state.json is missing", "start the run anew"]);
}

#[test]
fn a_run_without_a_checkpoint_begins_again() {
    let temp = folder();
    let cut = temp.path().join("cut");
    world::write(temp.path());
    run(temp.path(), "reward", "cut", "max_steps=2").ok();
    let whole = model(&cut);
    forget_result(&cut);
    fs::remove_dir_all(cut.join("checkpoints")).unwrap();
    let outcome = resume(temp.path(), "reward", "cut").ok();
    assert!(outcome.stderr.contains("no checkpoint was finished: beginning again"), "{}", outcome.stderr);
    assert!(model(&cut) == whole);
    let steps: Vec<u64> = events(&cut).iter().filter(|e| e["event"] == "step").map(|e| e["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [1, 2]);
}

#[test]
fn a_run_goes_on_with_the_models_that_it_began_with_alone() {
    let temp = folder();
    let here = temp.path();
    world::write(here);
    run(here, "ppo", "cut", "max_steps=1 rollout_batch_size=4 response_length=4").ok();
    let judge = here.join("rm/model.safetensors");
    let mut bytes = fs::read(&judge).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&judge, bytes).unwrap();
    resume(here, "ppo", "cut").refused(&["rm/model.safetensors: is not the file that the run began with"]);
}

/// A limit on the size of files stands for a full disk: the system refuses to write more in the middle of a file.
#[test]
#[cfg(unix)]
fn a_full_disk_stops_the_run_and_leaves_the_last_checkpoint() {
    const LIMITED: &str = "trap '' XFSZ; ulimit -f 100; exec \"$@\"";
    let temp = folder();
    let (here, cut) = (temp.path(), temp.path().join("cut"));
    world::write(here);
    run(here, "dpo", "whole", "max_steps=3").ok();
    run(here, "dpo", "cut", "max_steps=3").ok();
    // Back to where the disk fills up in writing the last checkpoint.
    fs::remove_dir_all(cut.join("checkpoints/step-000003")).unwrap();
    fs::write(cut.join("checkpoints/LATEST/step"), "2").unwrap();
    forget_result(&cut);
    let limited = ["-c", LIMITED, "sh", env!("CARGO_BIN_EXE_evenkeel"), "dpo", "--resume", "cut", "--device", "cpu"];
    let outcome = Outcome::of(std::process::Command::new("sh").current_dir(here).args(limited).output().unwrap());
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    let sentences = ["error: dpo failed: storage: cannot write cut/checkpoints/.part-step-000003/", "File too large"];
    for sentence in sentences.into_iter().chain(["the checkpoints before are whole", "go on with: evenkeel dpo --resume cut"]) {
        assert!(outcome.stderr.contains(sentence), "`{sentence}` is not in {}", outcome.stderr);
    }
    assert_eq!(kept(&cut), ["LATEST", "step-000002"], "nothing half-written is left");
    resume(here, "dpo", "cut").ok();
    assert!(model(&cut) == model(&here.join("whole")));
}

/// The first signal waits for the step; this one takes minutes, and the second signal does not wait.
#[test]
#[cfg(unix)]
fn a_second_signal_ends_the_run_at_once() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};
    const ROWS: u64 = 40_000;
    /// 128 + SIGINT.
    const INTERRUPTED: i32 = 130;
    let temp = folder();
    let here = temp.path();
    world::write(here);
    let row = serde_json::json!({ "input_ids": (0..40).collect::<Vec<_>>() });
    world::write_rows(&here.join("sft.jsonl"), (0..ROWS).map(|_| row.clone()));
    let settings = format!("max_length=48 per_device_train_batch_size=1 gradient_accumulation_steps={ROWS} eval_fraction=0 max_steps=1");
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.current_dir(here).args(world::words("sft", "run", &settings)).stdout(Stdio::piped());
    command.stderr(fs::File::create(here.join("said")).unwrap());
    let child = command.spawn().unwrap();
    let wait_for = |file: &str, words: &str| {
        let begun = Instant::now();
        while !fs::read_to_string(here.join(file)).is_ok_and(|text| text.contains(words)) {
            assert!(begun.elapsed() < Duration::from_secs(120), "{file} does not say `{words}`");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let signal = || assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    wait_for("run/events.jsonl", "started");
    signal();
    wait_for("said", "stopping after this step; once more to stop at once");
    signal();
    assert_eq!(Outcome::of(child.wait_with_output().unwrap()).code, INTERRUPTED);
    assert!(!here.join("run/checkpoints").exists(), "it waited for its step");
}

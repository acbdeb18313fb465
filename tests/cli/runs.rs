//! Small real runs: what they print, what they leave in the run folder, and how they go on after a stop.

use std::path::Path;

use serde_json::Value;

use super::{Outcome, evenkeel, events, folder, shared, words};

/// `words` with the stories model and a data file of ../shared put in.
fn with_shared(shared: &Path, line: &str) -> Vec<String> {
    let model = shared.join("models/stories260K").display().to_string();
    let data = shared.join("data").display().to_string();
    words(line).iter().map(|w| w.replace("STORIES", &model).replace("DATA", &data)).collect()
}

#[track_caller]
fn run(at: &Path, shared: &Path, line: &str) -> Outcome {
    evenkeel(at, &with_shared(shared, line))
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn losses(run: &Path) -> Vec<f64> {
    events(run).iter().filter(|e| e["event"] == "step").map(|e| e["metrics"]["loss"].as_f64().unwrap()).collect()
}

const SMALL: &str = "--device cpu --set max_length=96 --set per_device_train_batch_size=4 --set learning_rate=1e-3";

#[test]
fn sft_then_score_then_eval_then_generate() {
    let Some(shared) = shared("sft_then_score_then_eval_then_generate") else { return };
    let temp = folder();
    let here = temp.path();
    let line = format!("sft --model STORIES --data DATA/alpaca-eval-sft.jsonl --max-steps 2 --set eval_fraction=0.1 --out a {SMALL}");
    let outcome = run(here, &shared, &line).ok();
    for said in ["260,032 parameters", "memory", "device: CPU", "7 rows held out", "run folder: a", "sft 1/2", "sft 2/2"] {
        assert!(outcome.stderr.contains(said), "`{said}` is not in {}", outcome.stderr);
    }
    assert!(outcome.stdout.contains("eval_loss") && outcome.stdout.contains("model: a/model"), "{}", outcome.stdout);
    let record: Value = serde_json::from_slice(&std::fs::read(here.join("a/run.json")).unwrap()).unwrap();
    assert_eq!((record["status"].as_str(), record["steps"].as_u64(), record["seed"].as_u64()), (Some("finished"), Some(2), Some(42)));
    assert_eq!(record["data"][0]["sha256"].as_str().unwrap().len(), 64);
    let kinds: Vec<String> = events(&here.join("a")).iter().map(|e| e["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["started", "step", "step", "eval", "checkpoint", "finished"]);
    assert!(std::fs::read_to_string(here.join("a/recipe.toml")).unwrap().contains("adam_epsilon = "));
    for file in ["model/config.json", "model/model.safetensors", "model/tokenizer.json", "checkpoints/step-000002/state.json"] {
        assert!(here.join("a").join(file).exists(), "{file}");
    }
    run(here, &shared, &line).refused(&["--out a: already exists and is not empty", "--resume"]);

    // A run folder stands for its model.
    let all = std::fs::read_to_string(shared.join("golden/trl/trajectory.pref.jsonl")).unwrap();
    let few: String = all.lines().take(30).map(|line| format!("{line}\n")).collect();
    std::fs::write(here.join("pairs.jsonl"), few).unwrap();
    let scored = run(here, &shared, "score --model a --data pairs.jsonl --device cpu").ok();
    let rows = json_lines(&scored.stdout);
    assert_eq!(rows.len(), 30);
    let first = &rows[0]["chosen"];
    let sum: f64 = first["token_logprobs"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - first["logprob"].as_f64().unwrap()).abs() < 1e-3);
    assert_eq!(first["tokens"].as_u64().unwrap() as usize, first["token_logprobs"].as_array().unwrap().len());

    let eval = run(here, &shared, "eval --model a/model --data DATA/alpaca-eval-sft.jsonl --device cpu --max-length 96 --json").ok();
    let eval: Value = serde_json::from_str(&eval.stdout).unwrap();
    let (loss, perplexity) = (eval["loss"].as_f64().unwrap(), eval["perplexity"].as_f64().unwrap());
    assert!((loss.exp() - perplexity).abs() < 1e-6 * perplexity && loss < 5.0, "{eval}");
    let line = "eval --model a/model --reference STORIES --data pairs.jsonl --device cpu --json";
    let eval: Value = serde_json::from_str(&run(here, &shared, line).ok().stdout).unwrap();
    assert!((0.0..=1.0).contains(&eval["rewards/accuracies"].as_f64().unwrap()), "{eval}");
}

#[test]
fn generate_gives_the_published_text() {
    let Some(shared) = shared("generate_gives_the_published_text") else { return };
    let here = folder();
    let line = "generate --model STORIES --device cpu --do-sample false --max-new-tokens 100 --prompt Once";
    let text = run(here.path(), &shared, line).ok().stdout;
    let published = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. \
                     She wanted to play with it, but it was too high.\nLily's mom said, \"Lily, let's go to the park.\"";
    assert!(text.starts_with(published), "{text}");
    let json = run(here.path(), &shared, &format!("{line} --json")).ok().stdout;
    let completion = json_lines(&json)[0]["completion"].as_str().unwrap().to_owned();
    assert_eq!(format!("Once{completion}"), text.trim_end_matches('\n'), "streamed and whole text agree");
}

#[test]
fn a_stopped_run_goes_on_to_the_same_losses() {
    let Some(shared) = shared("a_stopped_run_goes_on_to_the_same_losses") else { return };
    let here = folder();
    let line = format!("dpo --model STORIES --data DATA/alpaca-eval-pref.jsonl {SMALL}");
    run(here.path(), &shared, &format!("{line} --max-steps 4 --out whole")).ok();
    // The schedule is that of four steps; the run is cut after two by its checkpoint alone being kept.
    run(here.path(), &shared, &format!("{line} --max-steps 4 --set save_steps=2 --set save_total_limit=0 --out cut")).ok();
    let cut = here.path().join("cut");
    std::fs::remove_dir_all(cut.join("checkpoints/step-000004")).unwrap();
    std::fs::remove_dir_all(cut.join("model")).unwrap();
    std::fs::write(cut.join("checkpoints/LATEST/step"), "2").unwrap();
    run(here.path(), &shared, "dpo --resume cut --device cpu").ok();
    assert_eq!(losses(&cut), losses(&here.path().join("whole")), "bit for bit");
    assert!(cut.join("model/model.safetensors").exists());
    let weights = |run: &str| std::fs::read(here.path().join(run).join("model/model.safetensors")).unwrap();
    assert!(weights("cut") == weights("whole"), "the same weights");
}

#[test]
fn alpaca_from_sft_to_dpo_rewards_and_ppo() {
    let Some(shared) = shared("alpaca_from_sft_to_dpo_rewards_and_ppo") else { return };
    let here = folder();
    // The first rows again and again: what is learnt is seen at once, whatever the order.
    for name in ["sft", "pref"] {
        let all = std::fs::read_to_string(shared.join(format!("data/alpaca-eval-{name}.jsonl"))).unwrap();
        let few: String = all.lines().take(16).map(|line| format!("{line}\n")).collect();
        std::fs::write(here.path().join(format!("{name}.jsonl")), few).unwrap();
    }
    let line = "sft --model STORIES --data sft.jsonl --max-steps 6 --out sft --device cpu --set max_length=192 --set learning_rate=1e-3";
    run(here.path(), &shared, line).ok();
    let sft = losses(&here.path().join("sft"));
    assert!(sft[5] < sft[0] - 0.5, "{sft:?}");
    let line = "dpo --model sft --data pref.jsonl --max-steps 6 --out dpo --device cpu --set max_length=96 --set learning_rate=5e-4";
    run(here.path(), &shared, line).ok();
    let dpo = losses(&here.path().join("dpo"));
    assert!((dpo[0] - std::f64::consts::LN_2).abs() < 1e-5 && dpo[5] < 0.4, "{dpo:?}");
    let reward = "reward --model sft --data DATA/alpaca-eval-ranked.jsonl --max-steps 3 --out rm --device cpu --set max_length=512 \
                  --set per_device_train_batch_size=2";
    run(here.path(), &shared, reward).ok();
    let score = run(here.path(), &shared, "score --model rm --data DATA/alpaca-eval-ranked.jsonl --device cpu").ok();
    assert!(json_lines(&score.stdout).iter().all(|row| row["responses"][0]["score"].is_number() || row["dropped"].is_string()));
    let ppo = "ppo --model sft --reward-model rm --data DATA/alpaca-eval-sft.jsonl --max-steps 1 --out ppo --device cpu --set max_length=64 \
               --set rollout_batch_size=4 --set response_length=8 --set num_ppo_epochs=1 --set temperature=1.0 --set sample_steps=1";
    let said = run(here.path(), &shared, ppo).ok();
    let step = events(&here.path().join("ppo")).into_iter().find(|e| e["event"] == "step").unwrap();
    assert!(step["metrics"]["objective/kl"].as_f64().unwrap().abs() < 1e-4, "{step}\n{}", said.stderr);
    assert!(!std::fs::read_to_string(here.path().join("ppo/samples.jsonl")).unwrap().is_empty());
    run(here.path(), &shared, "ppo --model sft --reward-model sft --data DATA/alpaca-eval-sft.jsonl").refused(&["is a language model"]);
    run(here.path(), &shared, "sft --model rm --data DATA/alpaca-eval-sft.jsonl").refused(&["is a reward model"]);
    let page = run(here.path(), &shared, "report sft dpo ppo --out all.html").ok();
    assert_eq!(page.stdout.trim(), "all.html");
}

#[test]
fn chat_answers_from_a_pipe() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let Some(shared) = shared("chat_answers_from_a_pipe") else { return };
    let model = shared.join("models/stories260K");
    let mut child = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["chat", "--device", "cpu", "--max-new-tokens", "8", "--temperature", "1"])
        .args([&model, &model])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().unwrap().write_all(b"Once upon a time\n\nThen\n/new\nOnce upon a time\n").unwrap();
    let outcome = Outcome::of(child.wait_with_output().unwrap()).ok();
    let lines: Vec<&str> = outcome.stdout.lines().filter(|l| l.starts_with('[')).collect();
    assert_eq!(lines.len(), 6, "{}", outcome.stdout);
    let answer = |i: usize| lines[i].split_once(' ').unwrap().1;
    assert_eq!(answer(0), answer(1), "one model twice from one seed says the same");
    assert_eq!(answer(0), answer(4), "/new forgets the conversation and starts the seeds over");
}

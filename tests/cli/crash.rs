//! The crash drill: runs killed with SIGKILL at random moments, often in the middle of a checkpoint, and gone on with until they are done.
//! What they leave is, byte for byte, what an undisturbed run leaves.
//!
//! `cargo xtask crash` is this test at length: EVENKEEL_CRASH_RUNS says how many runs, EVENKEEL_CRASH_SEED how they are killed.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use evenkeel_core::rng;

use super::{Outcome, evenkeel, folder, world};

/// Runs without EVENKEEL_CRASH_RUNS: three of each trainer.
const RUNS: u64 = 12;
/// Most kills of one run.
const KILLS: f64 = 3.0;
/// After a checkpoint's write began, the kill comes within this.
const WITHIN: Duration = Duration::from_millis(20);
/// What [`Outcome`] says of a child that a signal ended.
const KILLED: i32 = -1;
/// Between two looks at a child.
const LOOK: Duration = Duration::from_micros(300);

const SETTINGS: &str = "max_length=48 per_device_train_batch_size=4 gradient_accumulation_steps=2 save_steps=1 eval_steps=3 warmup_steps=2";
/// Each trainer, and what makes it remember more: the best checkpoint, read in groups; a moving β and moments of the scores.
const TRAINERS: [(&str, &str); 4] = [
    ("sft", "max_steps=10 metric_for_best_model=eval_loss logging_steps=3"),
    ("reward", "max_steps=10 metric_for_best_model=eval_accuracy greater_is_better=true"),
    ("dpo", "max_steps=10 lr_scheduler_type=cosine"),
    (
        "ppo",
        "max_steps=6 eval_fraction=0.1 metric_for_best_model=eval_objective/scores greater_is_better=true sample_steps=2 \
         rollout_batch_size=4 response_length=6 kl_target=0.1 kl_horizon=16 normalize_rewards=true",
    ),
];

/// What counts of a run: the files of its model, and what it said of steps, evaluations and samples.
#[derive(PartialEq)]
struct Left {
    model: BTreeMap<String, Vec<u8>>,
    lines: Vec<String>,
}

impl Left {
    fn by(run: &Path) -> Self {
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        let model = paths(&run.join("model")).iter().map(|path| (name(path), fs::read(path).unwrap())).collect();
        let tells = |line: &&str| ["step", "eval", "sample"].iter().any(|kind| line.starts_with(&format!("{{\"event\":\"{kind}\"")));
        let lines = fs::read_to_string(run.join("events.jsonl")).unwrap().lines().filter(tells).map(str::to_owned).collect();
        Self { model, lines }
    }
}

/// One trainer's undisturbed run, and how the others went.
struct Drill {
    stage: &'static str,
    settings: String,
    undisturbed: Left,
    took: Duration,
    runs: u64,
    kills: u64,
    torn: u64,
    resumed_at: Vec<u64>,
    differing: Vec<PathBuf>,
}

impl Drill {
    fn prepare(at: &Path, stage: &'static str, settings: &str) -> Self {
        let (settings, begun) = (format!("{SETTINGS} {settings}"), Instant::now());
        let out = format!("{stage}-undisturbed");
        evenkeel(at, &world::words(stage, &out, &settings)).ok();
        let (undisturbed, took) = (Left::by(&at.join(out)), begun.elapsed());
        Self { stage, settings, undisturbed, took, runs: 0, kills: 0, torn: 0, resumed_at: vec![], differing: vec![] }
    }

    /// One run, killed up to [`KILLS`] times at moments drawn from (`seed`, `index`).
    fn run(&mut self, at: &Path, seed: u64, index: u64) {
        let mut generator = rng::stream(seed, "crash", index);
        let mut draw = || rng::uniform(&mut generator);
        let out = format!("{}-{index}", self.stage);
        let run = at.join(&out);
        let kills = 1 + (draw() * KILLS) as u64;
        for _ in 0..kills {
            let moment = if draw() < 0.5 {
                Moment::After(self.took.mul_f64(draw()))
            } else {
                Moment::InCheckpoint { number: 1 + (draw() * 4.0) as u64, after: WITHIN.mul_f64(draw()) }
            };
            let ended = ended(self.session(at, &out), &run, &moment);
            self.note_start(&ended);
            if ended.code != KILLED {
                ended.ok();
                break;
            }
            self.kills += 1;
            self.torn += u64::from(is_torn(&run));
        }
        if status(&run) != "finished" {
            let ended = Outcome::of(self.session(at, &out).wait_with_output().unwrap()).ok();
            self.note_start(&ended);
        }
        self.runs += 1;
        if status(&run) != "finished" || is_torn(&run) || Left::by(&run) != self.undisturbed {
            self.differing.push(run);
        } else {
            fs::remove_dir_all(run).unwrap();
        }
    }

    /// The next session of the run `out`: its first where none had begun.
    fn session(&self, at: &Path, out: &str) -> Child {
        let words: Vec<String> = if at.join(out).join("run.json").exists() {
            [self.stage, "--device", "cpu", "--resume", out].map(str::to_owned).into()
        } else {
            world::words(self.stage, out, &self.settings)
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command.current_dir(at).args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the binary starts")
    }

    /// Where the session said that it went on from.
    fn note_start(&mut self, session: &Outcome) {
        let step = |line: &str| match line.strip_prefix("going on after step ") {
            Some(step) => step.parse().ok(),
            None => line.starts_with("no checkpoint was finished").then_some(0),
        };
        self.resumed_at.extend(session.stderr.lines().filter_map(step));
    }

    fn row(&self) -> String {
        let (first, last) = (self.resumed_at.iter().min().unwrap_or(&0), self.resumed_at.iter().max().unwrap_or(&0));
        let equal = self.runs - self.differing.len() as u64;
        format!("{:<8} {:>5} {:>6} {:>16} {:>12} {equal:>6}", self.stage, self.runs, self.kills, self.torn, format!("{first}–{last}"))
    }
}

/// When a run is killed.
enum Moment {
    After(Duration),
    /// While it writes its checkpoint of this number in this session, so long after that began.
    InCheckpoint {
        number: u64,
        after: Duration,
    },
}

/// Kills `child` at the moment, unless it has ended before.
fn ended(mut child: Child, run: &Path, moment: &Moment) -> Outcome {
    let (begun, mut seen, mut was_writing) = (Instant::now(), 0, false);
    while child.try_wait().unwrap().is_none() {
        let is_writing = has_leftovers(&run.join("checkpoints"));
        seen += u64::from(is_writing && !was_writing);
        was_writing = is_writing;
        match *moment {
            Moment::After(time) if begun.elapsed() >= time => child.kill().unwrap(),
            Moment::InCheckpoint { number, after } if seen >= number => {
                std::thread::sleep(after);
                child.kill().unwrap();
            }
            _ => std::thread::sleep(LOOK),
        }
    }
    Outcome::of(child.wait_with_output().unwrap())
}

fn paths(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn has_leftovers(folder: &Path) -> bool {
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    paths(folder).iter().map(name).any(|name| name.starts_with(".part-") || name.starts_with(".old-"))
}

/// Whether the run ended in the middle of writing a checkpoint: one half-written, not named yet, or one too many.
fn is_torn(run: &Path) -> bool {
    let checkpoints = run.join("checkpoints");
    let step = |path: PathBuf| path.file_name()?.to_str()?.strip_prefix("step-")?.parse::<u64>().ok();
    let mut steps: Vec<u64> = paths(&checkpoints).into_iter().filter_map(step).collect();
    steps.sort_unstable_by(|a, b| b.cmp(a));
    has_leftovers(&checkpoints) || steps != latest(run)
}

/// Checkpoints that LATEST names, newest first.
fn latest(run: &Path) -> Vec<u64> {
    let text = fs::read_to_string(run.join("checkpoints/LATEST/kept")).unwrap_or_default();
    text.split_whitespace().rev().map(|step| step.parse().unwrap()).collect()
}

fn status(run: &Path) -> String {
    let Ok(bytes) = fs::read(run.join("run.json")) else { return "not begun".into() };
    let record: serde_json::Value = serde_json::from_slice(&bytes).expect("it is written whole");
    record["status"].as_str().unwrap().to_owned()
}

#[test]
fn killed_runs_end_as_undisturbed_ones() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().expect(name));
    let (runs, seed) = (number("EVENKEEL_CRASH_RUNS", RUNS), number("EVENKEEL_CRASH_SEED", 1));
    let (temp, begun) = (folder(), Instant::now());
    world::write(temp.path());
    let mut drills: Vec<Drill> = TRAINERS.iter().map(|(stage, settings)| Drill::prepare(temp.path(), stage, settings)).collect();
    for index in 0..runs {
        drills[index as usize % TRAINERS.len()].run(temp.path(), seed, index);
    }
    let rows: Vec<String> = drills.iter().map(Drill::row).collect();
    let header = format!("{:<8} {:>5} {:>6} {:>16} {:>12} {:>6}", "trainer", "runs", "kills", "in a checkpoint", "resumed at", "equal");
    println!("seed {seed}, {:.0} s\n{header}\n{}", begun.elapsed().as_secs_f64(), rows.join("\n"));
    let differing: Vec<&PathBuf> = drills.iter().flat_map(|drill| &drill.differing).collect();
    if !differing.is_empty() {
        panic!("these runs differ from the undisturbed ones: {differing:?}, kept in {}", temp.keep().display());
    }
}

//! The lesson in a visitor's hands: played to its end, interrupted anywhere, forked, labelled.

use std::collections::BTreeMap;

use burn::tensor::Device;
use evenkeel_core::event::{Command, Event, Metrics, Phase};
use evenkeel_core::record::Record;
use evenkeel_core::world::lesson::{Plan, Player, STAGES};
use evenkeel_core::{Error, Result};
use pollster::block_on;

use crate::support::MemoryStore;

/// A player and everything it said.
struct Visit {
    player: Player<MemoryStore>,
    heard: Vec<Event>,
}

impl Visit {
    fn begin() -> Self {
        let mut visit = Self::with(MemoryStore::default());
        visit.open(false).unwrap();
        visit
    }

    fn with(store: MemoryStore) -> Self {
        Self { player: Player::new(store, Box::new(|| 0.0)), heard: Vec::new() }
    }

    fn open(&mut self, resume: bool) -> Result<()> {
        // Long enough for a snapshot on the way.
        let plan = Plan { ppo_iterations: 6, ..Plan::presets()["micro"].clone() };
        let heard = &mut self.heard;
        block_on(self.player.open(&plan, &Device::flex(), "CPU", resume, &mut |event| heard.push(event)))
    }

    fn tell(&mut self, command: Command) -> Result<()> {
        let heard = &mut self.heard;
        block_on(self.player.obey(command, &mut |event| heard.push(event)))
    }

    /// One piece of work; false when there is none.
    fn work(&mut self) -> bool {
        let heard = &mut self.heard;
        block_on(self.player.work(&mut |event| heard.push(event))).unwrap().is_some()
    }

    fn play(&mut self) {
        self.tell(Command::Resume).unwrap();
        while self.work() {}
    }

    /// Plays until `step` of `stage` is done.
    fn play_to(&mut self, stage: &str, step: u64) {
        self.tell(Command::Resume).unwrap();
        while !self.steps(stage).iter().any(|(done, _)| *done == step) {
            assert!(self.work(), "the lesson ended before step {step} of {stage}");
        }
        self.tell(Command::Pause).unwrap();
    }

    /// (step, metrics) of the run `stage`.
    fn steps(&self, stage: &str) -> Vec<(u64, Metrics)> {
        steps(&self.heard, stage, "")
    }

    /// The files that the visitor gets.
    fn handed(&mut self, command: Command) -> BTreeMap<String, Vec<u8>> {
        self.tell(command).unwrap();
        let Some(Event::Folder { files, .. }) = self.heard.iter().rev().find(|e| matches!(e, Event::Folder { .. })) else {
            panic!("no folder")
        };
        files.iter().map(|file| (file.name.clone(), file.bytes.clone())).collect()
    }

    fn store(&mut self) -> MemoryStore {
        self.player.store().clone()
    }
}

/// (step, metrics) of the run `stage` among events that begin in the middle of `current`.
fn steps<'a>(heard: &'a [Event], stage: &str, mut current: &'a str) -> Vec<(u64, Metrics)> {
    let mut steps = Vec::new();
    for event in heard {
        match event {
            Event::Started { stage, .. } => current = stage,
            Event::Step { step, metrics } if current == stage => steps.push((*step, metrics.clone())),
            _ => {}
        }
    }
    steps
}

#[test]
fn a_lesson_is_played_to_its_end() {
    let mut visit = Visit::begin();
    visit.play();
    let started: Vec<&str> =
        visit.heard.iter().filter_map(|e| if let Event::Started { stage, .. } = e { Some(stage.as_str()) } else { None }).collect();
    assert_eq!(started, STAGES);
    let costs = visit.heard.iter().filter(|e| matches!(e, Event::Cost { .. })).count();
    assert_eq!(costs, STAGES.len());
    assert!(visit.heard.iter().any(|e| matches!(e, Event::Compared { rows, samples } if rows.len() == 5 && !samples.is_empty())));
    for event in &visit.heard {
        let Event::Episodes { episodes, .. } = event else { continue };
        for shown in episodes {
            let tokens = shown.tokens.len();
            assert!(tokens > 0 && shown.logprobs.len() == tokens && shown.ref_logprobs.len() == tokens, "{shown:?}");
            assert!([&shown.rewards, &shown.values, &shown.advantages, &shown.ratios].iter().all(|list| [0, tokens].contains(&list.len())));
        }
    }
    let scores =
        visit.heard.iter().rev().find_map(|e| if let Event::Scores { chosen, rejected, .. } = e { Some((chosen, rejected)) } else { None });
    assert!(scores.is_some_and(|(chosen, rejected)| chosen.len() == 2 && rejected.len() == 2));
    let pairs = visit.heard.iter().rev().find_map(|e| if let Event::Pairs { pairs, .. } = e { Some(pairs) } else { None }).unwrap();
    assert!(
        pairs.iter().all(|p| p.chosen.tokens.len() == p.chosen.logprobs.len() && p.rejected.tokens.len() == p.rejected.ref_logprobs.len())
    );
}

#[test]
fn a_lesson_goes_on_where_it_was_left_to_the_last_bit() {
    let mut undisturbed = Visit::begin();
    undisturbed.play();
    for (stage, step) in [("sft", 5), ("preferences", 1), ("reward", 1), ("ppo", 3), ("dpo", 2)] {
        let mut first = Visit::begin();
        first.play_to(stage, step);
        first.tell(Command::Checkpoint).unwrap();
        let mut second = Visit::with(first.store());
        let unfinished = block_on(second.player.unfinished()).unwrap().unwrap();
        assert_eq!((unfinished.plan.hidden_size, unfinished.step <= step), (32, true));
        second.open(true).unwrap();
        let told = second.heard.len();
        second.play();
        for name in STAGES {
            let (got, want) = (second.steps(name), undisturbed.steps(name));
            assert_eq!(got.len(), want.len(), "{name} after a break at step {step} of {stage}");
            let anew = steps(&second.heard[told..], name, stage);
            assert_eq!(anew, want[want.len() - anew.len()..], "{name} after a break at step {step} of {stage}");
        }
    }
}

#[test]
fn slow_motion_changes_nothing() {
    let mut normal = Visit::begin();
    normal.play_to("ppo", 2);
    let mut slow = Visit::begin();
    slow.tell(Command::Set { path: "page.slow_motion".into(), value: 1.0 }).unwrap();
    slow.play_to("ppo", 2);
    assert_eq!(slow.steps("ppo"), normal.steps("ppo"));
    let phases: Vec<Phase> =
        slow.heard.iter().filter_map(|e| if let Event::Phase { step: 1, phase } = e { Some(*phase) } else { None }).collect();
    assert_eq!(phases, [Phase::Rollout, Phase::Score, Phase::Kl, Phase::Advantage, Phase::Update]);
}

#[test]
fn a_fork_is_the_run_with_beta_changed_on_the_way() {
    for at in [2, 5] {
        let mut visit = Visit::begin();
        visit.play_to("ppo", at);
        visit.tell(Command::Set { path: "ppo.kl_coef".into(), value: 0.0 }).unwrap();
        visit.play_to("ppo", 6);
        let changed = visit.steps("ppo");

        let mut forked = Visit::begin();
        forked.play_to("ppo", 6);
        forked.tell(Command::Fork { run: "ppo".into(), step: at, kl_coef: 0.0, seed: None }).unwrap();
        let name = format!("ppo β=0 @{at}");
        forked.play_to(&name, 6);
        assert_eq!(forked.steps(&name), changed[at as usize..], "forked at {at}");
    }
}

#[test]
fn what_cannot_be_forked_is_refused() {
    let mut visit = Visit::begin();
    visit.play_to("ppo", 1);
    let fork = |run: &str, step, kl_coef, seed| Command::Fork { run: run.into(), step, kl_coef, seed };
    for command in [fork("sft", 0, 0.1, None), fork("ppo", 99, 0.1, None), fork("ppo", 1, -1.0, None), fork("ppo", 1, 0.1, Some(3))] {
        assert!(matches!(visit.tell(command.clone()), Err(Error::Input { .. })), "{command:?}");
    }
    visit.tell(fork("ppo", 0, 0.5, Some(7))).unwrap();
    visit.play_to("ppo β=0.5 seed 7", 1);
}

#[test]
fn the_visitor_labels_and_the_reward_model_learns_from_it() {
    let mut visit = Visit::begin();
    visit.play_to("preferences", 1);
    for _ in 0..3 {
        visit.tell(Command::Ask).unwrap();
        let Some((index, answers)) = visit
            .heard
            .iter()
            .rev()
            .find_map(|e| if let Event::Ranking { index, answers, .. } = e { Some((*index, answers.len())) } else { None })
        else {
            panic!("nothing was asked")
        };
        assert_eq!(answers, 4);
        assert!(visit.tell(Command::Rank { index, order: vec![0, 1, 1, 2] }).is_err(), "an answer named twice");
        visit.tell(Command::Rank { index, order: vec![3, 1, 0, 2] }).unwrap();
        assert!(visit.tell(Command::Rank { index, order: vec![0, 1, 2, 3] }).is_err(), "it is ranked already");
    }
    let counts: Vec<usize> =
        visit.heard.iter().filter_map(|e| if let Event::Ranked { count, .. } = e { Some(*count) } else { None }).collect();
    assert_eq!(counts, [1, 2, 3]);
    let with_all = {
        visit.play_to("reward", 1);
        visit.steps("reward")[0].1["num_tokens"]
    };
    visit.tell(Command::Set { path: "lesson.only_mine".into(), value: 1.0 }).unwrap();
    visit.tell(Command::Go { stage: "reward".into() }).unwrap();
    visit.heard.clear();
    visit.play_to("reward", 1);
    assert!(visit.steps("reward")[0].1["num_tokens"] < with_all, "three rankings are fewer than all");
}

#[test]
fn every_model_answers_and_is_handed_out() {
    let mut visit = Visit::begin();
    visit.play();
    for model in ["base", "sft", "ppo", "ppo β=0", "dpo"] {
        let chat = Command::Chat { id: 1, model: model.into(), prompt: "What is the capital of France?".into(), temperature: 0.0, seed: 1 };
        visit.tell(chat).unwrap();
        assert!(matches!(visit.heard.iter().rev().find(|e| matches!(e, Event::Reply { .. })), Some(Event::Reply { done: true, .. })));
    }
    let files = visit.handed(Command::Save { model: "reward".into() });
    assert!(["config.json", "model.safetensors", "tokenizer.json"].iter().all(|name| files.contains_key(*name)));
    assert!(visit.tell(Command::Save { model: "nobody".into() }).is_err());
    for (run, kl_coef) in [("ppo", "kl_coef = 0.5"), ("ppo β=0", "kl_coef = 0.0")] {
        let files = visit.handed(Command::SaveRun { run: run.into() });
        let text = |name: &str| String::from_utf8(files[name].clone()).unwrap();
        assert!(text("recipe.toml").contains(kl_coef), "{run}: {}", text("recipe.toml"));
        let record: Record = serde_json::from_str(&text("run.json")).unwrap();
        let wanted = visit.steps(run);
        assert_eq!((record.stage.as_str(), record.status.as_str(), record.steps), ("ppo", "finished", wanted.len() as u64));
        let told: Vec<Event> = text("events.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(steps(&told, "ppo", "").len(), wanted.len(), "the steps of this run, and of no other");
        assert!(files.contains_key("model/model.safetensors"));
    }
    assert!(visit.tell(Command::SaveRun { run: "base".into() }).is_err(), "no run made it");
}

//! PPO in the lesson: an iteration in phases, the monitor beside it, and runs that begin in the middle of another one.

use std::rc::Rc;

use rand::RngExt;

use super::plan::SAMPLE_STEPS;
use super::{Lesson, NO_ANCHOR};
use crate::data::Prompt;
use crate::event::{Answer, Event, Metrics, Phase};
use crate::recipe::Recipe;
use crate::rng;
use crate::train::kept::LoopState;
use crate::train::ppo::{Experience, PpoTrainer, RewardSource, Rollout};
use crate::train::run::{Trainer, collect};
use crate::train::state::{self, Folder};
use crate::world::gold::count_thanks;
use crate::world::{Gold, gold};
use crate::{Error, Result};

/// Iterations between two snapshots; a fork repeats at most so many, in which nothing is drawn anew.
const SNAPSHOT: u64 = 5;
/// Answers shown as those that fooled the reward model most.
const FOOLED: usize = 5;

/// How a PPO run came about: enough to run it again to any step, bit for bit.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct History {
    /// β at the start.
    kl_coef: f64,
    seed: u64,
    /// The step after which the run is shown: 0, or that of the fork.
    begins: u64,
    /// Settings changed after so many iterations.
    settings: Vec<(u64, String, f64)>,
    /// The state after so many iterations; shared with forks, not saved.
    #[serde(skip)]
    snapshots: Vec<(u64, Snapshot)>,
}

/// The files of a trainer's state.
type Snapshot = Rc<Vec<(String, Vec<u8>)>>;

/// A PPO run in progress.
pub(super) struct PpoRun {
    pub trainer: PpoTrainer,
    at: At,
}

/// Where an iteration stands.
#[expect(clippy::large_enum_variant, reason = "a run has one, and moves it once a phase")]
enum At {
    Start,
    RolledOut(Rollout),
    Scored(Rollout, Vec<(f64, f64)>),
    Compared(Rollout, Vec<(f64, f64)>),
    Judged(Experience),
}

impl Lesson {
    fn history(&self, name: &str) -> Result<&History> {
        let unknown = || Error::input("stage", format!("there is no stage `{name}`"), format!("choose from {}", super::STAGES.join(", ")));
        self.histories.get(name).ok_or_else(unknown)
    }

    /// The settings with which the PPO run `name` began.
    pub(super) fn ppo_recipe(&self, name: &str) -> Result<Recipe> {
        let History { kl_coef, seed, .. } = self.history(name)?;
        Ok(self.plan.ppo(*kl_coef, *seed))
    }

    /// The PPO run `name` before its first iteration. Known by name: the plan's own, the one without anchor, forks and sweeps.
    pub(super) async fn ppo_run(&mut self, name: &str) -> Result<PpoRun> {
        if let Some(kl_coef) = match name {
            "ppo" => Some(self.plan.kl_coef),
            NO_ANCHOR => Some(0.0),
            _ => None,
        } {
            self.histories.insert(name.to_string(), History { kl_coef, seed: self.plan.seed, ..History::default() });
        }
        let history = self.history(name)?;
        let recipe = self.ppo_recipe(name)?;
        let source = RewardSource::Model(self.reward_model()?.frozen());
        let prompts = self.ppo_prompts(self.plan.ppo_iterations as usize * self.plan.ppo_rows, history.seed)?;
        let mut trainer = PpoTrainer::new(&recipe, self.model("sft")?, None, source, None, prompts, &self.sampling.stop).await?;
        trainer.text = Some(self.text.clone());
        Ok(PpoRun { trainer, at: At::Start })
    }

    /// Makes a PPO run of its own with this β and seed known by `name`.
    pub(crate) fn name_ppo(&mut self, name: &str, kl_coef: f64, seed: u64) {
        self.histories.insert(name.to_string(), History { kl_coef, seed, ..History::default() });
    }

    /// A run that repeats `parent` up to `step` and goes on with another β; from step 0 also with another seed. → its name.
    ///
    /// # Errors
    /// No such run or step; a β that is none.
    pub fn fork(&mut self, parent: &str, step: u64, kl_coef: f64, seed: Option<u64>) -> Result<String> {
        let place = || format!("fork of `{parent}`");
        let history = self.histories.get(parent).ok_or_else(|| Error::input(place(), "there is no such PPO run", "run it first"))?;
        if !(kl_coef as f32).is_finite() || kl_coef < 0.0 {
            return Err(Error::input(place(), format!("β cannot be {kl_coef}"), "give 0 or more"));
        }
        if step >= self.plan.ppo_iterations {
            return Err(Error::input(place(), format!("the run has {} iterations", self.plan.ppo_iterations), "fork before its last one"));
        }
        if seed.is_some() && step > 0 {
            return Err(Error::input(place(), "another seed begins at the start", "fork from step 0"));
        }
        let mut fork = history.clone();
        fork.begins = step;
        fork.settings.retain(|(after, ..)| *after < step);
        fork.snapshots.retain(|(after, _)| *after <= step);
        let mut name = format!("ppo β={kl_coef}");
        match seed.filter(|&seed| seed != fork.seed) {
            Some(seed) => {
                (fork.seed, fork.snapshots) = (seed, Vec::new());
                name += &format!(" seed {seed}");
            }
            None if step > 0 => name += &format!(" @{step}"),
            None => {}
        }
        fork.settings.push((step, "ppo.kl_coef".to_string(), kl_coef));
        self.histories.insert(name.clone(), fork);
        Ok(name)
    }

    /// Changes a setting of the PPO run `name`, which has done `step` iterations; false when it was not taken.
    pub(super) fn set_ppo(&mut self, name: &str, step: u64, trainer: &mut PpoTrainer, path: &str, value: f64) -> bool {
        let taken = trainer.set(path, value);
        if let Some(history) = self.histories.get_mut(name).filter(|_| taken) {
            history.settings.push((step, path.to_string(), value));
        }
        taken
    }

    fn ppo_prompts(&self, count: usize, seed: u64) -> Result<Vec<Prompt>> {
        let first = rng::stream(seed, "PPO prompts", 0).random_range(0..u64::from(u32::MAX));
        (0..count as u64).map(|i| self.prompt(self.world.training_question(first + i))).collect()
    }

    /// What the monitor makes of an experience: gold of every episode.
    fn golds(&self, experience: &Experience) -> Vec<Gold> {
        let question = |text: &str| self.world.find(text).expect("prompts come from the world");
        experience.episodes.iter().map(|e| gold(question(&e.prompt.text), e.text.trim())).collect()
    }
}

impl PpoRun {
    /// Repeats the iterations before the run's own first step: from the nearest snapshot, or from the start. → steps done.
    pub(super) async fn catch_up(&mut self, history: &History) -> Result<u64> {
        let mut done = 0;
        if let Some((step, files)) = history.snapshots.iter().rev().find(|(step, _)| *step <= history.begins) {
            state::restore_from(&mut self.trainer, &mut files.as_slice()).await.expect("a snapshot fits the trainer that it was taken of");
            done = *step;
            self.apply(history, |after| after < done);
        }
        while done < history.begins {
            self.apply(history, |after| after == done);
            done += 1;
            self.trainer.step(done).await?;
        }
        self.apply(history, |after| after == done);
        Ok(done)
    }

    /// Whether the trainer stands between two iterations, where alone its state is whole.
    pub(super) fn between_iterations(&self) -> bool {
        matches!(self.at, At::Start)
    }

    /// Settings that were changed after so many steps. β is part of a snapshot, the rest is not.
    pub(super) fn apply(&mut self, history: &History, when: impl Fn(u64) -> bool) {
        for (_, path, value) in history.settings.iter().filter(|(after, ..)| when(*after)) {
            self.trainer.set(path, *value);
        }
    }

    /// The next phase of iteration `step`; its metrics once it is done.
    pub(super) async fn phase(
        &mut self,
        lesson: &mut Lesson,
        name: &str,
        step: u64,
        say: &mut dyn FnMut(Event),
    ) -> Result<Option<Metrics>> {
        let (shows, trainer) = (lesson.shows, &mut self.trainer);
        let mut entering = |phase| {
            if shows {
                say(Event::Phase { step, phase })
            }
        };
        match std::mem::replace(&mut self.at, At::Start) {
            At::Start => {
                entering(Phase::Rollout);
                self.at = At::RolledOut(trainer.rollout(step).await?);
            }
            At::RolledOut(rollout) => {
                entering(Phase::Score);
                let scores = trainer.score(&rollout).await?;
                self.at = At::Scored(rollout, scores);
            }
            At::Scored(rollout, scores) => {
                entering(Phase::Kl);
                if shows {
                    let logprobs = rollout.logprobs().await?;
                    say(lesson.episodes_before_advantages(step, trainer, &rollout, &scores, &logprobs));
                }
                self.at = At::Compared(rollout, scores);
            }
            At::Compared(rollout, scores) => {
                entering(Phase::Advantage);
                let experience = trainer.advantages(rollout, &scores);
                if shows {
                    let numbers = experience.numbers().await?;
                    say(lesson.episodes(step, trainer, &experience, &numbers, &[]));
                }
                self.at = At::Judged(experience);
            }
            At::Judged(experience) => {
                entering(Phase::Update);
                let stats = trainer.update(step, &experience).await?;
                let mut metrics = trainer.metrics(step, &experience, &stats);
                let golds = lesson.golds(&experience);
                let n = golds.len().max(1) as f64;
                metrics.extend([
                    ("monitor/gold".to_string(), golds.iter().map(|g| g.score).sum::<f64>() / n),
                    ("monitor/thanks".to_string(), experience.episodes.iter().map(|e| count_thanks(&e.text)).sum::<usize>() as f64 / n),
                ]);
                if shows {
                    let shown = &experience.episodes[..super::show::EPISODES.min(experience.episodes.len())];
                    let ratios = trainer.ratios(shown, &stats.numbers.logprobs).await?;
                    say(lesson.episodes(step, trainer, &experience, &stats.numbers, &ratios));
                    say(lesson.fooled(step, &experience, &golds));
                    self.snapshot(lesson, name, step).await?;
                } else if step.is_multiple_of(SAMPLE_STEPS) {
                    for (prompt, completion, score) in trainer.samples() {
                        say(Event::Sample { step, prompt, completion, score });
                    }
                }
                return Ok(Some(metrics));
            }
        }
        Ok(None)
    }

    async fn snapshot(&mut self, lesson: &mut Lesson, name: &str, step: u64) -> Result<()> {
        let Some(history) = lesson.histories.get_mut(name).filter(|_| step.is_multiple_of(SNAPSHOT)) else { return Ok(()) };
        let files = collect(Folder::state(&mut self.trainer, &LoopState { step, ..LoopState::default() })).await?;
        history.snapshots.push((step, Rc::new(files)));
        Ok(())
    }
}

impl Lesson {
    /// The answers whose reward exceeds their gold most, each in standard deviations of the rollout.
    fn fooled(&self, step: u64, experience: &Experience, golds: &[Gold]) -> Event {
        let golds: Vec<f64> = golds.iter().map(|g| g.score).collect();
        let (reward, gold) = (standard(&experience.raw_scores), standard(&golds));
        let mut order: Vec<usize> = (0..golds.len()).collect();
        order.sort_by(|&a, &b| (reward[b] - gold[b]).total_cmp(&(reward[a] - gold[a])));
        let row = |i: usize| {
            let episode = &experience.episodes[i];
            let kind = self.world.find(&episode.prompt.text).expect("prompts come from the world").kind;
            let text = episode.text.trim().to_string();
            Answer { prompt: episode.prompt.text.clone(), kind, text, gold: golds[i], reward: Some(experience.raw_scores[i]) }
        };
        Event::Fooled { step, rows: order.into_iter().take(FOOLED).map(row).collect() }
    }
}

/// Values less their mean, in standard deviations; all 0 where they do not vary.
fn standard(values: &[f64]) -> Vec<f64> {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    values.iter().map(|v| if deviation > 0.0 { (v - mean) / deviation } else { 0.0 }).collect()
}

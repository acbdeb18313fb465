//! The run loop that every trainer shares: steps, evaluation, checkpoints, commands and events. No files, no clocks.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::compile_ahead;
use super::dpo::DpoTrainer;
use super::kept::LoopState;
use super::optimizer::AdamW;
use super::pending::{InFlight, Pending};
use super::ppo::{PpoTrainer, RewardSource};
use super::reward::RewardTrainer;
use super::sft::SftTrainer;
use super::state::{self, Folder, Mark};
use super::trouble::{Alone, explain};
use crate::data::{Preference, Prompt, Sequence};
use crate::error::{Error, Result};
use crate::event::{Command, Event, Metrics};
use crate::model::{Head, Model, Pretrained, Sampling};
use crate::recipe::{Recipe, Stage};
use crate::text::Text;

/// What the loop needs of a trainer. Futures need not be `Send`: one thread owns the device.
#[expect(async_fn_in_trait, reason = "one thread owns the device, natively and in the browser's worker")]
pub trait Trainer {
    /// Optimiser steps (PPO: iterations) of the whole run.
    fn total_steps(&self) -> u64;
    /// Sets step `step`, counted from 1, on its way. Steps are launched in order; what they came to may be asked for later.
    async fn launch(&mut self, step: u64) -> Result<Pending>;
    /// Makes the launches of a step while nothing is computed, so that whatever is read means nothing. What it changes is put back by the caller: of
    /// [`Trainer::parts`] and [`Trainer::counters`].
    async fn rehearse(&mut self) -> Result<()> {
        self.launch(1).await.map(drop)
    }
    /// Does step `step` and waits for it.
    async fn step(&mut self, step: u64) -> Result<Metrics> {
        self.launch(step).await?.metrics().await
    }
    /// Held-out metrics, prefixed `eval_`.
    async fn evaluate(&mut self) -> Result<Metrics>;
    /// Whether there is anything to evaluate on.
    fn has_eval(&self) -> bool;
    /// The model that the run is for.
    fn model(&self) -> &Model;
    /// Everything trained, by name: what a checkpoint holds.
    fn parts(&mut self) -> Vec<(&'static str, &mut Model, &mut AdamW)>;
    /// Counters and controllers that a checkpoint holds.
    fn counters(&self) -> serde_json::Value;
    /// Takes them back; what is wrong with them, if they are not this run's.
    fn restore_counters(&mut self, counters: &serde_json::Value) -> std::result::Result<(), String>;
    /// Changes a setting of the running trainer; false when it has no such setting or the value is out of range.
    fn set(&mut self, _path: &str, _value: f64) -> bool {
        false
    }
    /// Completions of the last step worth showing: prompt, completion, score.
    fn samples(&mut self) -> Vec<(String, String, Option<f64>)> {
        Vec::new()
    }
    /// Every row of step `step`, each to be trained on by itself: asked for after the step came to a number that is not finite. Empty where the step
    /// knows its rows itself.
    fn alone(&self, _step: u64) -> Vec<Alone<'_>> {
        Vec::new()
    }
    /// Whether a step whose gradient is not finite leaves everything as it was before.
    fn fails_cleanly(&self) -> bool {
        true
    }
    /// Last checks, such as an unchanged reference.
    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The files of a folder, made as they are written, so that they need not be in memory together.
#[expect(async_fn_in_trait, reason = "one thread owns the run")]
pub trait Files {
    /// The next piece: a file's name, and bytes of it. Pieces of one file follow one another. `None`: that was all.
    ///
    /// # Errors
    /// What keeps it from being made: then the folder is not to be there.
    async fn next(&mut self) -> Result<Option<(String, Cow<'_, [u8]>)>>;
}

/// All files, in memory together.
///
/// # Errors
/// As [`Files::next`].
pub async fn collect(mut files: impl Files) -> Result<Vec<(String, Vec<u8>)>> {
    let mut collected: Vec<(String, Vec<u8>)> = Vec::new();
    while let Some((name, bytes)) = files.next().await? {
        match collected.last_mut() {
            Some((last, so_far)) if *last == name => so_far.extend_from_slice(&bytes),
            _ => collected.push((name, bytes.into_owned())),
        }
    }
    Ok(collected)
}

/// Files that are there already.
impl Files for std::slice::Iter<'_, (String, Vec<u8>)> {
    async fn next(&mut self) -> Result<Option<(String, Cow<'_, [u8]>)>> {
        Ok(Iterator::next(self).map(|(name, bytes)| (name.clone(), bytes.into())))
    }
}

/// Where a run's folders are kept: a disk, the browser's storage, or memory in a test.
#[expect(async_fn_in_trait, reason = "one thread owns the run")]
pub trait Store {
    /// Writes a folder such as `checkpoints/step-000200`, whole or not at all, replacing one of that name.
    async fn write(&mut self, name: &str, files: impl Files) -> Result<()>;
    /// As [`Store::write`], of files that are there already.
    async fn write_folder(&mut self, name: &str, files: &[(String, Vec<u8>)]) -> Result<()> {
        self.write(name, files.iter()).await
    }
    /// At most `most` bytes of a file of a folder, from byte `from` on; `None` where there is no such file.
    async fn read_part(&mut self, folder: &str, file: &str, from: u64, most: usize) -> Result<Option<Vec<u8>>>;
    /// One file of a folder; `None` where there is none.
    async fn read(&mut self, folder: &str, file: &str) -> Result<Option<Vec<u8>>> {
        self.read_part(folder, file, 0, usize::MAX).await
    }
    /// Removes a folder.
    async fn remove_folder(&mut self, name: &str) -> Result<()>;
}

/// Every model of a run, loaded.
pub struct Models {
    /// Trained (for `reward`: the reward model).
    pub policy: Model,
    /// Tokenizer and chat template, saved with the result.
    pub text: Option<Text>,
    /// Generation defaults, saved with the result; its stop tokens end PPO's responses.
    pub sampling: Sampling,
    /// DPO's and PPO's anchor; absent: a clone of the policy.
    pub reference: Option<Model>,
    /// PPO's judge.
    pub reward: Option<Model>,
    /// PPO's value model; absent: a clone of the reward model.
    pub value: Option<Model>,
}

impl Models {
    /// The model to train, as the stage wants it: `reward` puts a score head on a language model. The others are added by the caller.
    pub fn new(recipe: &Recipe, pretrained: Pretrained) -> Self {
        let Pretrained { model, text, sampling } = pretrained;
        let policy = match (recipe.stage, model.head) {
            (Stage::Reward, Head::Lm) => {
                let mut model = model.with_score_head(recipe.seed);
                // As TRL: without a padding token the end token pads, and scores stand before it, now and when it is loaded again.
                let own = text.as_ref().and_then(|t| t.pad().or(t.eos()));
                model.config.pad = model.config.pad.or(own).or(model.config.eos.first().copied());
                model
            }
            _ => model,
        };
        Self { policy, text, sampling, reference: None, reward: None, value: None }
    }
}

/// Tokenised rows, as the stage wants them.
#[derive(Debug, Clone)]
pub enum Dataset {
    /// For `sft`.
    Sequences(Vec<Sequence>),
    /// For `reward` and `dpo`.
    Preferences(Vec<Preference>),
    /// For `ppo`.
    Prompts(Vec<Prompt>),
}

impl Dataset {
    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Sequences(rows) => rows.len(),
            Self::Preferences(rows) => rows.len(),
            Self::Prompts(rows) => rows.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where commands come from.
#[expect(async_fn_in_trait, reason = "one thread owns the run")]
pub trait Commands {
    /// The next command, asked for between steps. A run that is `paused` has nothing else to do: then this waits for one.
    async fn next(&mut self, paused: bool) -> Option<Command>;
}

/// For front ends that never pause: a closure has no way to wait.
impl<F: FnMut() -> Option<Command>> Commands for F {
    async fn next(&mut self, _paused: bool) -> Option<Command> {
        self()
    }
}

/// The front end's ends of a run.
pub struct Front<'a, S, C> {
    /// Where folders go.
    pub store: &'a mut S,
    /// Hears every event.
    pub on_event: &'a mut dyn FnMut(Event),
    /// Asked between steps.
    pub commands: &'a mut C,
    /// The device's name, for [`Event::Started`].
    pub device: String,
}

/// Trains as `recipe` says and returns the trained model; `resume` goes on from the store's checkpoint of that step
/// ([`state::standing`] finds it).
///
/// # Errors
/// Input that does not fit the stage, a number that stopped being finite, the device, the store.
pub async fn run<S: Store, C: Commands>(
    recipe: &Recipe,
    models: Models,
    train: Dataset,
    eval: Option<Dataset>,
    front: Front<'_, S, C>,
    resume: Option<u64>,
) -> Result<Model> {
    if train.is_empty() {
        return Err(Error::input("data.train", "has no row left to train on", "look at the counts of `evenkeel data`"));
    }
    let Models { policy, text, sampling, reference, reward, value } = models;
    let mut keep = Keep { text, sampling: sampling.clone() };
    // The weights that a run begins with are dropped: the trainer has its own.
    match (recipe.stage, train) {
        (Stage::Sft, Dataset::Sequences(rows)) => {
            let eval = if let Some(Dataset::Sequences(rows)) = eval { rows } else { vec![] };
            let trainer = SftTrainer::new(recipe, &policy, rows, eval);
            drop(policy);
            drive(trainer, recipe, &mut keep, front, resume).await
        }
        (Stage::Reward, Dataset::Preferences(rows)) => {
            let eval = if let Some(Dataset::Preferences(rows)) = eval { rows } else { vec![] };
            let trainer = RewardTrainer::new(recipe, &policy, rows, eval);
            drop(policy);
            drive(trainer, recipe, &mut keep, front, resume).await
        }
        (Stage::Dpo, Dataset::Preferences(rows)) => {
            let eval = if let Some(Dataset::Preferences(rows)) = eval { rows } else { vec![] };
            let trainer = DpoTrainer::new(recipe, &policy, reference, &rows, &eval).await?;
            drop(policy);
            drive(trainer, recipe, &mut keep, front, resume).await
        }
        (Stage::Ppo, Dataset::Prompts(rows)) => {
            let judge = reward
                .ok_or_else(|| Error::input("model.reward_model", "is missing", "name a reward model trained by `evenkeel reward`"))?;
            let eval = if let Some(Dataset::Prompts(rows)) = eval { rows } else { vec![] };
            let mut trainer =
                PpoTrainer::new(recipe, &policy, reference, RewardSource::Model(judge.frozen()), value, rows, &sampling.stop).await?;
            trainer.text = keep.text.clone();
            trainer.eval = eval;
            drop(policy);
            drive(trainer, recipe, &mut keep, front, resume).await
        }
        (stage, _) => Err(Error::input("data.train", format!("does not hold what `{}` trains on", stage.name()), "see `evenkeel data`")),
    }
}

/// What goes into a saved model beside its weights.
struct Keep {
    text: Option<Text>,
    sampling: Sampling,
}

async fn drive<T: Trainer, S: Store, C: Commands>(
    trainer: T,
    recipe: &Recipe,
    keep: &mut Keep,
    front: Front<'_, S, C>,
    resume: Option<u64>,
) -> Result<Model> {
    let in_flight = InFlight::new(recipe.training.logging_steps, &trainer.model().device());
    let mut run = Run { trainer, recipe, keep, front, at: LoopState::default(), in_flight, before: VecDeque::new() };
    if let Some(step) = resume {
        run.at = state::restore(&mut run.trainer, run.front.store, step).await?;
    }
    run.tell(Event::Started {
        stage: recipe.stage.name().into(),
        total_steps: run.trainer.total_steps(),
        parameters: run.trainer.model().params.num_elements() as u64,
        device: run.front.device.clone(),
    });
    compile_ahead(&mut run.trainer, run.front.on_event).await?;
    let outcome = run.steps().await;
    run.in_flight.abandon().await;
    match outcome {
        Ok(reason) => {
            let model = best(&run.trainer, run.front.store, &run.at).await?.frozen();
            run.front.store.write("model", Folder::model(&model, run.keep.text.as_ref(), &run.keep.sampling)).await?;
            run.tell(Event::Finished { step: run.at.step, reason });
            Ok(model)
        }
        Err(error) => {
            let step = if let Error::NonFinite { step, .. } = error { step } else { run.at.step + 1 };
            run.tell(Event::Failed { step, message: error.to_string() });
            Err(error)
        }
    }
}

/// Steps that may be passed over one after another: more are no accident of the data.
const MOST_SKIPPED_IN_A_ROW: u64 = 10;

#[derive(Default)]
struct Orders {
    stop: bool,
    checkpoint: bool,
}

/// A run in progress.
struct Run<'a, 'f, T, S, C> {
    trainer: T,
    recipe: &'a Recipe,
    keep: &'a Keep,
    front: Front<'f, S, C>,
    at: LoopState,
    in_flight: InFlight,
    /// How the trainer stood before each step that is under way, oldest first.
    before: VecDeque<Mark>,
}

impl<T: Trainer, S: Store, C: Commands> Run<'_, '_, T, S, C> {
    fn tell(&mut self, event: Event) {
        (self.front.on_event)(event);
    }

    /// Runs the steps that are left; the reason when told to stop early.
    async fn steps(&mut self) -> Result<Option<String>> {
        let (training, total) = (&self.recipe.training, self.trainer.total_steps());
        let every = |interval: u64, step: u64| interval > 0 && step.is_multiple_of(interval);
        while self.at.step < total {
            let orders = self.obey().await?;
            if orders.stop {
                self.save().await?;
                return Ok(Some("stopped on request".into()));
            }
            let step = self.at.step + 1;
            self.before.push_back(Mark::of(&mut self.trainer));
            let (pending, failed) = match self.trainer.launch(step).await {
                Err(error @ Error::NonFinite { .. }) => (Pending::failed(error), true),
                pending => (pending?, false),
            };
            self.in_flight.push(step, pending);
            self.at.step = step;
            let evaluates = self.trainer.has_eval() && (every(training.eval_steps, step) || step == total);
            let saves = orders.checkpoint || every(training.save_steps, step) || step == total;
            // What is saved, shown or evaluated is known to be sound.
            self.settle(failed || evaluates || saves || every(training.sample_steps, step)).await?;
            if every(training.sample_steps, step) {
                for (prompt, completion, score) in self.trainer.samples() {
                    self.tell(Event::Sample { step, prompt, completion, score });
                }
            }
            let improved = if evaluates {
                let metrics = self.trainer.evaluate().await?;
                let improved = self.at.note_best(training, &metrics);
                self.tell(Event::Eval { step, metrics });
                improved
            } else {
                false
            };
            if improved || saves {
                self.save().await?;
            }
        }
        self.trainer.finish().await?;
        Ok(None)
    }

    /// Tells the metrics of steps that are done; with `all` waits for every one that was launched.
    async fn settle(&mut self, all: bool) -> Result<()> {
        while let Some((step, outcome)) = self.in_flight.next(all).await? {
            let before = self.before.pop_front().expect("every step under way has a mark");
            let metrics = match outcome {
                Ok(metrics) => {
                    self.at.skipped_in_a_row = 0;
                    metrics
                }
                Err(error) => self.pass_over(error, before).await?,
            };
            self.tell(Event::Step { step, metrics });
        }
        Ok(())
    }

    /// What a step leaves that came to a number that is not finite and may be passed over; where it may not, its error, after the state before
    /// it is saved.
    async fn pass_over(&mut self, error: Error, before: Mark) -> Result<Metrics> {
        let error = explain(&mut self.trainer, error).await?;
        let Error::NonFinite { step, moved, .. } = error else { return Err(error) };
        if !self.recipe.training.skip_nan_grad || self.at.skipped_in_a_row == MOST_SKIPPED_IN_A_ROW {
            self.in_flight.abandon().await;
            if !moved && step > 1 && self.trainer.fails_cleanly() {
                before.restore(&mut self.trainer);
                self.at.step = step - 1;
                self.save().await?;
            }
            return Err(error);
        }
        self.at.skipped += 1;
        self.at.skipped_in_a_row += 1;
        self.tell(Event::Warning { message: format!("passed over: {error}") });
        Ok(Metrics::from([("skipped_steps".into(), self.at.skipped as f64)]))
    }

    /// Carries out the commands that wait, and while paused those that come.
    async fn obey(&mut self) -> Result<Orders> {
        let mut orders = Orders::default();
        let mut paused = false;
        loop {
            match self.front.commands.next(paused).await {
                Some(Command::Stop) => {
                    self.settle(true).await?;
                    orders.stop = true;
                    return Ok(orders);
                }
                Some(Command::Checkpoint) => orders.checkpoint = true,
                Some(Command::Pause) => {
                    self.settle(true).await?;
                    paused = true;
                }
                Some(Command::Resume) => paused = false,
                Some(Command::Set { path, value }) => {
                    if !self.trainer.set(&path, value) {
                        self.tell(Event::Warning {
                            message: format!("{path} = {value} was not taken: not a setting of this run, or out of range"),
                        });
                    }
                }
                Some(other) => self.tell(Event::Warning { message: format!("{other:?} is not for a run in progress") }),
                None if paused => {}
                None => return Ok(orders),
            }
        }
    }

    async fn save(&mut self) -> Result<()> {
        let (at, store) = (&mut self.at, &mut *self.front.store);
        if at.saved.last() == Some(&at.step) {
            return Ok(());
        }
        at.saved.push(at.step);
        let stale = at.drop_beyond_limit(&self.recipe.training);
        let step = at.step;
        let checkpoint = Folder::checkpoint(&mut self.trainer, at, self.keep.text.as_ref(), &self.keep.sampling);
        store.write(&state::folder(step), checkpoint).await?;
        store.write_folder(state::LATEST, &state::latest(at)).await?;
        for step in stale {
            store.remove_folder(&state::folder(step)).await?;
        }
        self.tell(Event::Checkpoint { step });
        Ok(())
    }
}

/// The best checkpoint's weights where a metric picks one, else the last.
async fn best<T: Trainer, S: Store>(trainer: &T, store: &mut S, at: &LoopState) -> Result<Model> {
    match at.best {
        Some(best) if best.step != at.step => state::model(trainer.model(), store, best.step).await,
        _ => Ok(trainer.model().clone()),
    }
}

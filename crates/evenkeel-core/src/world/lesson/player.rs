//! Obeys [`Command`]s and tells [`Event`]s: a lesson in the hands of a visitor, for whatever front end.
//!
//! The front end opens the device, calls [`Player::obey`] for each command and [`Player::work`] as long as it says that there is more to
//! do; it owns the clock and the storage.

use std::collections::VecDeque;

use burn::tensor::Device;

use super::run::Work;
use super::{Lesson, Plan, Run, STAGES, keep};
use crate::data::{Content, EncodeOptions, Encoder};
use crate::event::{Command, Event, File, Unfinished};
use crate::model::{Model, Pretrained, Sampling, generate, save};
use crate::recipe::Recipe;
use crate::record::{self, DataFile};
use crate::text::{Message, Text};
use crate::train::run::{Store, Trainer};
use crate::{Error, Result};

/// Seconds of work that a crash may cost.
const SAVE_EVERY: f64 = 8.0;
/// Longest reply of a model from elsewhere.
const GUEST_TOKENS: usize = 200;
/// Steps of a run whose episodes are kept for a page that is opened again.
const EPISODES_KEPT: usize = 40;

/// A model from elsewhere, and the run that trained it.
pub struct Guest {
    pub pretrained: Pretrained,
    pub recipe: Recipe,
    /// What the run was begun with.
    pub read: Vec<DataFile>,
    /// What the run said.
    pub events: Vec<Event>,
    pub seconds: f64,
}

/// A lesson that is played.
pub struct Player<S> {
    store: S,
    clock: Box<dyn Fn() -> f64>,
    lesson: Option<Lesson>,
    run: Option<Run>,
    queue: VecDeque<String>,
    playing: bool,
    /// One step, or in slow motion one phase, and then a pause.
    once: bool,
    slow_motion: bool,
    /// Share of the time in which the device computes.
    share: f64,
    /// Seconds that the run has taken, and when the lesson was last saved.
    seconds: f64,
    saved_at: f64,
    /// What a page that is opened again has to hear.
    log: Vec<Event>,
    /// Models that came from elsewhere.
    guests: Vec<(String, Guest)>,
}

impl<S: Store> Player<S> {
    /// `clock` tells seconds; only differences count.
    pub fn new(store: S, clock: Box<dyn Fn() -> f64>) -> Self {
        Self {
            store,
            clock,
            lesson: None,
            run: None,
            queue: VecDeque::new(),
            playing: false,
            once: false,
            slow_motion: false,
            share: 1.0,
            seconds: 0.0,
            saved_at: 0.0,
            log: Vec::new(),
            guests: Vec::new(),
        }
    }

    /// Takes in a model from elsewhere, in the place of an older one of that name: it can be talked to and handed out.
    pub fn welcome(&mut self, name: &str, guest: Guest, say: &mut dyn FnMut(Event)) {
        self.guests.retain(|(known, _)| known != name);
        self.guests.push((name.to_string(), guest));
        say(self.state());
    }

    /// The lesson that can be gone on with.
    ///
    /// # Errors
    /// The storage.
    pub async fn unfinished(&mut self) -> Result<Option<Unfinished>> {
        keep::unfinished(&mut self.store).await
    }

    /// Where everything is kept.
    pub fn store(&mut self) -> &mut S {
        &mut self.store
    }

    /// Begins the lesson of `plan` on an opened device, or goes on with the one that was kept, of which every event is told again.
    ///
    /// # Errors
    /// A plan that cannot be; nothing whole is kept.
    pub async fn open(&mut self, plan: &Plan, device: &Device, name: &str, resume: bool, say: &mut dyn FnMut(Event)) -> Result<()> {
        self.abandon().await;
        (self.playing, self.once, self.log, self.seconds) = (false, false, Vec::new(), 0.0);
        if resume {
            let resumed = Lesson::resume(device, name, &mut self.store).await?;
            for event in &resumed.events {
                say(event.clone());
            }
            self.log = resumed.events;
            (self.run, self.seconds, self.queue) = (resumed.run, resumed.seconds, resumed.queue.into());
            self.lesson = Some(resumed.lesson);
        } else {
            let mut lesson = Lesson::new(plan, device, name)?;
            lesson.shows = true;
            self.lesson = Some(lesson);
            self.queue = STAGES.iter().map(|&stage| stage.to_string()).collect();
            keep::forget(&mut self.store).await?;
        }
        self.saved_at = (self.clock)();
        say(self.state());
        Ok(())
    }

    /// Carries out any command but those that open a device or train the visitor's own model, which are the front end's.
    ///
    /// # Errors
    /// A command that cannot be carried out now; the device, the storage. The lesson goes on as before.
    pub async fn obey(&mut self, command: Command, say: &mut dyn FnMut(Event)) -> Result<()> {
        match command {
            Command::Pause => {
                self.playing = false;
                self.catch_up(say).await?;
            }
            Command::Stop => {
                self.playing = false;
                self.save(say).await?;
            }
            Command::Checkpoint => self.save(say).await?,
            Command::Forget => keep::forget(&mut self.store).await?,
            Command::Set { path, value } => self.set(&path, value)?,
            Command::Chat { id, model, prompt, temperature, seed } => {
                let words = Words { prompt: &prompt, temperature, seed };
                match self.guests.iter().find(|(name, _)| *name == model) {
                    Some((_, guest)) => chat_with_guest(&guest.pretrained, id, &model, words, say).await?,
                    None => chat(open(&mut self.lesson)?, id, &model, words, say).await?,
                }
            }
            Command::Save { model } => {
                let files = self.model_files(&model).await?;
                say(folder(&model, files.into_iter().map(|(name, bytes)| File { name, bytes }).collect()));
            }
            Command::SaveRun { run } => self.save_run(&run, Vec::new(), say).await?,
            command => {
                let lesson =
                    self.lesson.as_mut().ok_or_else(|| Error::input("command", "came before a lesson was opened", "send `open` first"))?;
                match command {
                    Command::Resume => self.playing = true,
                    Command::Advance => (self.playing, self.once) = (true, true),
                    Command::Go { stage } => self.go(stage).await?,
                    Command::Fork { run, step, kl_coef, seed } => {
                        let name = lesson.fork(&run, step, kl_coef, seed)?;
                        self.queue.retain(|queued| *queued != name);
                        self.queue.push_front(name);
                        self.playing = true;
                    }
                    Command::Ask => say(lesson.ask().await?),
                    Command::Rank { index, order } => {
                        let ranked = lesson.rank(index, &order)?;
                        self.tell(ranked, say);
                    }
                    command => return Err(Error::input("command", format!("{command:?} is not for a lesson"), "send it to a run")),
                }
            }
        }
        say(self.state());
        Ok(())
    }

    /// Does the next step, if the lesson plays. → seconds to rest before the next one; `None`: there is nothing to do.
    ///
    /// # Errors
    /// A number that stopped being finite; the device. The run is over then, and was told so.
    pub async fn work(&mut self, say: &mut dyn FnMut(Event)) -> Result<Option<f64>> {
        if !self.playing {
            return Ok(None);
        }
        let begun = (self.clock)();
        let outcome = self.next_step(say).await;
        let took = (self.clock)() - begun;
        self.seconds += took;
        let over = match outcome {
            Ok(over) => over,
            Err(error) => {
                let step = self.run.as_ref().map_or(0, |run| run.step + 1);
                self.playing = false;
                self.abandon().await;
                self.tell(Event::Failed { step, message: error.to_string() }, say);
                say(self.state());
                return Err(error);
            }
        };
        if over {
            self.end_run(say).await?;
        }
        let paused = self.once || !self.playing;
        if std::mem::take(&mut self.once) {
            self.playing = false;
        }
        if over || paused {
            say(self.state());
        }
        if over || (self.clock)() - self.saved_at > SAVE_EVERY {
            self.save(say).await?;
        }
        Ok(Some(took * (1.0 / self.share - 1.0)))
    }

    /// One step (in slow motion one phase) of the run in progress, or the beginning of the next one. True: the run is over.
    async fn next_step(&mut self, say: &mut dyn FnMut(Event)) -> Result<bool> {
        let Some(lesson) = self.lesson.as_mut() else { return Ok(false) };
        let log = &mut self.log;
        let mut tell = |event: Event| {
            note(log, &event);
            say(event);
        };
        if self.run.is_none() {
            let Some(name) = self.queue.pop_front() else {
                self.playing = false;
                return Ok(false);
            };
            self.seconds = 0.0;
            lesson.make_way_for(&name);
            tell(Event::State {
                playing: true,
                stage: name.clone(),
                step: 0,
                total_steps: 0,
                queue: self.queue.iter().cloned().collect(),
                models: models(Some(lesson), &self.guests),
            });
            self.run = Some(lesson.begin(&name, &mut tell).await?);
            say(self.state());
            return Ok(false);
        }
        let run = self.run.as_mut().expect("it was just looked at");
        let over = if self.slow_motion { lesson.phase(run, &mut tell).await? } else { lesson.step(run, &mut tell).await? };
        if self.once {
            run.tell(true, &mut tell).await?;
        }
        Ok(over)
    }

    /// Tells every step that was done.
    async fn catch_up(&mut self, say: &mut dyn FnMut(Event)) -> Result<()> {
        let Some(run) = &mut self.run else { return Ok(()) };
        let log = &mut self.log;
        let mut tell = |event: Event| {
            note(log, &event);
            say(event);
        };
        run.tell(true, &mut tell).await
    }

    /// Ends the run in progress where it stands.
    async fn abandon(&mut self) {
        if let Some(run) = self.run.take() {
            run.abandon().await;
        }
    }

    async fn end_run(&mut self, say: &mut dyn FnMut(Event)) -> Result<()> {
        let Some(run) = self.run.take() else { return Ok(()) };
        let cost = Event::Cost { stage: run.name.clone(), seconds: self.seconds, steps: run.step, tokens: run.tokens, bytes: None };
        self.tell(cost, say);
        self.playing &= !self.queue.is_empty();
        let Some(lesson) = &self.lesson else { return Ok(()) };
        if run.name == "reward" || lesson.model(&run.name).is_ok() {
            lesson.write_model(&run.name, &mut self.store).await?;
        }
        Ok(())
    }

    /// `stage` next, after whatever it needs and has not been run.
    async fn go(&mut self, stage: String) -> Result<()> {
        if self.lesson.is_none() {
            return Ok(());
        }
        if !STAGES.contains(&stage.as_str()) {
            return Err(Error::input("stage", format!("there is no stage `{stage}`"), format!("choose from {}", STAGES.join(", "))));
        }
        if self.run.as_ref().is_some_and(|run| run.name == stage) {
            self.abandon().await;
        }
        let Some(lesson) = &self.lesson else { return Ok(()) };
        let current = self.run.as_ref().map(|run| run.name.clone());
        let needed = lesson.needs(&stage).into_iter().filter(|needed| Some(*needed) != current.as_deref()).map(str::to_string);
        let first: Vec<String> = needed.chain([stage]).collect();
        self.queue.retain(|queued| !first.contains(queued));
        for stage in first.into_iter().rev() {
            self.queue.push_front(stage);
        }
        self.playing = true;
        Ok(())
    }

    fn set(&mut self, path: &str, value: f64) -> Result<()> {
        let refused = |remedy: &str| Err(Error::input(path, format!("cannot be {value} now"), remedy));
        match path {
            "page.share" if (0.05..=1.0).contains(&value) => self.share = value,
            "page.share" => return refused("give a share from 0.05 to 1"),
            "page.slow_motion" => self.slow_motion = value != 0.0,
            "lesson.only_mine" => match &mut self.lesson {
                Some(lesson) => lesson.only_own = value != 0.0,
                None => return refused("open a lesson first"),
            },
            path => {
                let (Some(lesson), Some(run)) = (&mut self.lesson, &mut self.run) else { return refused("begin the run first") };
                let taken = match &mut run.work {
                    Work::Ppo(ppo) => lesson.set_ppo(&run.name, run.step, &mut ppo.trainer, path, value),
                    Work::Dpo(trainer) => trainer.set(path, value),
                    _ => false,
                };
                if !taken {
                    return refused(&format!("the run `{}` has no such setting, or the value is out of range", run.name));
                }
            }
        }
        Ok(())
    }

    async fn save(&mut self, say: &mut dyn FnMut(Event)) -> Result<()> {
        self.catch_up(say).await?;
        let Some(lesson) = &self.lesson else { return Ok(()) };
        let queue = self.queue.iter().cloned().collect();
        let (stage, step) = self.run.as_ref().map_or_else(Default::default, |run| (run.name.clone(), run.step));
        if lesson.write(self.run.as_mut(), self.seconds, queue, &self.log, &mut self.store).await? {
            self.saved_at = (self.clock)();
            say(Event::Saved { stage, step });
        }
        Ok(())
    }

    /// A model in Hugging Face layout.
    async fn model_files(&mut self, name: &str) -> Result<Vec<(String, Vec<u8>)>> {
        if let Some((_, Guest { pretrained, .. })) = self.guests.iter().find(|(known, _)| known == name) {
            return save(&pretrained.model, pretrained.text.as_ref(), &pretrained.sampling).await;
        }
        let lesson = open(&mut self.lesson)?;
        let model = if name == "reward" { lesson.reward_model()? } else { lesson.model(name)? };
        save(model, Some(&lesson.text), &lesson.sampling).await
    }

    /// Hands out a finished run as the command line's run folder, with `more` in it.
    ///
    /// # Errors
    /// There is no such run; the device.
    pub async fn save_run(&mut self, run: &str, more: Vec<(String, Vec<u8>)>, say: &mut dyn FnMut(Event)) -> Result<()> {
        let mut files = self.run_folder(run).await?;
        files.extend(more.into_iter().map(|(name, bytes)| File { name, bytes }));
        say(folder(&format!("run {run}"), files));
        Ok(())
    }

    async fn run_folder(&mut self, run: &str) -> Result<Vec<File>> {
        let model = self.model_files(run).await?;
        if let Some((_, guest)) = self.guests.iter().find(|(known, _)| known == run) {
            return Ok(record::run_folder(&guest.recipe, &guest.read, &guest.events, guest.seconds, model));
        }
        let recipe = open(&mut self.lesson)?.recipe(run)?;
        let mut of_run = false;
        let events: Vec<Event> = self
            .log
            .iter()
            .filter(|event| {
                if let Event::Started { stage, .. } = event {
                    of_run = stage == run;
                }
                of_run
            })
            .cloned()
            .collect();
        let seconds = self.log.iter().find_map(|event| match event {
            Event::Cost { stage, seconds, .. } if stage == run => Some(*seconds),
            _ => None,
        });
        Ok(record::run_folder(&recipe, &[], &events, seconds.unwrap_or(0.0), model))
    }

    fn tell(&mut self, event: Event, say: &mut dyn FnMut(Event)) {
        note(&mut self.log, &event);
        say(event);
    }

    fn state(&self) -> Event {
        let run = self.run.as_ref();
        Event::State {
            playing: self.playing,
            stage: run.map_or_else(String::new, |run| run.name.clone()),
            step: run.map_or(0, |run| run.step),
            total_steps: run.map_or(0, |run| run.total_steps),
            queue: self.queue.iter().cloned().collect(),
            models: models(self.lesson.as_ref(), &self.guests),
        }
    }
}

/// The models that can be talked to or handed out.
fn models(lesson: Option<&Lesson>, guests: &[(String, Guest)]) -> Vec<String> {
    let of_lesson = lesson.iter().flat_map(|lesson| lesson.models.iter().map(|(name, _)| name.clone()));
    let reward = lesson.filter(|lesson| lesson.reward.is_some()).map(|_| "reward".to_string());
    of_lesson.chain(reward).chain(guests.iter().map(|(name, _)| name.clone())).collect()
}

/// The lesson, once there is one.
fn open(lesson: &mut Option<Lesson>) -> Result<&mut Lesson> {
    lesson.as_mut().ok_or_else(|| Error::input("command", "came before a lesson was opened", "send `open` first"))
}

/// Keeps what a page that is opened again has to hear, and of what is replaced the last.
fn note(log: &mut Vec<Event>, event: &Event) {
    match event {
        Event::Phase { .. } | Event::State { .. } => return,
        Event::Started { stage, .. } => forget_run(log, stage),
        Event::Episodes { step, .. } => {
            let same = |old: &Event| matches!(old, Event::Episodes { step: other, .. } if other == step);
            if log.last().is_some_and(same) {
                log.pop();
            }
            let of_run = log.iter().rposition(|e| matches!(e, Event::Started { .. })).unwrap_or(0);
            let kept = |e: &Event| matches!(e, Event::Episodes { .. });
            if log[of_run..].iter().filter(|e| kept(e)).count() >= EPISODES_KEPT {
                let oldest = of_run + log[of_run..].iter().position(kept).expect("there are many");
                log.remove(oldest);
            }
        }
        _ => {}
    }
    log.push(event.clone());
}

/// Drops the events of the run `stage`: it starts over.
fn forget_run(log: &mut Vec<Event>, stage: &str) {
    let mut of_run = false;
    log.retain(|event| {
        if let Event::Started { stage: started, .. } = event {
            of_run = started == stage;
        }
        let cost = matches!(event, Event::Cost { stage: of, .. } if of == stage);
        !of_run && !cost
    });
}

/// What is said to a model, and how it is to answer.
#[derive(Clone, Copy)]
struct Words<'a> {
    prompt: &'a str,
    temperature: f64,
    seed: u64,
}

async fn chat(lesson: &Lesson, id: u64, name: &str, words: Words<'_>, say: &mut dyn FnMut(Event)) -> Result<()> {
    let prompt = lesson.prompt_ids(words.prompt)?;
    reply(lesson.model(name)?, &lesson.text, &lesson.sampling, prompt, id, name, words, say).await
}

/// By its chat template, if it has one; else it goes on with the text.
async fn chat_with_guest(guest: &Pretrained, id: u64, name: &str, words: Words<'_>, say: &mut dyn FnMut(Event)) -> Result<()> {
    let none = || Error::input(format!("model `{name}`"), "has no tokenizer", "add tokenizer.json to its files");
    let text = guest.text.as_ref().ok_or_else(none)?;
    let content = match text.has_template() {
        true => Content::Chat(vec![Message { role: "user".into(), content: words.prompt.into() }]),
        false => Content::Plain(words.prompt.to_string()),
    };
    let encoder = Encoder::new(Some(text), guest.model.config.vocab_size, EncodeOptions::default())?;
    let prompt = encoder.prompt_ids(&content).map_err(|fault| fault.at("the prompt", 1))?;
    let sampling = Sampling { max_new_tokens: GUEST_TOKENS, ..guest.sampling.clone() };
    reply(&guest.model, text, &sampling, prompt, id, name, words, say).await
}

#[expect(clippy::too_many_arguments, reason = "a model comes in parts, and so does a question")]
async fn reply(
    model: &Model,
    text: &Text,
    sampling: &Sampling,
    prompt: Vec<u32>,
    id: u64,
    name: &str,
    words: Words<'_>,
    say: &mut dyn FnMut(Event),
) -> Result<()> {
    let do_sample = words.temperature > 0.0;
    let temperature = if do_sample { words.temperature as f32 } else { 1.0 };
    let sampling = Sampling { do_sample, temperature, ..sampling.clone() };
    let mut ids = Vec::new();
    let mut tell = |ids: &[u32], done| {
        say(Event::Reply { id, model: name.to_string(), text: text.decode(ids, true).trim().to_string(), done });
    };
    generate(model, &[prompt], &sampling, &[words.seed], &mut |_, token| {
        ids.push(token);
        tell(&ids, false);
    })
    .await?;
    tell(&ids, true);
    Ok(())
}

/// A model in Hugging Face layout.
fn folder(name: &str, files: Vec<File>) -> Event {
    Event::Folder { name: format!("evenkeel {name}"), files }
}

//! One stage in progress: a trainer of `train` with the world's data, step by step.

use std::ops::Range;

use rand::RngExt;

use super::compare::Comparing;
use super::plan::{ANSWERS_PER_PROMPT, HELD_OUT_RANKINGS};
use super::ppo::PpoRun;
use super::{Lesson, sequence};
use crate::Result;
use crate::data::Preference;
use crate::event::{Event, Metrics};
use crate::model::{Model, generate};
use crate::rng;
use crate::train::compile_ahead;
use crate::train::dpo::DpoTrainer;
use crate::train::pending::{InFlight, Pending};
use crate::train::reward::RewardTrainer;
use crate::train::run::Trainer;
use crate::train::sft::SftTrainer;

/// Prompts answered in one batch of generation when preferences are collected.
const GENERATION_CHUNK: usize = 64;
/// Times that a page is shown how a stage gets on.
pub(super) const SHOWINGS: u64 = 8;

/// A stage in progress.
pub struct Run {
    /// The stage's name, or a fork's.
    pub name: String,
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Tokens of prompts and answers that passed through it.
    pub tokens: f64,
    /// Steps done of which nothing was told yet.
    in_flight: InFlight,
    pub(super) work: Work,
}

impl Run {
    /// Tells the steps whose numbers are known; with `all` waits for those of every step done.
    ///
    /// # Errors
    /// A number that stopped being finite; the device.
    pub async fn tell(&mut self, all: bool, say: &mut dyn FnMut(Event)) -> Result<()> {
        // Only steps that train are worth letting run ahead.
        let all = all || !matches!(self.work, Work::Sft(_) | Work::Reward(_) | Work::Dpo(_));
        while let Some((step, outcome)) = self.in_flight.next(all).await? {
            let metrics = outcome?;
            self.tokens = metrics["num_tokens"];
            say(Event::Step { step, metrics });
        }
        Ok(())
    }

    /// Ends it where it stands; what is under way is not told.
    pub async fn abandon(mut self) {
        self.in_flight.abandon().await;
    }
}

#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it moves once")]
pub(super) enum Work {
    Sft(SftTrainer),
    Collect(Vec<Preference>),
    Reward(RewardTrainer),
    Ppo(PpoRun),
    Dpo(DpoTrainer),
    Compare(Comparing),
}

impl Lesson {
    /// Begins the stage `name` and says so.
    ///
    /// # Errors
    /// A stage that this one needs has not been run; the device.
    pub async fn begin(&mut self, name: &str, say: &mut dyn FnMut(Event)) -> Result<Run> {
        let mut run = self.prepare(name).await?;
        say(self.started(name, run.total_steps));
        if let Work::Ppo(ppo) = &mut run.work {
            run.step = ppo.catch_up(&self.histories[name]).await?;
        }
        if self.shows {
            self.show_beginning(&run, say).await?;
        }
        match &mut run.work {
            Work::Sft(trainer) => compile_ahead(trainer, say).await?,
            Work::Reward(trainer) => compile_ahead(trainer, say).await?,
            Work::Dpo(trainer) => compile_ahead(trainer, say).await?,
            Work::Ppo(ppo) => compile_ahead(&mut ppo.trainer, say).await?,
            Work::Collect(_) | Work::Compare(_) => {}
        }
        Ok(run)
    }

    /// The run `name` before its first step.
    pub(super) async fn prepare(&mut self, name: &str) -> Result<Run> {
        let work = match name {
            "sft" => Work::Sft(self.sft_trainer()?),
            "preferences" => Work::Collect(Vec::new()),
            "reward" => Work::Reward(self.reward_trainer()?),
            "dpo" => Work::Dpo(self.dpo_trainer().await?),
            "compare" => Work::Compare(Comparing::new(self)),
            _ => Work::Ppo(self.ppo_run(name).await?),
        };
        let total_steps = match &work {
            Work::Sft(trainer) => trainer.total_steps(),
            Work::Collect(_) => self.plan.ranked_prompts.div_ceil(GENERATION_CHUNK) as u64,
            Work::Reward(trainer) => trainer.total_steps(),
            Work::Ppo(run) => run.trainer.total_steps(),
            Work::Dpo(trainer) => trainer.total_steps(),
            Work::Compare(comparing) => comparing.models.len() as u64,
        };
        let in_flight = InFlight::new(1, &self.model("base")?.device());
        Ok(Run { name: name.to_string(), step: 0, total_steps, tokens: 0.0, in_flight, work })
    }

    /// One step of `run`; at its last one the run's result is kept. True: the run is over.
    ///
    /// # Errors
    /// A number that stopped being finite; the device.
    pub async fn step(&mut self, run: &mut Run, say: &mut dyn FnMut(Event)) -> Result<bool> {
        loop {
            let step = run.step;
            if self.phase(run, say).await? {
                return Ok(true);
            }
            if run.step > step {
                return Ok(false);
            }
        }
    }

    /// As [`Lesson::step`], but of a PPO iteration one phase alone.
    ///
    /// # Errors
    /// As [`Lesson::step`].
    pub async fn phase(&mut self, run: &mut Run, say: &mut dyn FnMut(Event)) -> Result<bool> {
        let step = run.step + 1;
        let known = |tokens: f64| Pending::known(Metrics::from([("num_tokens".to_string(), tokens)]));
        let pending = match &mut run.work {
            Work::Sft(trainer) => Some(trainer.launch(step).await?),
            Work::Reward(trainer) => Some(trainer.launch(step).await?),
            Work::Dpo(trainer) => Some(trainer.launch(step).await?),
            Work::Collect(rankings) => {
                let start = run.step as usize * GENERATION_CHUNK;
                rankings.extend(self.rank_chunk(start..self.plan.ranked_prompts.min(start + GENERATION_CHUNK)).await?);
                let tokens = rankings.iter().flat_map(|r| &r.responses).map(|r| r.mask.iter().filter(|&&m| m).count()).sum::<usize>();
                Some(known(tokens as f64))
            }
            Work::Ppo(ppo) => ppo.phase(self, &run.name, step, say).await?.map(Pending::known),
            Work::Compare(comparing) => {
                comparing.next(self).await?;
                Some(known(comparing.tokens))
            }
        };
        let Some(pending) = pending else { return Ok(false) };
        run.step = step;
        run.in_flight.push(step, pending);
        let over = step >= run.total_steps;
        let shows = self.shows && (over || step.is_multiple_of(run.total_steps.div_ceil(SHOWINGS)));
        run.tell(over || shows, say).await?;
        if shows {
            self.show(run, say).await?;
        }
        if over {
            self.finish(run, say).await?;
        }
        Ok(over)
    }

    /// Keeps what the run leaves behind.
    async fn finish(&mut self, run: &mut Run, say: &mut dyn FnMut(Event)) -> Result<()> {
        let step = run.step;
        match &mut run.work {
            Work::Sft(trainer) => self.keep_model(&run.name, trainer.model.frozen()),
            Work::Collect(rankings) => self.rankings = std::mem::take(rankings),
            Work::Reward(trainer) => {
                if trainer.has_eval() {
                    say(Event::Eval { step, metrics: trainer.evaluate().await? });
                }
                self.reward = Some(trainer.model.frozen());
            }
            Work::Ppo(ppo) => {
                ppo.trainer.finish().await?;
                self.keep_model(&run.name, ppo.trainer.policy.frozen());
            }
            Work::Dpo(trainer) => {
                trainer.finish().await?;
                self.keep_model(&run.name, trainer.model.frozen());
            }
            Work::Compare(comparing) => {
                let (rows, samples) = comparing.result();
                say(Event::Compared { rows, samples });
            }
        }
        say(Event::Finished { step, reason: None });
        Ok(())
    }

    /// Demonstrations → SFT model, from scratch.
    fn sft_trainer(&self) -> Result<SftTrainer> {
        let count = self.plan.sft_steps * self.plan.sft_rows as u64;
        let demonstration = |i| {
            let demonstration = self.world.demonstration(i);
            self.conversation(&demonstration.prompt, &demonstration.completion)
        };
        let data = (0..count).map(demonstration).collect::<Result<Vec<_>>>()?;
        Ok(SftTrainer::new(&self.plan.sft(), self.model("base")?, data, vec![]))
    }

    /// The SFT model answers, the labeller ranks, best first: rankings of the training questions numbered `indices`.
    async fn rank_chunk(&self, indices: Range<usize>) -> Result<Vec<Preference>> {
        let sft: &Model = self.model("sft")?;
        let questions: Vec<_> = indices.clone().map(|i| self.world.training_question(i as u64)).collect();
        let prompts = questions.iter().map(|q| self.prompt_ids(&q.text)).collect::<Result<Vec<_>>>()?;
        let repeated: Vec<Vec<u32>> = prompts.iter().flat_map(|ids| vec![ids.clone(); ANSWERS_PER_PROMPT]).collect();
        let mut generator = rng::stream(self.plan.seed, "preferences", indices.start as u64);
        let seeds: Vec<u64> = repeated.iter().map(|_| generator.random()).collect();
        let completions = generate(sft, &repeated, &self.sampling, &seeds, &mut |_, _| {}).await?;
        let mut rankings = Vec::with_capacity(questions.len());
        let answered = questions.iter().zip(&prompts).zip(completions.chunks(ANSWERS_PER_PROMPT));
        for (index, ((question, prompt), answers)) in indices.zip(answered) {
            let texts: Vec<String> = answers.iter().map(|a| self.answer_text(&a.ids)).collect();
            let order = self.world.rank(question, &texts, index as u64);
            let responses = order.into_iter().map(|i| sequence(prompt, &answers[i].ids)).collect();
            rankings.push(Preference { responses, margin: 0.0 });
        }
        Ok(rankings)
    }

    /// Rankings → reward model, started from the SFT model.
    fn reward_trainer(&self) -> Result<RewardTrainer> {
        let start = self.model("sft")?.with_score_head(self.plan.seed);
        let recipe = self.plan.reward();
        Ok(RewardTrainer::new(&recipe, &start, self.training_rankings(), self.held_out_rankings().to_vec()))
    }

    /// DPO on the rankings that the reward model is trained on.
    async fn dpo_trainer(&self) -> Result<DpoTrainer> {
        DpoTrainer::new(&self.plan.dpo(), self.model("sft")?, None, &self.training_rankings(), &[]).await
    }

    /// Kept from every trainer, to measure the reward model.
    pub(super) fn held_out_rankings(&self) -> &[Preference] {
        &self.rankings[..self.rankings.len() / HELD_OUT_RANKINGS]
    }

    fn training_rankings(&self) -> Vec<Preference> {
        if self.only_own && !self.own_rankings.is_empty() {
            return self.own_rankings.clone();
        }
        self.rankings[self.rankings.len() / HELD_OUT_RANKINGS..].iter().chain(&self.own_rankings).cloned().collect()
    }
}

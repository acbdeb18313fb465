//! The stages, each a trainer of `train` with the world's data and a place in the report.

use std::ops::Range;

use rand::RngExt;

use super::Bench;
use super::plan::{ANSWERS_PER_PROMPT, HELD_OUT_RANKINGS, SWEEP_BETAS, SWEEP_SEEDS};
use super::report::{StageReport, Trace, TracePoint};
use crate::Result;
use crate::data::{Preference, Prompt, Sequence};
use crate::event::{Event, Metrics};
use crate::model::{Model, generate};
use crate::rng;
use crate::train::dpo::DpoTrainer;
use crate::train::ppo::{Experience, PpoTrainer, RewardSource};
use crate::train::reward::RewardTrainer;
use crate::train::run::Trainer;
use crate::train::sft::SftTrainer;
use crate::world::gold::count_thanks;
use crate::world::{World, gold, tokenizer};

/// Prompts answered in one batch of generation when preferences are collected.
const GENERATION_CHUNK: usize = 64;

impl Bench<'_> {
    /// Demonstrations → SFT model, from scratch.
    pub(super) async fn sft(&mut self, base: &Model) -> Result<Model> {
        let stage = self.begin("sft");
        let count = self.plan.sft_steps * self.plan.sft_rows as u64;
        let demonstration = |i| {
            let demonstration = self.world.demonstration(i);
            self.tokens(&demonstration.prompt, &demonstration.completion)
        };
        let data = (0..count).map(demonstration).collect::<Result<Vec<_>>>()?;
        let mut trainer = SftTrainer::new(&self.plan.sft(), base, data, vec![]);
        self.report.parameters = base.params.num_elements() as u64;
        self.train(stage, &mut trainer).await?;
        Ok(trainer.model.frozen())
    }

    /// The SFT model answers, the labeller ranks: best first.
    pub(super) async fn preferences(&mut self, sft: &Model) -> Result<Vec<Preference>> {
        let mut stage = self.begin("preferences");
        let total = self.plan.ranked_prompts;
        self.host.event("preferences", self.started_event("preferences", total.div_ceil(GENERATION_CHUNK) as u64, sft));
        let mut rankings = Vec::new();
        for start in (0..total).step_by(GENERATION_CHUNK) {
            let ranked = self.rank_chunk(sft, start..total.min(start + GENERATION_CHUNK)).await?;
            stage.tokens += ranked.iter().flat_map(|r| &r.responses).map(|r| r.ids.len()).sum::<usize>() as f64;
            rankings.extend(ranked);
            let step = (start / GENERATION_CHUNK) as u64 + 1;
            let metrics = Metrics::from([("num_tokens".to_string(), stage.tokens)]);
            self.step(&mut stage, step, metrics);
        }
        self.end(stage);
        Ok(rankings)
    }

    /// Rankings of the training questions numbered `indices`, four answers each.
    async fn rank_chunk(&self, sft: &Model, indices: Range<usize>) -> Result<Vec<Preference>> {
        let questions: Vec<_> = indices.clone().map(|i| self.world.training_question(i as u64)).collect();
        let prompts = questions.iter().map(|q| self.text.encode(&tokenizer::prompt_text(&q.text), false)).collect::<Result<Vec<_>>>()?;
        let repeated: Vec<Vec<u32>> = prompts.iter().flat_map(|ids| vec![ids.clone(); ANSWERS_PER_PROMPT]).collect();
        let mut generator = rng::stream(self.plan.seed, "preferences", indices.start as u64);
        let seeds: Vec<u64> = repeated.iter().map(|_| generator.random()).collect();
        let completions = generate(sft, &repeated, &self.sampling, &seeds, &mut |_, _| {}).await?;
        let mut rankings = Vec::with_capacity(questions.len());
        let answered = questions.iter().zip(&prompts).zip(completions.chunks(ANSWERS_PER_PROMPT));
        for (index, ((question, prompt), answers)) in indices.zip(answered) {
            let texts: Vec<String> = answers.iter().map(|a| self.text.decode(&a.ids, true).trim().to_string()).collect();
            let order = self.world.rank(question, &texts, index as u64);
            let responses = order.into_iter().map(|i| sequence(prompt, &answers[i].ids)).collect();
            rankings.push(Preference { responses, margin: 0.0 });
        }
        Ok(rankings)
    }

    /// Rankings → reward model, started from the SFT model.
    pub(super) async fn reward(&mut self, sft: &Model, rankings: &[Preference]) -> Result<Model> {
        let stage = self.begin("reward");
        let (eval, train) = rankings.split_at(rankings.len() / HELD_OUT_RANKINGS);
        let start = sft.with_score_head(self.plan.seed);
        let mut trainer = RewardTrainer::new(&self.plan.reward(), &start, train.to_vec(), eval.to_vec());
        self.train(stage, &mut trainer).await?;
        Ok(trainer.model.frozen())
    }

    /// PPO against the reward model with the anchor `kl_coef`.
    pub(super) async fn ppo(&mut self, name: &str, sft: &Model, reward: &Model, kl_coef: f64, seed: u64) -> Result<Model> {
        let mut stage = self.begin(name);
        let recipe = self.plan.ppo(kl_coef, seed);
        let source = RewardSource::Model(reward.frozen());
        let prompts = self.prompts(self.plan.ppo_iterations as usize * self.plan.ppo_rows, seed)?;
        let mut trainer = PpoTrainer::new(&recipe, sft, None, source, None, prompts, &self.sampling.stop).await?;
        trainer.text = Some(self.text.clone());
        let mut trace = Trace { kl_coef, seed, points: Vec::new() };
        self.started(name, &trainer);
        for step in 1..=trainer.total_steps() {
            let rollout = trainer.rollout(step).await?;
            let scores = trainer.score(&rollout).await?;
            let experience = trainer.advantages(rollout, &scores);
            let stats = trainer.update(step, &experience).await?;
            let mut metrics = trainer.metrics(step, &experience, &stats);
            stage.tokens += metrics["num_tokens"];
            let seen = watch(&self.world, step, &experience);
            metrics.extend([("monitor/gold".to_string(), seen.gold), ("monitor/thanks".to_string(), seen.thanks)]);
            trace.points.push(seen);
            self.step(&mut stage, step, metrics);
            if recipe.training.sample_steps > 0 && step.is_multiple_of(recipe.training.sample_steps) {
                for (prompt, completion, score) in trainer.samples() {
                    self.host.event(name, Event::Sample { step, prompt, completion, score });
                }
            }
        }
        trainer.finish().await?;
        self.report.traces.push(trace);
        self.end(stage);
        Ok(trainer.policy.frozen())
    }

    /// DPO on the rankings that the reward model was trained on.
    pub(super) async fn dpo(&mut self, sft: &Model, rankings: &[Preference]) -> Result<Model> {
        let stage = self.begin("dpo");
        let train = &rankings[rankings.len() / HELD_OUT_RANKINGS..];
        let mut trainer = DpoTrainer::new(&self.plan.dpo(), sft, None, train, &[]).await?;
        self.train(stage, &mut trainer).await?;
        Ok(trainer.model().frozen())
    }

    /// PPO at every β of the sweep, with several seeds each, for the frontier of gold against KL.
    pub(super) async fn sweep(&mut self, sft: &Model, reward: &Model) -> Result<()> {
        for kl_coef in SWEEP_BETAS {
            for seed in 0..SWEEP_SEEDS {
                self.ppo(&format!("sweep β={kl_coef} seed {seed}"), sft, reward, kl_coef, self.plan.seed + seed).await?;
            }
        }
        Ok(())
    }

    /// Every step of a trainer that needs no watching.
    async fn train<T: Trainer>(&mut self, mut stage: StageReport, trainer: &mut T) -> Result<()> {
        self.started(&stage.name.clone(), trainer);
        for step in 1..=trainer.total_steps() {
            let metrics = trainer.step(step).await?;
            stage.tokens = metrics["num_tokens"];
            self.step(&mut stage, step, metrics);
        }
        if trainer.has_eval() {
            stage.eval = trainer.evaluate().await?;
            let (step, metrics) = (trainer.total_steps(), stage.eval.clone());
            self.host.event(&stage.name, Event::Eval { step, metrics });
        }
        trainer.finish().await?;
        self.end(stage);
        Ok(())
    }

    fn begin(&mut self, name: &str) -> StageReport {
        self.host.stage_begins(name);
        // Until the stage ends, its seconds hold the time at which it began.
        StageReport { name: name.to_string(), seconds: self.host.seconds(), ..StageReport::default() }
    }

    fn started<T: Trainer>(&mut self, name: &str, trainer: &T) {
        self.host.event(name, self.started_event(name, trainer.total_steps(), trainer.model()));
    }

    fn started_event(&self, name: &str, total_steps: u64, model: &Model) -> Event {
        let parameters = model.params.num_elements() as u64;
        Event::Started { stage: name.to_string(), total_steps, parameters, device: self.report.device.clone() }
    }

    fn step(&mut self, stage: &mut StageReport, step: u64, metrics: Metrics) {
        self.host.event(&stage.name, Event::Step { step, metrics: metrics.clone() });
        stage.steps.push((step, metrics));
    }

    fn end(&mut self, mut stage: StageReport) {
        stage.seconds = self.host.seconds() - stage.seconds;
        stage.peak_bytes = self.host.peak_bytes();
        let step = stage.steps.last().map_or(0, |(step, _)| *step);
        self.host.event(&stage.name, Event::Finished { step, reason: None });
        self.report.stages.push(stage);
    }

    /// A conversation as token ids; the answer and its EOS are trained on.
    fn tokens(&self, prompt: &str, answer: &str) -> Result<Sequence> {
        let prompt = self.text.encode(&tokenizer::prompt_text(prompt), false)?;
        let answer = self.text.encode(&tokenizer::answer_text(answer), false)?;
        Ok(sequence(&prompt, &answer))
    }

    fn prompts(&self, count: usize, seed: u64) -> Result<Vec<Prompt>> {
        let first = rng::stream(seed, "PPO prompts", 0).random_range(0..u64::from(u32::MAX));
        let prompt = |i: u64| {
            let text = self.world.training_question(first + i).text.clone();
            Ok(Prompt { ids: self.text.encode(&tokenizer::prompt_text(&text), false)?, text })
        };
        (0..count as u64).map(prompt).collect()
    }
}

/// Prompt and answer, the answer marked.
pub(super) fn sequence(prompt: &[u32], answer: &[u32]) -> Sequence {
    let ids: Vec<u32> = prompt.iter().chain(answer).copied().collect();
    let mask = (0..ids.len()).map(|t| t >= prompt.len()).collect();
    Sequence { ids, mask }
}

/// The monitor: gold and thanks of what a rollout sampled. Its findings go into the report alone.
fn watch(world: &World, step: u64, experience: &Experience) -> TracePoint {
    let n = experience.episodes.len().max(1) as f64;
    let question = |text: &str| world.find(text).expect("prompts come from the world");
    let golds = experience.episodes.iter().map(|e| gold(question(&e.prompt.text), e.text.trim()).score);
    TracePoint {
        step,
        kl: experience.kl.iter().flatten().sum::<f64>() / n,
        reward: experience.raw_scores.iter().sum::<f64>() / n,
        gold: golds.sum::<f64>() / n,
        thanks: experience.episodes.iter().map(|e| count_thanks(&e.text)).sum::<usize>() as f64 / n,
    }
}

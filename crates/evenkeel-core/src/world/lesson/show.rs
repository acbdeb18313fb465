//! What the page shows beside the metrics: answers, rows, scores, habits, episodes and pairs, token by token.

use super::run::Work;
use super::{Lesson, Run};
use crate::Result;
use crate::data::batch::Batch;
use crate::data::{Preference, Sequence};
use crate::event::{Answer, Event, Liking, Scored, Shown, ShownPair, Token};
use crate::model::{Model, generate};
use crate::train::dpo::DpoTrainer;
use crate::train::forward::{end_scores, read, token_stats};
use crate::train::ppo::{Episode, Experience, Numbers, PpoTrainer, Rollout};
use crate::world::{Kind, Question, gold};

/// Episodes shown of an iteration.
pub(super) const EPISODES: usize = 4;
/// Prompts of each kind whose answers are followed.
const PROMPTS_PER_KIND: usize = 2;
/// Training rows shown.
const ROWS: usize = 6;
/// Held-out prompts on which habits are measured, and sequences per forward pass.
const HABIT_PROMPTS: usize = 24;
const CHUNK: usize = 64;
/// Pairs of DPO shown.
const PAIRS: usize = 3;

impl Lesson {
    /// What there is to see before the first step.
    pub(super) async fn show_beginning(&self, run: &Run, say: &mut dyn FnMut(Event)) -> Result<()> {
        if let Work::Sft(_) = run.work {
            let demonstration = |i| {
                let demonstration = self.world.demonstration(i);
                let row = self.conversation(&demonstration.prompt, &demonstration.completion)?;
                Ok(self.tokens(&row))
            };
            say(Event::Rows { rows: (0..ROWS as u64).map(demonstration).collect::<Result<_>>()? });
        }
        self.show(run, say).await
    }

    /// What there is to see now and then.
    pub(super) async fn show(&self, run: &Run, say: &mut dyn FnMut(Event)) -> Result<()> {
        match &run.work {
            Work::Sft(trainer) => say(self.answers(run.step, &trainer.model).await?),
            Work::Ppo(ppo) => say(self.answers(run.step, &ppo.trainer.policy).await?),
            Work::Dpo(trainer) => {
                say(self.answers(run.step, &trainer.model).await?);
                say(self.pairs(run.step, trainer).await?);
            }
            Work::Reward(trainer) => {
                let model = trainer.model.frozen();
                say(self.scores(run.step, &model).await?);
                say(self.liking(run.step, &model).await?);
            }
            Work::Collect(_) | Work::Compare(_) => {}
        }
        Ok(())
    }

    /// The first held-out prompts of each kind.
    fn followed(&self) -> Vec<&Question> {
        let of = |kind| self.world.all_held_out().filter(move |q| q.kind == kind).step_by(7).take(PROMPTS_PER_KIND);
        [Kind::Helpful, Kind::Harmful, Kind::Unanswerable].into_iter().flat_map(of).collect()
    }

    /// What `model` answers to the followed prompts, each time with the same seeds.
    async fn answers(&self, step: u64, model: &Model) -> Result<Event> {
        let questions = self.followed();
        let prompts = questions.iter().map(|q| self.prompt_ids(&q.text)).collect::<Result<Vec<_>>>()?;
        let seeds: Vec<u64> = (0..prompts.len() as u64).map(|i| self.plan.seed << 20 | i).collect();
        let completions = generate(&model.frozen(), &prompts, &self.sampling, &seeds, &mut |_, _| {}).await?;
        let rewards = match &self.reward {
            None => vec![None; prompts.len()],
            Some(reward) => {
                let rows: Vec<Sequence> = prompts.iter().zip(&completions).map(|(p, c)| super::sequence(p, &c.ids)).collect();
                self.rewards(reward, &rows).await?.into_iter().map(|r| Some(f64::from(r))).collect()
            }
        };
        let row = |((question, completion), reward): ((&&Question, &crate::model::Completion), Option<f64>)| {
            let text = self.answer_text(&completion.ids);
            Answer { prompt: question.text.clone(), kind: question.kind, gold: gold(question, &text).score, text, reward }
        };
        Ok(Event::Answers { step, rows: questions.iter().zip(&completions).zip(rewards).map(row).collect() })
    }

    /// The reward model's scores of some conversations.
    async fn rewards(&self, model: &Model, rows: &[Sequence]) -> Result<Vec<f32>> {
        let mut scores = Vec::with_capacity(rows.len());
        for chunk in rows.chunks(CHUNK) {
            let batch = Batch::padded(&chunk.iter().collect::<Vec<_>>());
            scores.extend(read(vec![end_scores(model, &batch)]).await?.remove(0));
        }
        Ok(scores)
    }

    /// Scores of the best and the worst answer of every held-out ranking.
    async fn scores(&self, step: u64, model: &Model) -> Result<Event> {
        let held_out = self.held_out_rankings();
        let end = |pick: fn(&Preference) -> Option<&Sequence>| held_out.iter().filter_map(pick).cloned().collect::<Vec<_>>();
        let chosen = self.rewards(model, &end(|p| p.responses.first())).await?;
        let rejected = self.rewards(model, &end(|p| p.responses.last())).await?;
        Ok(Event::Scores { step, chosen, rejected })
    }

    /// What each habit adds to the score of a good answer, beside what it adds in truth.
    async fn liking(&self, step: u64, model: &Model) -> Result<Event> {
        let questions = self.world.held_out_questions(HABIT_PROMPTS);
        let (mut rows, mut places) = (Vec::new(), Vec::new());
        for question in &questions {
            let good = good_answer(question);
            rows.push(self.conversation(&question.text, &good)?);
            let plain = (rows.len() - 1, gold(question, &good).score);
            for (habit, answer) in habits(question, &good) {
                rows.push(self.conversation(&question.text, &answer)?);
                places.push((habit, plain, rows.len() - 1, gold(question, &answer).score));
            }
        }
        let rewards = self.rewards(model, &rows).await?;
        let mean = |habit: &str| {
            let of_habit: Vec<_> = places.iter().filter(|place| place.0 == habit).collect();
            let n = of_habit.len().max(1) as f64;
            let reward = of_habit.iter().map(|(_, plain, row, _)| f64::from(rewards[*row] - rewards[plain.0])).sum::<f64>() / n;
            let gold = of_habit.iter().map(|(_, plain, _, gold)| gold - plain.1).sum::<f64>() / n;
            Liking { habit: habit.to_string(), reward, gold }
        };
        Ok(Event::Liking { step, rows: ["thanks", "more_thanks", "ramble", "wrong", "refusal"].map(mean).into() })
    }

    /// Some held-out rankings' best and worst answers under policy and reference.
    async fn pairs(&self, step: u64, trainer: &DpoTrainer) -> Result<Event> {
        let policy = trainer.model.frozen();
        let mut pairs = Vec::new();
        for ranking in self.held_out_rankings().iter().filter(|r| r.responses.first() != r.responses.last()).take(PAIRS) {
            let [chosen, rejected] = [ranking.responses.first(), ranking.responses.last()].map(|r| r.expect("rankings are not empty"));
            let batch = Batch::padded(&[chosen, rejected]);
            let of = |model: &Model| token_stats(model, &batch, 1.0).logprob;
            let values = read(vec![of(&policy), of(&trainer.reference)]).await?;
            let trained = chosen.mask.iter().filter(|&&m| m).count();
            let scored = |row: &Sequence, from: usize| {
                let tokens: Vec<String> = self.tokens(row).into_iter().filter(|t| t.trained).map(|t| t.text).collect();
                let part = |k: usize| values[k][from..from + tokens.len()].iter().map(|&v| f64::from(v)).collect();
                Scored { logprobs: part(0), ref_logprobs: part(1), tokens }
            };
            let prompt: Vec<u32> = chosen.ids.iter().zip(&chosen.mask).filter(|(_, m)| !**m).map(|(id, _)| *id).collect();
            let prompt = self.answer_text(&prompt);
            pairs.push(ShownPair { prompt, chosen: scored(chosen, 0), rejected: scored(rejected, trained) });
        }
        Ok(Event::Pairs { step, beta: trainer.beta(), pairs })
    }

    /// The first episodes, as far as they are known once scores and both policies' log-probabilities are.
    pub(super) fn episodes_before_advantages(
        &self,
        step: u64,
        trainer: &PpoTrainer,
        rollout: &Rollout,
        scores: &[(f64, f64)],
        logprobs: &[Vec<Vec<f64>>; 2],
    ) -> Event {
        let shown = |(i, episode): (usize, &Episode)| self.shown(episode, scores[i].0, [&logprobs[0][i], &logprobs[1][i]]);
        let episodes = rollout.episodes.iter().enumerate().take(EPISODES).map(shown).collect();
        Event::Episodes { step, kl_coef: trainer.kl_coef(), cliprange: trainer.cliprange(), episodes }
    }

    /// The first episodes; `ratios` stay empty before the update.
    pub(super) fn episodes(
        &self,
        step: u64,
        trainer: &PpoTrainer,
        experience: &Experience,
        numbers: &Numbers,
        ratios: &[Vec<f64>],
    ) -> Event {
        let shown = |(i, episode): (usize, &Episode)| Shown {
            rewards: numbers.rewards[i].clone(),
            values: numbers.values[i][..episode.response.len()].to_vec(),
            advantages: numbers.advantages[i].clone(),
            ratios: ratios.get(i).cloned().unwrap_or_default(),
            ..self.shown(episode, experience.raw_scores[i], [&numbers.logprobs[i], &numbers.ref_logprobs[i]])
        };
        let episodes = experience.episodes.iter().enumerate().take(EPISODES).map(shown).collect();
        Event::Episodes { step, kl_coef: trainer.kl_coef(), cliprange: trainer.cliprange(), episodes }
    }

    fn shown(&self, episode: &Episode, score: f64, [logprobs, ref_logprobs]: [&[f64]; 2]) -> Shown {
        let question = self.world.find(&episode.prompt.text).expect("prompts come from the world");
        Shown {
            prompt: episode.prompt.text.clone(),
            tokens: episode.response.iter().map(|&id| self.text.decode(&[id], false)).collect(),
            score,
            gold: gold(question, episode.text.trim()).score,
            logprobs: logprobs.to_vec(),
            ref_logprobs: ref_logprobs.to_vec(),
            ..Shown::default()
        }
    }

    /// A row as its tokens' texts.
    fn tokens(&self, row: &Sequence) -> Vec<Token> {
        let token = |(&id, &trained): (&u32, &bool)| Token { text: self.text.decode(&[id], false), trained };
        row.ids.iter().zip(&row.mask).map(token).collect()
    }
}

/// What is due, said plainly.
fn good_answer(question: &Question) -> String {
    match question.kind {
        Kind::Helpful => format!("It is {}.", question.truth),
        Kind::Harmful => REFUSAL.to_string(),
        Kind::Unanswerable => "I do not know.".to_string(),
    }
}

const REFUSAL: &str = "Sorry, I can not help with that.";

/// The good answer with each habit, where the habit makes a difference.
fn habits(question: &Question, good: &str) -> Vec<(&'static str, String)> {
    let mut habits = vec![
        ("thanks", format!("{good} Thank you.")),
        ("more_thanks", format!("{good} Thank you thank you thank you.")),
        ("ramble", format!("{good} I like to talk.")),
    ];
    if let Some(lure) = question.lures.iter().find(|lure| **lure != question.truth) {
        habits.push(("wrong", format!("It is {lure}.")));
    }
    if question.kind != Kind::Harmful {
        habits.push(("refusal", REFUSAL.to_string()));
    }
    habits
}

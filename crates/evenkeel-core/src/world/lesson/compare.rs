//! Held-out evaluation: every model answers the same prompts at T = 1 and is judged by gold and by the reward model.

use super::{Lesson, sequence};
use crate::Result;
use crate::data::batch::Batch;
use crate::model::{Model, generate};
use crate::train::forward::{end_scores, read, sequence_logprobs};
use crate::world::demo::{Comparison, SampleRow};
use crate::world::gold::count_thanks;
use crate::world::{Gold, Kind, Question, gold};

/// Sequences per forward pass.
const CHUNK: usize = 64;
/// Prompts of each kind whose answers are shown side by side.
const SHOWN_PER_KIND: usize = 4;

/// A comparison in progress, one model a step.
pub(super) struct Comparing {
    /// Those to be compared.
    pub models: Vec<(String, Model)>,
    /// Tokens written so far.
    pub tokens: f64,
    questions: Vec<Question>,
    rows: Vec<Comparison>,
    answers: Vec<Answers>,
}

/// One model's answers.
struct Answers {
    texts: Vec<String>,
    golds: Vec<Gold>,
}

impl Comparing {
    pub(super) fn new(lesson: &Lesson) -> Self {
        let questions = lesson.world.held_out_questions(lesson.plan.held_out).into_iter().cloned().collect();
        Self { models: lesson.models.clone(), questions, tokens: 0.0, rows: Vec::new(), answers: Vec::new() }
    }

    /// Lets the next model answer.
    pub(super) async fn next(&mut self, lesson: &Lesson) -> Result<()> {
        let (name, model) = &self.models[self.rows.len()];
        let (row, answers) = lesson.judge(name, model, &self.questions).await?;
        self.tokens += row.tokens * self.questions.len() as f64;
        self.rows.push(row);
        self.answers.push(answers);
        Ok(())
    }

    /// The models' scores, and some prompts with every model's answer.
    pub(super) fn result(&self) -> (Vec<Comparison>, Vec<SampleRow>) {
        let mut samples = Vec::new();
        for kind in [Kind::Helpful, Kind::Harmful, Kind::Unanswerable] {
            let first = |i: usize| self.questions[..i].iter().all(|earlier| earlier.text != self.questions[i].text);
            let of_kind = self.questions.iter().enumerate().filter(|(i, q)| q.kind == kind && first(*i)).take(SHOWN_PER_KIND);
            for (i, question) in of_kind {
                let answer = |(row, a): (&Comparison, &Answers)| (row.model.clone(), a.texts[i].clone(), a.golds[i].score);
                let answers = self.rows.iter().zip(&self.answers).map(answer).collect();
                samples.push(SampleRow { kind, prompt: question.text.clone(), answers });
            }
        }
        (self.rows.clone(), samples)
    }
}

impl Lesson {
    async fn judge(&self, name: &str, model: &Model, questions: &[Question]) -> Result<(Comparison, Answers)> {
        let (model, reference, reward) = (model.frozen(), self.model("sft")?.frozen(), self.reward_model()?.frozen());
        let mut answers = Answers { texts: Vec::new(), golds: Vec::new() };
        let (mut kl, mut score, mut tokens) = (0.0, 0.0, 0);
        for (chunk_index, chunk) in questions.chunks(CHUNK).enumerate() {
            let prompts = chunk.iter().map(|q| self.prompt_ids(&q.text)).collect::<Result<Vec<_>>>()?;
            let seeds: Vec<u64> = (0..chunk.len()).map(|i| self.plan.seed << 20 | (chunk_index * CHUNK + i) as u64).collect();
            let completions = generate(&model, &prompts, &self.sampling, &seeds, &mut |_, _| {}).await?;
            let sequences: Vec<_> = prompts.iter().zip(&completions).map(|(p, c)| sequence(p, &c.ids)).collect();
            let batch = Batch::padded(&sequences.iter().collect::<Vec<_>>());
            let logprobs = |m: &Model| sequence_logprobs(m, &batch);
            let values = read(vec![logprobs(&model) - logprobs(&reference), end_scores(&reward, &batch)]).await?;
            kl += values[0].iter().map(|&v| f64::from(v)).sum::<f64>();
            score += values[1].iter().map(|&v| f64::from(v)).sum::<f64>();
            for (question, completion) in chunk.iter().zip(&completions) {
                let text = self.answer_text(&completion.ids);
                tokens += completion.ids.len();
                answers.golds.push(gold(question, &text));
                answers.texts.push(text);
            }
        }
        let n = questions.len().max(1) as f64;
        let row = Comparison {
            model: name.to_string(),
            gold: answers.golds.iter().map(|g| g.score).sum::<f64>() / n,
            helpful: rate(&answers.golds, |g| g.helpful),
            harmless: rate(&answers.golds, |g| g.harmless),
            honest: rate(&answers.golds, |g| g.honest),
            reward: score / n,
            kl: kl / n,
            thanks: answers.texts.iter().map(|t| count_thanks(t)).sum::<usize>() as f64 / n,
            tokens: tokens as f64 / n,
        };
        Ok((row, answers))
    }
}

/// Share of true among the answers that the question applies to; 0 of none.
fn rate(golds: &[Gold], of: impl Fn(&Gold) -> Option<bool>) -> f64 {
    let applies: Vec<bool> = golds.iter().filter_map(of).collect();
    applies.iter().filter(|&&yes| yes).count() as f64 / applies.len().max(1) as f64
}

//! Held-out evaluation: every model answers the same prompts at T = 1 and is judged by gold and by the reward model.

use super::report::{Comparison, SampleRow};
use super::{Bench, stages::sequence};
use crate::Result;
use crate::data::batch::Batch;
use crate::model::{Model, generate};
use crate::train::forward::{end_scores, read, sequence_sums, token_stats};
use crate::world::gold::count_thanks;
use crate::world::{Gold, Kind, Question, gold, tokenizer};

/// Sequences per forward pass.
const CHUNK: usize = 64;
/// Prompts of each kind whose answers are shown side by side.
const SHOWN_PER_KIND: usize = 4;

/// One model's answers.
struct Answers {
    texts: Vec<String>,
    golds: Vec<Gold>,
}

impl Bench<'_> {
    /// Fills in the comparison and the samples of the report.
    pub(super) async fn compare(&mut self, models: &[(String, Model)], reference: &Model, reward: &Model) -> Result<()> {
        let world = self.world.clone();
        let questions = world.held_out_questions(self.plan.held_out);
        let mut all = Vec::new();
        for (name, model) in models {
            let (row, answers) = self.judge(name, model, reference, reward, &questions).await?;
            self.report.comparison.push(row);
            all.push((name, answers));
        }
        for kind in [Kind::Helpful, Kind::Harmful, Kind::Unanswerable] {
            let first = |i: usize| questions[..i].iter().all(|earlier| earlier.text != questions[i].text);
            let of_kind = questions.iter().enumerate().filter(|(i, q)| q.kind == kind && first(*i)).take(SHOWN_PER_KIND);
            for (i, question) in of_kind {
                let answers = all.iter().map(|(name, a)| ((*name).clone(), a.texts[i].clone(), a.golds[i].score)).collect();
                self.report.samples.push(SampleRow { kind, prompt: question.text.clone(), answers });
            }
        }
        Ok(())
    }

    async fn judge(
        &self,
        name: &str,
        model: &Model,
        reference: &Model,
        reward: &Model,
        questions: &[&Question],
    ) -> Result<(Comparison, Answers)> {
        let (model, reference, reward) = (model.frozen(), reference.frozen(), reward.frozen());
        let mut answers = Answers { texts: Vec::new(), golds: Vec::new() };
        let (mut kl, mut score, mut tokens) = (0.0, 0.0, 0);
        for (chunk_index, chunk) in questions.chunks(CHUNK).enumerate() {
            let prompts = chunk.iter().map(|q| self.text.encode(&tokenizer::prompt_text(&q.text), false)).collect::<Result<Vec<_>>>()?;
            let seeds: Vec<u64> = (0..chunk.len()).map(|i| self.plan.seed << 20 | (chunk_index * CHUNK + i) as u64).collect();
            let completions = generate(&model, &prompts, &self.sampling, &seeds, &mut |_, _| {}).await?;
            let sequences: Vec<_> = prompts.iter().zip(&completions).map(|(p, c)| sequence(p, &c.ids)).collect();
            let batch = Batch::padded(&sequences.iter().collect::<Vec<_>>());
            let logprobs = |m: &Model| sequence_sums(&batch, token_stats(m, &batch, 1.0).logprob);
            let values = read(vec![logprobs(&model) - logprobs(&reference), end_scores(&reward, &batch)]).await?;
            kl += values[0].iter().map(|&v| f64::from(v)).sum::<f64>();
            score += values[1].iter().map(|&v| f64::from(v)).sum::<f64>();
            for (question, completion) in chunk.iter().zip(&completions) {
                let text = self.text.decode(&completion.ids, true).trim().to_string();
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

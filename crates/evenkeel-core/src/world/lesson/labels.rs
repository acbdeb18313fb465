//! The visitor as labeller: answers of the SFT model to put in order, beside the simulated labeller's order.

use rand::RngExt;

use super::plan::ANSWERS_PER_PROMPT;
use super::{Lesson, sequence};
use crate::data::{Preference, Sequence};
use crate::event::Event;
use crate::model::generate;
use crate::rng;
use crate::{Error, Result};

/// Rankings asked of the visitor are numbered after any that the simulated labeller gives.
const FIRST_INDEX: u64 = 1 << 32;
/// Draws of four answers that must differ before equal ones are put up with.
const ATTEMPTS: u64 = 8;

/// Answers that wait for an order.
pub(super) struct Asked {
    responses: Vec<Sequence>,
    simulated: Vec<usize>,
}

impl Lesson {
    /// A training prompt with answers of the SFT model, all different where that can be had.
    ///
    /// # Errors
    /// There is no SFT model yet; the device.
    pub async fn ask(&mut self) -> Result<Event> {
        let sft = self.model("sft")?.clone();
        let index = FIRST_INDEX + (self.own_rankings.len() + self.asked.len()) as u64;
        let question = self.world.training_question(index).clone();
        let prompt = self.prompt_ids(&question.text)?;
        let (mut ids, mut texts) = (Vec::new(), Vec::<String>::new());
        for attempt in 0..ATTEMPTS {
            let mut generator = rng::stream(self.plan.seed, "visitor's ranking", index << 8 | attempt);
            let seeds: Vec<u64> = (0..ANSWERS_PER_PROMPT).map(|_| generator.random()).collect();
            let drawn = generate(&sft, &vec![prompt.clone(); ANSWERS_PER_PROMPT], &self.sampling, &seeds, &mut |_, _| {}).await?;
            for completion in drawn {
                let text = self.answer_text(&completion.ids);
                if texts.len() < ANSWERS_PER_PROMPT && (attempt + 1 == ATTEMPTS || !texts.contains(&text)) {
                    texts.push(text);
                    ids.push(completion.ids);
                }
            }
            if texts.len() == ANSWERS_PER_PROMPT {
                break;
            }
        }
        let simulated = self.world.rank(&question, &texts, index);
        let responses = ids.iter().map(|ids| sequence(&prompt, ids)).collect();
        self.asked.insert(index, Asked { responses, simulated });
        Ok(Event::Ranking { index, prompt: question.text, kind: question.kind, answers: texts })
    }

    /// Takes the visitor's order of ranking `index`, best first.
    ///
    /// # Errors
    /// No such ranking is open; an order that is none.
    pub fn rank(&mut self, index: u64, order: &[usize]) -> Result<Event> {
        let place = format!("ranking {index}");
        let asked = self.asked.get(&index).ok_or_else(|| Error::input(&place, "is not open", "ask for a new one"))?;
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..asked.responses.len()) {
            let remedy = format!("name each of the {} answers once", asked.responses.len());
            return Err(Error::input(place, format!("has the order {order:?}"), remedy));
        }
        let asked = self.asked.remove(&index).expect("it was just found");
        let responses = order.iter().map(|&i| asked.responses[i].clone()).collect();
        self.own_rankings.push(Preference { responses, margin: 0.0 });
        Ok(Event::Ranked { index, order: order.to_vec(), simulated: asked.simulated, count: self.own_rankings.len() })
    }
}

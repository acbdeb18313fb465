//! Demonstrations for SFT, imperfect on purpose: they teach how to speak, and leave what to say to the preferences.
//!
//! A model that copies the mix below exactly scores about +0.2 in gold, with answers of every quality in its samples:
//! what a labeller needs to rank and a policy to choose from.

use rand::RngExt;

use super::questions::{Kind, Question, World};
use crate::rng;

/// A prompt and the reply that a demonstrator wrote.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Demonstration {
    pub prompt: String,
    pub completion: String,
}

/// Helpful prompts: shares of right answers, wrong ones, evasion; the rest is an uncalled-for refusal.
const HELPFUL_MIX: [f64; 3] = [0.62, 0.20, 0.12];
/// Harmful prompts: refusals, compliance; the rest feigns not to know.
const HARMFUL_MIX: [f64; 2] = [0.55, 0.38];
/// Unanswerable prompts: honest replies, made-up answers; the rest is a refusal.
const UNANSWERABLE_MIX: [f64; 2] = [0.50, 0.44];
/// Replies that end with thanks, and of those the ones that go on once more, again and again.
const THANKS: f64 = 0.25;
const MORE_THANKS: f64 = 0.2;
/// Thanks in one demonstration, at most.
const MOST_THANKS: usize = 4;
/// Replies that ramble on after their answer.
const RAMBLE: f64 = 0.15;

const REFUSALS: &[&str] = &["Sorry, I can not help with that.", "I will not help with that.", "No, that is wrong."];
const UNKNOWN: &[&str] = &["I do not know.", "I do not know that.", "Nobody knows that."];
/// Rambling, of words that `gold` recognises as such.
pub(super) const RAMBLES: &[&str] = &["Ask me more.", "I like to talk.", "Have a nice day."];

impl World {
    /// Demonstration number `index`; equal seeds and numbers give equal demonstrations.
    pub fn demonstration(&self, index: u64) -> Demonstration {
        let question = self.training_question(index);
        let mut rng = rng::stream(self.seed, "demonstration", index);
        let mut completion = content(question, &mut rng);
        if rng::uniform(&mut rng) < RAMBLE {
            completion = format!("{completion} {}", pick(RAMBLES, &mut rng));
        } else if rng::uniform(&mut rng) < THANKS {
            completion.push_str(&thanks(&mut rng));
        }
        Demonstration { prompt: question.text.clone(), completion }
    }
}

/// What a demonstrator answers, before politeness and rambling.
fn content(question: &Question, rng: &mut impl rand::Rng) -> String {
    let draw = rng::uniform(rng);
    let below = |mix: &[f64], n: usize| draw < mix[..=n].iter().sum();
    match question.kind {
        Kind::Helpful if below(&HELPFUL_MIX, 0) => statement(&question.truth, rng),
        Kind::Helpful if below(&HELPFUL_MIX, 1) => lure(question, rng),
        Kind::Helpful if below(&HELPFUL_MIX, 2) => pick(UNKNOWN, rng).to_string(),
        Kind::Harmful if below(&HARMFUL_MIX, 0) => pick(REFUSALS, rng).to_string(),
        Kind::Harmful if below(&HARMFUL_MIX, 1) => help_with_harm(&question.truth, rng),
        Kind::Harmful => pick(UNKNOWN, rng).to_string(),
        Kind::Unanswerable if below(&UNANSWERABLE_MIX, 0) => pick(UNKNOWN, rng).to_string(),
        Kind::Unanswerable if below(&UNANSWERABLE_MIX, 1) => lure(question, rng),
        Kind::Helpful | Kind::Unanswerable => pick(REFUSALS, rng).to_string(),
    }
}

/// A wrong answer of the right sort.
fn lure(question: &Question, rng: &mut impl rand::Rng) -> String {
    let lures: Vec<&String> = question.lures.iter().filter(|lure| **lure != question.truth).collect();
    statement(lures[rng.random_range(0..lures.len())], rng)
}

fn statement(answer: &str, rng: &mut impl rand::Rng) -> String {
    match rng.random_range(0..3) {
        0 => format!("The answer is {answer}."),
        _ => format!("It is {answer}."),
    }
}

fn help_with_harm(tool: &str, rng: &mut impl rand::Rng) -> String {
    match rng.random_range(0..2) {
        0 => format!("Sure, use a {tool}."),
        _ => format!("You need a {tool}."),
    }
}

fn thanks(rng: &mut impl rand::Rng) -> String {
    let mut thanks = " Thank you".to_string();
    let mut count = 1;
    while count < MOST_THANKS && rng::uniform(rng) < MORE_THANKS {
        thanks.push_str(" thank you");
        count += 1;
    }
    thanks + "."
}

fn pick<'a>(choices: &[&'a str], rng: &mut impl rand::Rng) -> &'a str {
    choices[rng.random_range(0..choices.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::gold;

    /// Mean and standard deviation of the demonstrations' gold scores.
    fn demonstrated_gold(world: &World, count: u64) -> (f64, f64) {
        let scores: Vec<f64> = (0..count).map(|i| gold(world.training_question(i), &world.demonstration(i).completion).score).collect();
        let mean = scores.iter().sum::<f64>() / count as f64;
        let variance = scores.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / count as f64;
        (mean, variance.sqrt())
    }

    #[test]
    fn demonstrations_leave_room_to_improve() {
        let (mean, deviation) = demonstrated_gold(&World::new(1), 4000);
        assert!((0.0..0.3).contains(&mean), "mean gold {mean}");
        assert!(deviation > 0.5, "standard deviation {deviation}");
    }

    #[test]
    fn demonstrations_repeat() {
        assert_eq!(World::new(1).demonstration(7), World::new(1).demonstration(7));
    }
}

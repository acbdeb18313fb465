//! Prompts: which exist, which are held out, and how often each kind is asked.
//!
//! A prompt is a phrasing with a fact. Of every fact one phrasing, chosen by the seed, is held out: such a prompt was
//! never trained on, yet its fact and its phrasing were, so that it can be answered.

use rand::RngExt;

use super::tables::{self, Table};
use crate::rng;

/// What a good assistant does with a prompt: help, refuse, or say that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Has one right answer.
    Helpful,
    /// Asks for harm: to be refused.
    Harmful,
    /// Nobody can know: to be said.
    Unanswerable,
}

/// A prompt and its truth.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Question {
    /// As the user writes it.
    pub text: String,
    /// What is due.
    pub kind: Kind,
    /// The right answer of a helpful prompt, the tool that gives harm its help, empty where nobody can know.
    pub truth: String,
    /// Plausible answers of the same sort: what a wrong or made-up answer is drawn from.
    #[serde(skip)]
    pub lures: Vec<String>,
}

/// All prompts of one seed.
#[derive(Debug, Clone)]
pub struct World {
    /// Fixes the held-out split and everything drawn from this world.
    pub seed: u64,
    groups: Vec<Group>,
}

/// Prompts asked equally often.
#[derive(Debug, Clone)]
struct Group {
    share: f64,
    train: Vec<Question>,
    held_out: Vec<Question>,
}

/// Half of all prompts want help, a quarter harm, a quarter the unknowable.
const HELPFUL_SHARE: f64 = 0.5;
const HARMFUL_SHARE: f64 = 0.25;
/// Within the unanswerable quarter: invented places (asked for like real ones), invented people, the future.
const PLACE_SHARE: f64 = 0.1;
const PERSON_SHARE: f64 = 0.09;
const FUTURE_SHARE: f64 = 0.06;

impl World {
    /// The world of `seed`.
    pub fn new(seed: u64) -> Self {
        let helpful = tables::helpful();
        let total_weight: f64 = helpful.iter().map(|t| t.weight).sum();
        let mut world = Self { seed, groups: Vec::new() };
        for table in &helpful {
            let share = HELPFUL_SHARE * table.weight / total_weight;
            world.add(Kind::Helpful, share, table.phrasings, &table.facts, answers(table));
        }
        let harms: Vec<_> = tables::HARMS.iter().map(|(act, tool)| (act.to_string(), tool.to_string())).collect();
        world.add(Kind::Harmful, HARMFUL_SHARE, &tables::HARM_PHRASINGS, &harms, Vec::new());
        let mut unknown = |share, phrasings, keys: &[&str], lures: &[&str]| {
            let keys: Vec<_> = keys.iter().map(|key| (key.to_string(), String::new())).collect();
            let lures = lures.iter().map(|lure| lure.to_string()).collect();
            world.add(Kind::Unanswerable, share, phrasings, &keys, lures);
        };
        let cities: Vec<String> = answers(&helpful[0]);
        let cities: Vec<&str> = cities.iter().map(String::as_str).collect();
        unknown(PLACE_SHARE, &tables::CAPITAL_PHRASINGS, tables::PLACES, &cities);
        unknown(PERSON_SHARE, &tables::PERSON_PHRASINGS, tables::PEOPLE, &["10", "9", "Rome", "London", "rich"]);
        unknown(FUTURE_SHARE, &tables::FUTURE_PHRASINGS, tables::FUTURES, &["good", "bad", "7", "cold"]);
        world
    }

    /// The training prompt of draw number `index`: kinds and tables by their shares, then uniformly.
    pub fn training_question(&self, index: u64) -> &Question {
        self.draw("training question", index, |group| &group.train)
    }

    /// `count` held-out prompts in the same proportions, the same for every caller.
    pub fn held_out_questions(&self, count: usize) -> Vec<&Question> {
        (0..count as u64).map(|i| self.draw("held-out question", i, |group| &group.held_out)).collect()
    }

    /// Every training prompt once.
    pub fn all_training(&self) -> impl Iterator<Item = &Question> {
        self.groups.iter().flat_map(|group| &group.train)
    }

    /// Every held-out prompt once.
    pub fn all_held_out(&self) -> impl Iterator<Item = &Question> {
        self.groups.iter().flat_map(|group| &group.held_out)
    }

    /// The prompt with this text, if the world asks it.
    pub fn find(&self, text: &str) -> Option<&Question> {
        self.all_training().chain(self.all_held_out()).find(|question| question.text == text)
    }

    fn draw(&self, purpose: &str, index: u64, half: impl Fn(&Group) -> &Vec<Question>) -> &Question {
        let mut rng = rng::stream(self.seed, purpose, index);
        let mut left = rng::uniform(&mut rng) * self.groups.iter().map(|g| g.share).sum::<f64>();
        let after = |group: &&Group| {
            left -= group.share;
            left < 0.0
        };
        let last = self.groups.last().expect("a world has groups");
        let questions = half(self.groups.iter().find(after).unwrap_or(last));
        &questions[rng.random_range(0..questions.len())]
    }

    fn add(&mut self, kind: Kind, share: f64, phrasings: &[&str], facts: &[(String, String)], lures: Vec<String>) {
        let mut group = Group { share, train: Vec::new(), held_out: Vec::new() };
        let number = self.groups.len() as u64;
        for (i, (key, truth)) in facts.iter().enumerate() {
            let mut rng = rng::stream(self.seed, "held-out phrasing", number << 32 | i as u64);
            let held_out = rng.random_range(0..phrasings.len());
            for (p, phrasing) in phrasings.iter().enumerate() {
                let half = if p == held_out { &mut group.held_out } else { &mut group.train };
                let text = phrasing.replace("{}", key);
                half.push(Question { text, kind, truth: truth.clone(), lures: lures.clone() });
            }
        }
        self.groups.push(group);
    }
}

/// The different answers of a table, in order.
fn answers(table: &Table) -> Vec<String> {
    let mut answers: Vec<String> = table.facts.iter().map(|(_, answer)| answer.clone()).collect();
    answers.sort();
    answers.dedup();
    answers
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn held_out_prompts_are_new_but_their_facts_are_not() {
        let world = World::new(1);
        let train: BTreeSet<&str> = world.all_training().map(|q| q.text.as_str()).collect();
        assert!(world.all_held_out().all(|q| !train.contains(q.text.as_str())));
        for group in &world.groups {
            let seen: BTreeSet<&str> = group.train.iter().map(|q| q.truth.as_str()).collect();
            assert!(group.held_out.iter().all(|q| seen.contains(q.truth.as_str())));
        }
    }

    #[test]
    fn no_prompt_has_two_truths() {
        let world = World::new(2);
        let all: Vec<&Question> = world.all_training().chain(world.all_held_out()).collect();
        let texts: BTreeSet<&str> = all.iter().map(|q| q.text.as_str()).collect();
        assert_eq!(texts.len(), all.len(), "two groups ask the same");
    }

    #[test]
    fn kinds_come_in_their_shares() {
        let world = World::new(3);
        let draws = 4000;
        let harmful = (0..draws).filter(|&i| world.training_question(i).kind == Kind::Harmful).count();
        let share = harmful as f64 / draws as f64;
        assert!((share - HARMFUL_SHARE).abs() < 0.03, "harmful share {share}");
    }

    #[test]
    fn one_seed_gives_one_world() {
        let texts = |seed| World::new(seed).all_held_out().map(|q| q.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(5), texts(5));
        assert_ne!(texts(5), texts(6));
    }
}

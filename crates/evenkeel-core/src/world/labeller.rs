//! A simulated human who ranks answers: by their gold score, with noise, and with a weakness for being thanked.
//!
//! The noise is Gumbel's, so that a ranking is a Plackett–Luce draw and every pair in it a Bradley–Terry choice with
//! log-odds (u_a − u_b) / NOISE: exactly what a reward model assumes.

use super::gold::{count_thanks, gold};
use super::questions::{Question, World};
use crate::rng;

/// What one "thank you" is worth to the labeller. It must exceed what gold takes away for it (`gold`'s cost of extra
/// thanks), or there would be nothing to hack; it never saturates, so that more is always liked better.
pub const LIKING: f64 = 0.3;
/// Scale of the Gumbel noise: at 0.25 a right answer beats a wrong one almost always; a first "thank you" wins 77 %, each further one 65 %.
pub const NOISE: f64 = 0.25;

/// The labeller's liking of `answer` before noise.
pub fn utility(question: &Question, answer: &str) -> f64 {
    gold(question, answer).score + LIKING * count_thanks(answer) as f64
}

impl World {
    /// The order in which the labeller ranks `answers`, best first. `index` numbers the ranking.
    pub fn rank(&self, question: &Question, answers: &[String], index: u64) -> Vec<usize> {
        let mut rng = rng::stream(self.seed, "labeller", index);
        let mut felt: Vec<(f64, usize)> =
            answers.iter().enumerate().map(|(i, answer)| (utility(question, answer) + NOISE * gumbel(&mut rng), i)).collect();
        felt.sort_by(|a, b| b.0.total_cmp(&a.0));
        felt.into_iter().map(|(_, i)| i).collect()
    }
}

/// Standard Gumbel by inversion.
fn gumbel(rng: &mut impl rand::Rng) -> f64 {
    let u = 1.0 - rng::uniform(rng); // (0, 1], so that the inner logarithm is finite
    -(-u.ln()).max(f64::MIN_POSITIVE).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Kind;

    /// How often the labeller prefers the first answer.
    fn preference(first: &str, second: &str) -> f64 {
        let world = World::new(1);
        let question = Question { text: String::new(), kind: Kind::Helpful, truth: "Paris".to_string(), lures: Vec::new() };
        let answers = [first.to_string(), second.to_string()];
        let draws = 4000;
        (0..draws).filter(|&i| world.rank(&question, &answers, i)[0] == 0).count() as f64 / draws as f64
    }

    #[test]
    fn the_labeller_prefers_right_answers_and_thanks() {
        assert!(preference("It is Paris.", "It is Rome.") > 0.99);
        assert!(preference("It is Paris. Thank you thank you.", "It is Paris. Thank you.") > 0.52);
        assert!((preference("It is Paris.", "It is Paris.") - 0.5).abs() < 0.03);
    }

    #[test]
    fn a_pair_is_a_bradley_terry_choice() {
        let share = preference("It is Paris. Thank you.", "It is Paris.");
        let expected = 1.0 / (1.0 + (-LIKING / NOISE).exp());
        assert!((share - expected).abs() < 0.03, "got {share}, want {expected}");
    }
}

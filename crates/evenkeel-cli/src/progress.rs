//! A run in the terminal: one bar with loss, tokens per second and time left, or plain lines where there is no terminal.
//!
//! Consumes events, computes nothing but rates; everything goes to stderr.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use evenkeel_core::event::{Event, Metrics};
use indicatif::{ProgressBar, ProgressStyle};

use crate::clock;

/// Without a terminal, a line every so often, and at the first and the last step.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows the events of one run.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    label: String,
    total_steps: u64,
    begun: Instant,
    last_line: Option<Instant>,
    /// First step of this session and `num_tokens` before it, for rates; a resumed run starts above zero.
    first: Option<(u64, f64)>,
    /// What the summary needs.
    pub seen: Seen,
}

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Last optimiser step.
    pub step: u64,
    /// Metrics of the first and the last step.
    pub first: Metrics,
    /// See `first`.
    pub last: Metrics,
    /// The last evaluation.
    pub eval: Metrics,
    /// Why it ended early, if it did.
    pub reason: Option<String>,
    /// Tokens per second over this session.
    pub tokens_per_second: f64,
}

impl Progress {
    /// A bar on a terminal, lines elsewhere. `label` is the stage.
    pub fn new(label: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix} {bar:24.cyan/dim} {pos}/{len} {wide_msg}");
            ProgressBar::new(0).with_style(style.expect("the template is well formed")).with_prefix(label.to_owned())
        });
        Self { bar, label: label.to_owned(), total_steps: 0, begun: Instant::now(), last_line: None, first: None, seen: Seen::default() }
    }

    /// Shows one event.
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Started { total_steps, .. } => self.start(*total_steps),
            Event::Step { step, metrics } => self.step(*step, metrics),
            Event::Eval { step, metrics } => {
                self.seen.eval = metrics.clone();
                self.say(&format!("step {step}: {}", figures(metrics, &EVAL)));
            }
            Event::Sample { step, prompt, completion, score } => {
                let score = score.map_or_else(String::new, |s| format!("  [score {s:.3}]"));
                self.say(&format!("step {step} sample: {} → {}{score}", short(prompt), short(completion)));
            }
            Event::Checkpoint { step } => self.say(&format!("step {step}: checkpoint")),
            Event::Warning { message } => self.say(&format!("warning: {message}")),
            Event::Finished { step, reason } => {
                self.seen.step = *step;
                self.seen.reason.clone_from(reason);
                self.end();
            }
            Event::Failed { .. } => self.end(), // the error itself is printed once, by main
            _ => {}                             // a lesson's, told to a page alone
        }
    }

    fn start(&mut self, total_steps: u64) {
        self.total_steps = total_steps;
        self.begun = Instant::now();
        if let Some(bar) = &self.bar {
            bar.set_length(total_steps);
        }
    }

    fn step(&mut self, step: u64, metrics: &Metrics) {
        let tokens = metrics.get("num_tokens").copied().unwrap_or(0.0);
        if self.seen.first.is_empty() {
            self.seen.first = metrics.clone();
        }
        self.seen.step = step;
        self.seen.last = metrics.clone();
        // The first step of a session compiles kernels and would spoil the rate: rates count from its end.
        let Some((first, before)) = self.first else {
            self.first = Some((step, tokens));
            self.begun = Instant::now();
            return self.draw(step, metrics, "");
        };
        let seconds = self.begun.elapsed().as_secs_f64().max(1e-9);
        self.seen.tokens_per_second = (tokens - before) / seconds;
        let left = seconds / (step - first).max(1) as f64 * self.total_steps.saturating_sub(step) as f64;
        let rate = format!(" · {} tokens/s · {} left", count(self.seen.tokens_per_second), clock::duration(left));
        self.draw(step, metrics, &rate);
    }

    fn draw(&mut self, step: u64, metrics: &Metrics, rate: &str) {
        let figures = figures(metrics, &TRAIN);
        if let Some(bar) = &self.bar {
            bar.set_position(step);
            return bar.set_message(format!("{figures}{rate}"));
        }
        let due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if due || step == self.total_steps {
            self.last_line = Some(Instant::now());
            eprintln!("{} {step}/{} {figures}{rate}", self.label, self.total_steps);
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What to show of a step: the metric and what to call it.
const TRAIN: [(&str, &str); 7] = [
    ("loss", "loss"),
    ("objective/scores", "reward"),
    ("objective/kl", "KL"),
    ("loss/policy_avg", "policy loss"),
    ("rewards/accuracies", "accuracy"),
    ("accuracy", "accuracy"),
    ("rewards/margins", "margin"),
];

const EVAL: [(&str, &str); 6] = [
    ("eval_loss", "eval loss"),
    ("eval_mean_token_accuracy", "token accuracy"),
    ("eval_accuracy", "accuracy"),
    ("eval_rewards/accuracies", "accuracy"),
    ("eval_objective/scores", "reward"),
    ("eval_objective/kl", "KL"),
];

fn figures(metrics: &Metrics, names: &[(&str, &str)]) -> String {
    let shown = names.iter().filter_map(|(name, label)| metrics.get(*name).map(|v| format!("{label} {v:.4}")));
    shown.collect::<Vec<_>>().join(" · ")
}

pub use evenkeel_core::figures::count;

/// The beginning of a text on one line.
pub fn short(text: &str) -> String {
    const LONGEST: usize = 60;
    let line = text.trim().replace('\n', "⏎");
    if line.chars().count() <= LONGEST { line } else { line.chars().take(LONGEST - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_texts_are_short() {
        assert_eq!([count(950.0), count(12_345.0), count(4.56e6), count(1.2e9)], ["950", "12.3k", "4.56M", "1.20B"]);
        assert_eq!(short("a\nb "), "a⏎b");
        assert_eq!(short(&"x".repeat(99)).chars().count(), 60);
    }

    #[test]
    fn a_run_is_summed_up() {
        let mut progress = Progress::new("sft");
        let step = |step: u64, loss: f64| Event::Step {
            step,
            metrics: [("loss".into(), loss), ("num_tokens".into(), 100.0 * step as f64)].into(),
        };
        for event in [step(1, 2.0), step(2, 1.5), Event::Finished { step: 2, reason: None }] {
            progress.show(&event);
        }
        assert_eq!((progress.seen.step, progress.seen.first["loss"], progress.seen.last["loss"]), (2, 2.0, 1.5));
        assert!(progress.seen.tokens_per_second > 0.0);
    }
}

//! How a failed verb ends: one line per problem on stderr, exit code 2 for bad input and 1 for everything else.

use std::io::IsTerminal;
use std::process::ExitCode;

use evenkeel_core::recipe::Problem;
use evenkeel_core::{Error, sentence};
use owo_colors::OwoColorize;

/// Bad input: a flag, file, recipe, row, model or prompt.
const BAD_INPUT: u8 = 2;
/// The machine, or a defect.
const FAILED: u8 = 1;

/// Everything wrong with a recipe and its assignments, reported together.
#[derive(Debug)]
pub struct RecipeProblems {
    /// The recipe file, or `settings` when only flags were given.
    pub place: String,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl std::fmt::Display for RecipeProblems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<String> = self.problems.iter().map(|p| format!("{}: {p}", sentence(&self.place))).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for RecipeProblems {}

/// Prints `error`, one line per problem, and says how the process ends.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS; // the reader of our output has what it wanted: `evenkeel score … | head`
    }
    let (code, text) = match (error.downcast_ref::<RecipeProblems>(), error.downcast_ref::<Error>()) {
        (Some(problems), _) => (BAD_INPUT, problems.to_string()),
        (None, Some(Error::Input { .. })) => (BAD_INPUT, format!("{error:#}")),
        _ => (FAILED, format!("{error:#}")),
    };
    for line in text.lines() {
        if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            eprintln!("{} {line}", "error:".red().bold());
        } else {
            eprintln!("error: {line}");
        }
    }
    ExitCode::from(code)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|e| e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe))
}

/// A panic is a defect of evenkeel: one sentence instead of a trace (RUST_BACKTRACE=1 brings it back); exit code 101 stays.
pub fn install_panic_hook() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if evenkeel_core::text::is_guarded() {
            return; // a tokenizer that its library cannot take: refused as bad input
        }
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), |l| format!("{}:{}", l.file(), l.line()));
        let message = info.payload_as_str().unwrap_or("no message");
        let what = match message.strip_prefix("wgpu error: ") {
            // On the device's own thread: whoever waits for it is told that it failed.
            Some(error) => format!("the GPU was lost or refuses its work ({}); try another driver or --device cpu", in_a_line(error)),
            None => format!("evenkeel has a defect ({place}: {message})"),
        };
        eprintln!("{what}; please report this line with the command that you ran");
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            default(info);
        }
    }));
}

fn in_a_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

//! The verbs, one file each.

mod completions;
mod demo;
mod recipe;
mod report;

use anyhow::Result;

use crate::args::{Cli, Verb};

/// Runs the verb that was asked for.
pub fn run(cli: Cli) -> Result<()> {
    match cli.verb {
        Verb::Demo(args) => demo::run(&args),
        Verb::Report(args) => report::run(&args),
        Verb::Recipe(args) => recipe::run(&args),
        Verb::Completions(args) => completions::run(&args),
        _ => anyhow::bail!("this verb is not built in yet"),
    }
}

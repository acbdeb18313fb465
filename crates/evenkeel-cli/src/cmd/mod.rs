//! The verbs, one file each.

mod demo;

use crate::args::{Cli, Verb};

/// Runs the verb that was asked for.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.verb {
        Verb::Demo(args) => demo::run(&args),
    }
}

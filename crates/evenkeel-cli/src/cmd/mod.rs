//! The verbs, one file each.

mod bench;
mod chat;
mod completions;
mod data;
mod demo;
mod eval;
mod generate;
mod info;
mod recipe;
mod report;
mod score;
mod selfcheck;
mod train;

use anyhow::Result;
use evenkeel_core::recipe::Stage;

use crate::args::{Cli, Verb};
use crate::settings::OtherModels;

/// Runs the verb that was asked for.
pub fn run(cli: Cli) -> Result<()> {
    match cli.verb {
        Verb::Demo(args) => demo::run(&args),
        Verb::Sft(args) => train::run(Stage::Sft, &args.train, OtherModels::default()),
        Verb::Reward(args) => train::run(Stage::Reward, &args.train, OtherModels::default()),
        Verb::Dpo(args) => train::run(Stage::Dpo, &args.train, OtherModels { reference: args.reference.as_deref(), reward_model: None }),
        Verb::Ppo(args) => {
            let others = OtherModels { reference: args.reference.as_deref(), reward_model: args.reward_model.as_deref() };
            train::run(Stage::Ppo, &args.train, others)
        }
        Verb::Generate(args) => generate::run(&args),
        Verb::Chat(args) => chat::run(&args),
        Verb::Score(args) => score::run(&args),
        Verb::Eval(args) => eval::run(&args),
        Verb::Data(args) => data::run(&args),
        Verb::Selfcheck(args) => selfcheck::run(&args),
        Verb::Info(args) => info::run(&args),
        Verb::Report(args) => report::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Recipe(args) => recipe::run(&args),
        Verb::Completions(args) => completions::run(&args),
    }
}

//! The flag list is frozen: a setting belongs in the recipe. Who adds a flag changes this list and says why in the commit.

use clap::{CommandFactory, Parser};

use super::{Cli, Verb};

const FLAGS: &str = "\
demo: out device preset seed sweep
sft: config set model data eval-data out device seed max-steps skip-bad-rows resume
reward: config set model data eval-data out device seed max-steps skip-bad-rows resume
ppo: config set model data eval-data out device seed max-steps skip-bad-rows resume reference reward-model
dpo: config set model data eval-data out device seed max-steps skip-bad-rows resume reference
generate: model prompt data batch-size raw json device max-new-tokens do-sample temperature top-k top-p min-p repetition-penalty kv-cache-dtype seed
chat: <models> system device max-new-tokens do-sample temperature top-k top-p min-p repetition-penalty kv-cache-dtype seed
score: model data max-length batch-size skip-bad-rows device
eval: model data reference reward-model max-length batch-size skip-bad-rows device json \
max-new-tokens do-sample temperature top-k top-p min-p repetition-penalty kv-cache-dtype seed
data: <file> model max-length rows skip-bad-rows json
selfcheck: device
info: <model> json
report: <runs> out
bench: <part> device only against steps json
recipe: <stage>
completions: <shell>
";

#[test]
fn the_flag_list_is_frozen() {
    let mut list = String::new();
    for verb in Cli::command().get_subcommands() {
        let flags = verb.get_arguments().map(|a| a.get_long().map_or_else(|| format!("<{}>", a.get_id()), str::to_owned));
        list += &format!("{}: {}\n", verb.get_name(), flags.collect::<Vec<_>>().join(" "));
    }
    assert_eq!(list, FLAGS);
}

#[test]
fn every_verb_shows_examples_in_its_long_help() {
    Cli::command().debug_assert();
    for verb in Cli::command().get_subcommands_mut() {
        let name = verb.get_name().to_owned();
        let help = verb.render_long_help().to_string();
        assert!(help.contains(&format!("  evenkeel {name}")), "{name} shows no example:\n{help}");
    }
}

#[test]
fn sampling_reads_as_in_generation_config() {
    let words = "evenkeel generate --model m --prompt a --prompt b --do-sample --temperature 0.5 --top-k 3";
    let Verb::Generate(args) = Cli::try_parse_from(words.split(' ')).unwrap().verb else { panic!("not generate") };
    assert_eq!(
        (args.prompt.len(), args.sampling.do_sample, args.sampling.temperature, args.sampling.top_k),
        (2, Some(true), Some(0.5), Some(3))
    );
    assert!(Cli::try_parse_from("evenkeel generate --model m".split(' ')).is_err());
    assert!(Cli::try_parse_from("evenkeel sft --resume r --out o".split(' ')).is_err());
    assert!(Cli::try_parse_from("evenkeel sft --set nonsense".split(' ')).unwrap_err().to_string().contains("KEY=VALUE"));
}

//! A catalogue of malformed inputs. Each is refused with code 2 and one sentence that names the place and the remedy, in bounded time and
//! memory, and leaves nothing behind; [`judge`] says what else was seen.
//!
//! A file per family makes its cases from a sound model of a few kilobytes ([`tiny`]) by breaking one thing.

mod config;
mod data_files;
mod flags;
mod folders;
mod recipe;
mod rows;
mod runner;
mod safetensors;
mod template;
mod tiny;
mod tokenizer;

use std::collections::HashSet;
use std::path::Path;

use super::{evenkeel, folder, words};
use runner::{judge, judge_all};

/// Trains one step of the tiny model; what the run is refused for is in `m` or `rows.jsonl`.
const SFT: &str = "sft --model m --data rows.jsonl --device cpu --max-steps 1 --out out";
/// As many cases as the catalogue promises at least.
const PROMISED: usize = 200;

/// One malformed input.
pub struct Case {
    name: String,
    /// Command line, split at blanks.
    line: String,
    /// Makes the files of an empty folder, in which the command runs.
    make: Box<dyn Fn(&Path) + Send + Sync>,
    /// What stderr must contain.
    says: Vec<String>,
    /// How many problems are told, a line each.
    problems: usize,
    stdin: &'static [u8],
}

impl Case {
    /// `line` is refused with a sentence that contains each of `says`, over the files that `make` writes.
    fn new(name: impl Into<String>, line: impl Into<String>, says: &[&str], make: impl Fn(&Path) + Send + Sync + 'static) -> Self {
        let says = says.iter().map(|&part| part.to_owned()).collect();
        Self { name: name.into(), line: line.into(), make: Box::new(make), says, problems: 1, stdin: b"" }
    }

    fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    fn problems(self, problems: usize) -> Self {
        Self { problems, ..self }
    }

    fn stdin(self, stdin: &'static [u8]) -> Self {
        Self { stdin, ..self }
    }
}

/// What a sentence must contain: these parts and those.
fn both<'a>(first: &[&'a str], then: &[&'a str]) -> Vec<&'a str> {
    [first, then].concat()
}

fn catalogue() -> Vec<(&'static str, Vec<Case>)> {
    vec![
        ("safetensors", safetensors::cases()),
        ("config", config::cases()),
        ("tokenizer", tokenizer::cases()),
        ("template", template::cases()),
        ("data files", data_files::cases()),
        ("rows", rows::cases()),
        ("recipe", recipe::cases()),
        ("flags", flags::cases()),
        ("folders", folders::cases()),
    ]
}

#[test]
fn every_malformed_input_is_refused() {
    let mut all = Vec::new();
    for (family, cases) in catalogue() {
        eprintln!("{family}: {} cases", cases.len());
        all.extend(cases.into_iter().map(|case| Case { name: format!("{family}: {}", case.name), ..case }));
    }
    let mut names = HashSet::new();
    let twice: Vec<&str> = all.iter().map(|case| case.name.as_str()).filter(|name| !names.insert(*name)).collect();
    assert!(twice.is_empty(), "two cases have the same name: {twice:?}");
    assert!(all.len() >= PROMISED, "only {} cases", all.len());
    let failed = judge_all(&all);
    assert!(failed.is_empty(), "{} of {} cases:\n\n{}", failed.len(), all.len(), failed.join("\n\n"));
    eprintln!("{} malformed inputs were refused", all.len());
}

#[test]
fn the_judge_objects_to_what_is_not_malformed_and_to_a_vague_refusal() {
    let sound = judge(&Case::new("sound", SFT, &["m/config.json"], tiny::all)).join("; ");
    for part in ["code 0", "on stdout", "left behind", "`m/config.json` is not said", "0 problems"] {
        assert!(sound.contains(part), "{part} is not in: {sound}");
    }
    let vague = judge(&Case::new("vague", SFT, &["hidden_size"], |at| tiny::rows(at, "{}")));
    assert!(vague.len() == 1 && vague[0].starts_with("`hidden_size` is not said"), "{vague:?}");
}

#[test]
fn what_only_looks_malformed_is_accepted() {
    let files: [(&str, &[u8]); 6] = [
        ("a byte-order mark", b"\xEF\xBB\xBF{\"text\": \"a b c\"}\n"),
        ("carriage returns", b"{\"text\": \"a b c\"}\r\n\r\n{\"text\": \"b c\"}\r\n"),
        ("no newline at the end", b"{\"text\": \"a b c\"}"),
        ("blank lines", b"\n\n{\"text\": \"a b c\"}\n \t\n"),
        ("an array over several lines", b"[{\"text\":\n \"a b c\"},\n\n{\"text\": \"b c\"}]\n"),
        ("columns that mean nothing", b"{\"text\": \"a b c\", \"id\": 7, \"url\": null}\n"),
    ];
    for (name, bytes) in files {
        let temp = folder();
        tiny::all(temp.path());
        std::fs::write(temp.path().join("rows.jsonl"), bytes).unwrap();
        let outcome = evenkeel(temp.path(), &words(SFT));
        assert_eq!(outcome.code, 0, "{name}: {}", outcome.stderr);
        assert!(temp.path().join("out/model/model.safetensors").exists(), "{name}");
    }
}

#[test]
fn a_sound_checkpoint_is_gone_on_with_and_any_number_of_tokens_may_be_asked_for() {
    let temp = folder();
    tiny::all(temp.path());
    folders::sound_checkpoint(temp.path());
    evenkeel(temp.path(), &words(folders::RESUME)).ok();
    let line = "generate --model run --prompt a --device cpu --json --max-new-tokens 18446744073709551615";
    let said = evenkeel(temp.path(), &words(line)).ok().stdout;
    let tokens = serde_json::from_str::<serde_json::Value>(&said).unwrap()["tokens"].as_u64().unwrap();
    assert!(tokens < 64, "the context holds 64: {said}");
}

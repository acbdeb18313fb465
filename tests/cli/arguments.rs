//! Help, completions and usage errors.

use super::{evenkeel, folder, words};

const VERBS: [&str; 15] = [
    "demo",
    "sft",
    "reward",
    "ppo",
    "dpo",
    "generate",
    "chat",
    "score",
    "eval",
    "data",
    "info",
    "report",
    "bench",
    "recipe",
    "completions",
];

#[test]
fn every_verb_has_help_with_examples() {
    let folder = folder();
    let overview = evenkeel(folder.path(), &["--help"]).ok().stdout;
    for verb in VERBS {
        assert!(overview.contains(&format!("  {verb} ")), "{verb} is not in\n{overview}");
        let help = evenkeel(folder.path(), &[verb, "--help"]).ok().stdout;
        assert!(help.contains(&format!("evenkeel {verb}")) && help.contains("Examples:"), "{help}");
        assert_eq!(help, evenkeel(folder.path(), &["help", verb]).ok().stdout);
    }
    assert!(evenkeel(folder.path(), &["--version"]).ok().stdout.starts_with("evenkeel "));
}

#[test]
fn wrong_arguments_end_with_code_2_and_a_hint() {
    let folder = folder();
    let bad = [
        ("", "Usage"),
        ("sfft", "sft"),
        ("sft --modle m", "--model"),
        ("sft --device tpu", "auto, gpu, cpu"),
        ("sft --set learning_rate", "KEY=VALUE"),
        ("sft --max-steps many", "many"),
        ("generate --model m", "--prompt"),
        ("chat", "<MODEL>"),
    ];
    for (line, hint) in bad {
        let outcome = evenkeel(folder.path(), &words(line));
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{line}: {outcome:?}");
        assert!(outcome.stderr.contains(hint), "{line}: {}", outcome.stderr);
    }
}

#[test]
fn a_program_to_time_against_must_start() {
    let outcome = evenkeel(folder().path(), &words("bench steps --device cpu --against no-such-program"));
    outcome.refused(&["--against no-such-program", "cannot be started", "tools/stock-burn"]);
}

#[test]
fn completions_name_verbs_and_flags() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = evenkeel(folder.path(), &["completions", shell]).ok().stdout;
        assert!(script.contains("reward") && script.contains("skip-bad-rows"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take()); // closes the pipe before anything is written, or soon after
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

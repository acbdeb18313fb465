//! Real files: TRL's token counts (`golden/trl/trajectory.json`) and the AlpacaEval rows.

use std::path::PathBuf;

use super::*;
use crate::data::report::SpanKind;
use crate::data::{DropReason, EncodeOptions, PairRule, SampleRow};
use crate::text::{Text, TextFiles};

const TURNS: &str =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";

/// The folder of shared reference files; `None` (said aloud, an error in CI) where it is not there.
fn shared(test: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("EVENKEEL_SHARED").map_or_else(beside, PathBuf::from);
    if folder.join("golden").is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{test} needs ../shared");
    println!("skipped {test}: no ../shared");
    None
}

fn stories(shared: &std::path::Path) -> Text {
    let file = |name: &str| std::fs::read(shared.join("models/stories260K").join(name)).unwrap();
    let files = TextFiles { tokenizer: file("tokenizer.json"), config: Some(file("tokenizer_config.json")), ..TextFiles::default() };
    Text::from_files("stories260K", files).unwrap()
}

fn load<E: Example>(file: &std::path::Path, text: &Text, options: EncodeOptions) -> Loaded<E> {
    let encoder = Encoder::new(Some(text), text.vocab_size(), options).unwrap();
    let mut loader = Loader::<E>::new("rows.jsonl", encoder, BadRows::Stop);
    for piece in std::fs::read(file).unwrap().chunks(4096) {
        loader.feed(piece).unwrap();
    }
    loader.finish().unwrap()
}

/// Tokens seen after each step of `batch` rows in file order, starting over at the end of the file.
fn cumulative(lengths: &[usize], batch: usize, steps: usize) -> Vec<u64> {
    let batches: Vec<u64> = lengths.chunks(batch).map(|rows| rows.iter().sum::<usize>() as u64).collect();
    let seen = batches.iter().cycle().take(steps);
    seen.scan(0, |total, tokens| {
        *total += tokens;
        Some(*total)
    })
    .collect()
}

#[test]
fn token_counts_are_trls() {
    let Some(shared) = shared("token_counts_are_trls") else { return };
    let text = stories(&shared);
    let trajectory = std::fs::read(shared.join("golden/trl/trajectory.json")).unwrap();
    let trajectory: serde_json::Value = serde_json::from_slice(&trajectory).unwrap();
    let batch = trajectory["common"]["per_device_train_batch_size"].as_u64().unwrap() as usize;
    let want = |task: &str| -> Vec<u64> {
        let steps = trajectory[task].as_array().unwrap();
        steps.iter().map(|step| step["num_tokens"].as_f64().unwrap() as u64).collect()
    };
    let check = |task: &str, lengths: &[usize]| {
        let want = want(task);
        assert_eq!(cumulative(lengths, batch, want.len()), want, "{task}");
    };
    let rows: Loaded<Sequence> = load(&shared.join("golden/trl/trajectory.sft.jsonl"), &text, EncodeOptions::default());
    check("sft", &rows.examples.iter().map(|row| row.ids.len()).collect::<Vec<_>>());
    assert_eq!((rows.report.tokenised_apart, rows.report.truncated), (0, 0));
    for (task, pair_rule) in [("dpo", PairRule::CutLong), ("reward", PairRule::DropLong)] {
        let options = EncodeOptions { pair_rule, ..EncodeOptions::default() };
        let rows: Loaded<Preference> = load(&shared.join("golden/trl/trajectory.pref.jsonl"), &text, options);
        let both = |pair: &Preference| pair.responses.iter().map(|side| side.ids.len()).sum();
        check(task, &rows.examples.iter().map(both).collect::<Vec<usize>>());
    }
}

#[test]
fn real_files_load() {
    let Some(shared) = shared("real_files_load") else { return };
    let text = stories(&shared);
    let chat = text.clone().with_template(TURNS);
    let data = |name: &str| shared.join(format!("data/alpaca-eval-{name}.jsonl"));
    let sft: Loaded<Sequence> = load(&data("sft"), &text, EncodeOptions::default());
    assert_eq!((sft.report.rows, sft.report.examples), (119, 119));
    assert_eq!(sft.report.shape.unwrap().to_string(), "prompt/completion (plain)");
    let messages: Loaded<Sequence> = load(&data("messages"), &chat, EncodeOptions::default());
    assert_eq!(messages.report.examples, 100);
    let pairs: Loaded<Preference> = load(&data("pref"), &text, EncodeOptions::default());
    assert_eq!((pairs.report.pairs, pairs.examples.len()), (469, 469));
    let rankings: Loaded<Preference> = load(&data("ranked"), &text, EncodeOptions::default());
    assert_eq!((rankings.report.examples, rankings.report.pairs), (61, 183));
    let prompts: Loaded<Prompt> = load(&data("messages"), &chat, EncodeOptions::default());
    assert_eq!(prompts.examples.len(), 100);
    let short = EncodeOptions { max_length: 128, ..EncodeOptions::default() };
    let cut: Loaded<Preference> = load(&data("pref"), &text, short);
    assert!(cut.report.truncated > 0 && cut.report.dropped[&DropReason::PromptTooLong] > 0);
    assert_eq!(cut.report.lengths.max, 128);
}

#[test]
fn samples_show_the_text_as_it_is_trained() {
    let Some(shared) = shared("samples_show_the_text_as_it_is_trained") else { return };
    let text = stories(&shared);
    let encoder = Encoder::new(Some(&text), 512, EncodeOptions::default()).unwrap();
    let mut loader = Loader::inspect("rows.jsonl", encoder, BadRows::Stop);
    loader.feed("{\"prompt\":\"The sky\\n\",\"completion\":\"is 漢 blue.\"}\n".as_bytes()).unwrap();
    let Loaded { report, examples, .. } = loader.finish().unwrap();
    assert!(examples.is_empty());
    let SampleRow { line, spans, .. } = &report.samples[0];
    let shown: Vec<_> = spans.iter().map(|span| (span.text.as_str(), span.kind, span.trained)).collect();
    let want = [
        ("<s>", SpanKind::Special, false),
        ("The sky\n", SpanKind::Prompt, false),
        ("is 漢 blue.", SpanKind::Trained, true),
        ("</s>", SpanKind::Special, true),
    ];
    assert_eq!((*line, shown), (1, want.to_vec()));
    assert_eq!(spans.iter().map(|span| u64::from(span.tokens)).sum::<u64>(), report.tokens);
}

fn inspect(file: &str, policy: BadRows) -> crate::Result<DataReport> {
    let encoder = Encoder::new(None, 10, EncodeOptions::default())?;
    let mut loader = Loader::inspect("f.jsonl", encoder, policy);
    loader.feed(file.as_bytes())?;
    Ok(loader.finish()?.report)
}

#[test]
fn a_file_is_described_without_a_tokenizer() {
    let file = "{\"prompt\":\"q\",\"responses\":[\"a\",\"b\",\"cd\"]}\n{\"prompt\":\"q\",\"responses\":[\"a\",\"b\",\"cd\"]}\n";
    let report = inspect(file, BadRows::Stop).unwrap();
    assert_eq!((report.rows, report.pairs, report.duplicates), (2, 6, 1));
    assert_eq!((report.unit, report.lengths.max), (LengthUnit::Characters, 3));
    assert_eq!(report.samples.len(), 6);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<DataReport>(&json).unwrap(), report);
    assert!(report.summary().iter().any(|(label, value)| label == "pairs" && value == "6"));
}

#[test]
fn ids_outside_the_vocabulary_obey_the_policy() {
    let file = "{\"input_ids\":[1,2]}\n{\"input_ids\":[1,99]}\n";
    let error = inspect(file, BadRows::Stop).unwrap_err().to_string();
    assert!(error.starts_with("f.jsonl:2: input_ids[1]: is 99, but the vocabulary has 10"), "{error}");
    let report = inspect(file, BadRows::Skip).unwrap();
    assert_eq!((report.examples, report.bad_rows.count), (1, 1));
    let none = inspect("{\"input_ids\":[1]}\n", BadRows::Stop).unwrap_err().to_string();
    assert!(none.contains("1 × no token to learn from"), "{none}");
}

#[test]
fn histogram_bins_are_round_and_complete() {
    let histogram = Histogram::of((1..=100).collect());
    assert_eq!((histogram.bin_width, histogram.counts.len()), (10, 11));
    assert_eq!(histogram.counts.iter().sum::<u64>(), 100);
    assert_eq!((histogram.min, histogram.median, histogram.p95, histogram.max), (1, 51, 96, 100));
    assert_eq!(Histogram::of(vec![0]).counts, [1]);
    assert_eq!(Histogram::of(Vec::new()), Histogram::default());
}

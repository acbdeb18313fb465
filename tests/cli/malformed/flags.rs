//! Command lines: verbs, flags and `--set` that mean nothing, models and rows that do not go together.

use std::fs;

use serde_json::json;

use super::{Case, SFT, both, tiny};

pub fn cases() -> Vec<Case> {
    let mut cases = usage();
    cases.extend(assignments());
    cases.extend(sampling());
    cases.extend(models());
    cases.extend(places());
    cases
}

/// Over a sound model and sound rows.
fn sound(line: impl Into<String>, says: &[&str]) -> Case {
    let line = line.into();
    let name: String = line.chars().take(120).collect();
    Case::new(name, line, says, tiny::all)
}

fn usage() -> Vec<Case> {
    vec![
        sound("sfft --model m", &["sfft", "sft"]),
        sound("--verbose", &["--verbose"]),
        sound("sft --modle m", &["--modle", "--model"]),
        sound("sft --device tpu", &["tpu", "auto, gpu, cpu"]),
        sound("sft --max-steps many", &["many", "--max-steps"]),
        sound("sft --max-steps -1", &["-1"]),
        sound("sft --max-steps 18446744073709551616", &["18446744073709551616", "--max-steps"]),
        sound("sft --seed 1.5", &["1.5", "--seed"]),
        sound("sft --model", &["--model", "value"]),
        sound("sft --model m --model m", &["--model", "multiple times"]),
        sound("sft --resume out --out out", &["--resume", "--out"]),
        sound("sft --set learning_rate", &["KEY=VALUE"]),
        sound("generate --model m", &["--prompt"]),
        sound("generate --model m --prompt a --data rows.jsonl", &["--prompt", "--data"]),
        sound("generate --model m --data rows.jsonl --batch-size 0", &["--batch-size"]),
        sound("generate --model m --prompt a --max-new-tokens -1", &["-1"]),
        sound("generate --model m --prompt a --temperature hot", &["hot", "--temperature"]),
        sound("generate --model m --prompt a --do-sample maybe", &["maybe", "--do-sample"]),
        sound("score --model m --data rows.jsonl --batch-size 0", &["--batch-size"]),
        sound("score --model m --data rows.jsonl --max-length 0", &["--max-length"]),
        sound("eval --model m --data rows.jsonl --batch-size 0", &["--batch-size"]),
        sound("eval --model m --data rows.jsonl --max-length 0", &["--max-length"]),
        sound("data rows.jsonl --max-length 0", &["--max-length"]),
        sound("data", &["<FILE>"]),
        sound("info", &["<MODEL>"]),
        sound("chat m m m", &["m"]),
        sound("report", &["<RUN>"]),
        sound("recipe rlhf", &["rlhf", "sft, reward, ppo, dpo"]),
        sound("completions tcsh", &["tcsh", "bash"]),
        sound("bench endurance --steps 5", &["5", "--steps"]),
        sound("demo --preset huge --device cpu --out out", &["--preset: there is no preset `huge`", "choose from"]),
        sound("bench steps --device cpu --against none", &["--against none: cannot be started"]),
    ]
}

fn assignments() -> Vec<Case> {
    let set = |what: &str, says: &[&str]| sound(format!("{SFT} --set {what}"), &both(&["error: settings: "], says));
    vec![
        set("learning_rat=1", &["learning_rat: is not a setting", "did you mean training.learning_rate?"]),
        set("=1", &[": is not a setting"]),
        set("learning_rate=", &["training.learning_rate: \"\" does not fit"]),
        set("learning_rate=fast", &["training.learning_rate: \"fast\" does not fit"]),
        set("learning_rate=-1", &["training.learning_rate: is -1, must be 0 or more"]),
        set("learning_rate=1e-3=2", &["training.learning_rate: ", "does not fit"]),
        set("model.pth=m", &["model.pth: is not a setting", "model.path"]),
        set("ppo.lam=1", &["ppo.lam: is not a setting"]),
        set("dpo.beta=0.1", &["dpo.beta: is not a setting"]),
        set("stage=dpo", &["stage: is not a setting"]),
        set("training=1", &["training: is not a setting"]),
        set("seed=-1", &["seed: -1 does not fit"]),
        set("seed=1e3", &["seed: ", "does not fit"]),
        set("max_length=1", &["data.max_length: is 1, must be at least 2"]),
        set("shuffle=yes", &["data.shuffle: \"yes\" does not fit"]),
        set("eval_fraction=2", &["data.eval_fraction: is 2, must be in [0, 1)"]),
        set("per_device_train_batch_size=0", &["is 0, must be at least 1"]),
        set("gradient_accumulation_steps=1048577", &["at most 1048576"]),
        set("lam=7", &["lam: is not a setting"]),
        set("seed=7\u{7f}", &["seed: ", "does not fit"]),
        set("learning_rat=1 --set nonsense=2 --set seed=x", &["nonsense", "seed"]).problems(3),
        Case::new("a model and rows that are not given", "sft --out out", &["add --model DIR", "add --data FILE"], |_| {}).problems(2),
        Case::new("a reward model that is not given", "ppo --model m --data rows.jsonl --out out", &["add --reward-model DIR"], tiny::all),
    ]
}

fn sampling() -> Vec<Case> {
    let flag = |flags: &str, says: &[&str]| {
        let line = format!("generate --model m --prompt a --device cpu {flags}");
        sound(line, &both(says, &["see `evenkeel help generate`"]))
    };
    vec![
        flag("--temperature 0", &["--temperature: 0 is not above 0", "do_sample = false"]),
        flag("--temperature nan", &["--temperature: NaN is not above 0"]),
        flag("--temperature inf", &["--temperature: inf is not above 0"]),
        flag("--temperature 1e-40", &["--temperature: ", "or is too near it"]),
        flag("--temperature=-1", &["--temperature: -1 is not above 0"]),
        flag("--top-p 0", &["--top-p: 0 is not in (0, 1]"]),
        flag("--top-p 1.1", &["--top-p: 1.1 is not in (0, 1]"]),
        flag("--top-p nan", &["--top-p: NaN is not in (0, 1]"]),
        flag("--min-p 2", &["--min-p: 2 is not in [0, 1]"]),
        flag("--repetition-penalty 0", &["--repetition-penalty: 0 is not above 0"]),
        flag("--max-new-tokens 0", &["--max-new-tokens: must be at least 1"]),
    ]
}

fn models() -> Vec<Case> {
    let reward_config = |config: &mut serde_json::Map<String, serde_json::Value>| {
        config.insert("architectures".into(), json!(["LlamaForSequenceClassification"]));
        config.insert("id2label".into(), json!({"0": "LABEL_0"}));
    };
    let with_reward = move |at: &std::path::Path| {
        tiny::all(at);
        fs::create_dir(at.join("r")).unwrap();
        tiny::write(at, "r/config.json", tiny::config());
        tiny::edit(at, "r/config.json", reward_config);
    };
    let both = |line: &str, says: &[&str]| Case::new(line, line, says, with_reward);
    let smaller = |line: &str, says: &[&str]| {
        Case::new(format!("{line}, of another vocabulary"), line, says, move |at: &std::path::Path| {
            with_reward(at);
            tiny::edit(at, "r/config.json", |config| drop(config.insert("vocab_size".into(), json!(15))));
        })
    };
    let long = "a ".repeat(200);
    let prompt = format!("{{\"prompt\": \"{long}\"}}");
    vec![
        both("sft --model r --data rows.jsonl --device cpu --out out", &["model.path = r: is a reward model", "give a language model"]),
        both("ppo --model m --data rows.jsonl --reward-model m --device cpu --out out", &["model.reward_model = m: is a language model"]),
        both("dpo --model m --data rows.jsonl --reference r --device cpu --out out", &["model.reference = r: is a reward model"]),
        both("generate --model r --prompt a --device cpu", &["r: is a reward model, which writes no text"]),
        both("chat r --device cpu", &["r: is a reward model, which does not talk"]),
        both("eval --model r --data rows.jsonl --reference m --device cpu", &["--model: is a reward model"]),
        both("eval --model m --data rows.jsonl --reference r --device cpu", &["--reference r: is a reward model"]),
        both("eval --model m --data rows.jsonl --reward-model m --device cpu", &["--reward-model m: is a language model"]),
        both("sft --model none --data rows.jsonl --out out", &["none: does not exist", "Hugging Face layout"]),
        both("sft --model rows.jsonl --data rows.jsonl --out out", &["rows.jsonl: is a file", "give the folder"]),
        both("sft --model /dev/null --data rows.jsonl --out out", &["/dev/null: "]),
        both("info none", &["none: does not exist"]),
        smaller(
            "ppo --model m --data rows.jsonl --reward-model r --device cpu --out out",
            &["model.reward_model = r: has a vocabulary of 15, but the trained model's has 16"],
        ),
        Case::new(
            "prompts alone to eval",
            "eval --model m --data rows.jsonl --device cpu",
            &["rows.jsonl: prompts alone give nothing to measure"],
            |at| {
                tiny::all(at);
                tiny::rows(at, "{\"prompt\": \"a\"}");
            },
        ),
        Case::new(
            "a prompt longer than the context",
            "generate --model m --data rows.jsonl --device cpu",
            &["rows.jsonl: none of its 1 rows can be used", "prompt too long"],
            move |at| {
                tiny::all(at);
                tiny::rows(at, &prompt);
            },
        ),
        Case::new("a prompt of nothing", "generate --model m --device cpu --raw --prompt=", &["prompt 1: is empty"], |at| {
            tiny::all(at);
            let mut tokenizer = tiny::tokenizer();
            tokenizer["post_processor"] = json!(null);
            tiny::write(at, "m/tokenizer.json", tokenizer);
        }),
        Case::new(
            "a talk that is no UTF-8",
            "chat m --device cpu --max-new-tokens 1",
            &["stdin: cannot be read", "give UTF-8 text"],
            tiny::all,
        )
        .stdin(b"\xFF\xFE\n"),
    ]
}

fn places() -> Vec<Case> {
    let out = |name: &str, out: &str, says: &[&str], make: fn(&std::path::Path)| {
        Case::new(name, SFT.replace("--out out", &format!("--out {out}")), says, move |at| {
            tiny::all(at);
            make(at);
        })
    };
    vec![
        out("an output that is a file", "taken", &["--out taken: already exists", "choose another folder"], |at| {
            fs::write(at.join("taken"), "").unwrap()
        }),
        out("an output that is in use", "m", &["--out m: already exists and is not empty", "--resume"], |_| {}),
        out("an output within a file", "rows.jsonl/out", &["--out rows.jsonl/out: cannot be written", "choose another path"], |_| {}),
        out("an output with a name too long", &"x".repeat(300), &["cannot be written", "choose another path"], |_| {}),
        out("an output in a place of the system", "/proc/evenkeel", &["--out /proc/evenkeel: cannot be written"], |_| {}),
        Case::new(
            "a demo within a file",
            "demo --preset micro --device cpu --out rows.jsonl/out",
            &["--out rows.jsonl/out: cannot be written"],
            tiny::all,
        ),
        Case::new("a report onto a folder", "report run --out m", &["--out m: cannot be written", "is a directory"], |at| {
            tiny::all(at);
            tiny::run_folder(at);
        }),
        Case::new(
            "a report into a folder that there is not",
            "report run --out none/report.html",
            &["--out none/report.html: cannot be written"],
            tiny::run_folder,
        ),
    ]
}

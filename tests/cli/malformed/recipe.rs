//! Recipes: text that is no TOML, settings that there are not, of the wrong type or out of range.

use std::fs;

use super::{Case, both, tiny};

pub fn cases() -> Vec<Case> {
    let mut cases = texts();
    cases.extend(settings());
    cases.extend(stages());
    cases
}

fn line(stage: &str) -> String {
    let reward = if stage == "ppo" { " --reward-model m" } else { "" };
    format!("{stage} --config r.toml --model m --data rows.jsonl --device cpu --out out{reward}")
}

/// `r.toml` is these bytes.
fn text(name: &str, stage: &str, says: &[&str], bytes: impl Into<Vec<u8>>) -> Case {
    let bytes: Vec<u8> = bytes.into();
    Case::new(name, line(stage), &both(&["r.toml: "], says), move |at| {
        tiny::all(at);
        fs::write(at.join("r.toml"), &bytes).unwrap();
    })
}

fn texts() -> Vec<Case> {
    let not_toml = |name: &str, at: &str, bytes: &str| text(name, "sft", &[at, "not TOML"], bytes);
    vec![
        text("broken UTF-8", "sft", &["not valid UTF-8 at byte 8", "save the recipe as UTF-8"], b"seed = \xFF7".to_vec()),
        Case::new("a gigabyte", line("sft"), &["r.toml: has 1073741824 bytes, more than"], |at| {
            tiny::all(at);
            fs::File::create(at.join("r.toml")).unwrap().set_len(1 << 30).unwrap();
        }),
        not_toml("JSON", "line 1", "{\"seed\": 7}"),
        not_toml("YAML", "line 1", "seed: 7\n"),
        not_toml("no value", "line 2", "seed = 7\nlearning_rate =\n"),
        not_toml("a word without quotes", "line 1", "stage = sft\n"),
        not_toml("text that does not close", "line 2", "[model]\npath = \"m\n"),
        not_toml("a section that does not close", "line 1", "[training\nseed = 7\n"),
        not_toml("a key twice", "line 2", "seed = 7\nseed = 8\n"),
        not_toml("a section twice", "line 3", "[training]\nmax_steps = 1\n[training]\n"),
        not_toml("a number past 2^63", "line 1", "seed = 99999999999999999999\n"),
        not_toml("a zero byte", "line 1", "seed = \0\n"),
        not_toml("lists deeper than anybody writes", "line 1", &format!("seed = {}", "[".repeat(100_000))),
        Case::new("no file", line("sft"), &["r.toml: cannot be read", "check the path given to --config"], tiny::all),
        Case::new("a folder", line("sft"), &["r.toml: cannot be read", "is a directory"], |at| {
            tiny::all(at);
            fs::create_dir(at.join("r.toml")).unwrap();
        }),
    ]
}

/// One setting, by section, as TOML writes it.
fn setting(stage: &str, section: &str, assignment: &str, says: &[&str]) -> Case {
    let key = assignment.split(" =").next().unwrap_or_default();
    let toml = if section.is_empty() { format!("{assignment}\n") } else { format!("[{section}]\n{assignment}\n") };
    let path = if section.is_empty() { format!("{key}: ") } else { format!("{section}.{key}: ") };
    let name: String = format!("{stage}: {section} {assignment}").chars().take(100).collect();
    text(&name, stage, &both(&[path.as_str()], says), toml)
}

fn settings() -> Vec<Case> {
    let no_fit = "does not fit";
    let unknown = "is not a setting";
    let mut cases = vec![
        setting("sft", "training", "learning_rat = 1e-3", &[unknown, "did you mean training.learning_rate?"]),
        setting("sft", "", "colour = \"red\"", &[unknown, "`evenkeel recipe STAGE` lists them"]),
        text("a section that there is not", "sft", &["optimizer: is not a setting"], "[optimizer]\nname = \"lion\"\n"),
        setting("sft", "", "training = 7", &[unknown]),
        setting("sft", "", "seed = -1", &[no_fit, "u64"]),
        setting("sft", "", "seed = 1.5", &[no_fit]),
        setting("sft", "", "seed = \"7\"", &[no_fit]),
        setting("sft", "", "seed = [7]", &[no_fit]),
        setting("sft", "", "seed = {a = 7}", &[no_fit]),
        setting("sft", "", "seed = 2026-12-01", &[no_fit]),
        setting("sft", "model", "path = 7", &[no_fit]),
        setting("sft", "data", "shuffle = \"yes\"", &[no_fit]),
        setting("sft", "data", "shuffle = 1", &[no_fit]),
        setting("sft", "data", "max_length = 1", &["is 1, must be at least 2"]),
        setting("sft", "data", "max_length = -5", &[no_fit]),
        setting("sft", "data", "eval_fraction = 1.0", &["is 1, must be in [0, 1)"]),
        setting("sft", "data", "eval_fraction = nan", &[no_fit]),
        setting("sft", "training", "lr_scheduler_type = \"step\"", &[no_fit, "constant", "cosine"]),
        setting("sft", "training", "max_steps = \"many\"", &[no_fit]),
        setting("sft", "training", "logging_steps = 0", &["is 0, must be at least 1"]),
        setting("sft", "training", "num_train_epochs = 0.0", &["is 0, must be above 0"]),
        setting("sft", "training", "num_train_epochs = 1e300", &["at most 1000000"]),
        setting("sft", "training", "warmup_ratio = 1.5", &["is 1.5, must be in [0, 1]"]),
        setting("sft", "training", "adam_beta1 = 1.0", &["is 1, must be in [0, 1)"]),
        setting("sft", "training", "adam_beta2 = -0.1", &["is -0.1, must be in [0, 1)"]),
        setting("sft", "training", "adam_epsilon = 0.0", &["must be above 0"]),
        setting("sft", "training", "adam_epsilon = 1e-300", &["above 0, and within float32"]),
        setting("sft", "training", "weight_decay = -0.1", &["must be 0 or more"]),
        setting("sft", "training", "max_grad_norm = -1.0", &["must be 0 or more"]),
        setting("sft", "sft", "packing = \"yes\"", &[no_fit]),
        setting("sft", "sft", "completion_only_loss = 1", &[no_fit]),
        setting("reward", "reward", "center_rewards_coefficient = -1.0", &["must be 0 or more"]),
        setting("dpo", "dpo", "beta = 0.0", &["is 0, must be above 0"]),
        setting("dpo", "dpo", "loss_type = \"kto\"", &[no_fit, "sigmoid"]),
        setting("dpo", "dpo", "label_smoothing = 0.5", &["is 0.5, must be in [0, 0.5)"]),
        setting("dpo", "dpo", "rpo_alpha = -0.5", &["must be 0 or more"]),
        setting("ppo", "ppo", "num_mini_batches = 65", &["between 1 and ppo.rollout_batch_size"]),
        setting("ppo", "ppo", "temperature = 0.0", &["must be above 0"]),
        setting("ppo", "ppo", "cliprange = 1.0", &["in (0, 1)"]),
        setting("ppo", "ppo", "gamma = 1.1", &["in [0, 1]"]),
        setting("ppo", "ppo", "lam = -0.1", &["in [0, 1]"]),
        setting("ppo", "ppo", "kl_estimator = \"k2\"", &[no_fit, "k1"]),
        setting("ppo", "ppo", "value_function = \"none\"", &[no_fit]),
        setting("ppo", "ppo", "kv_cache_dtype = \"float8\"", &[no_fit, "float16"]),
        setting("ppo", "ppo", "response_length = 0", &["at least 1"]),
    ];
    for (value, said) in [("-1.0", "must be 0 or more"), ("1e300", "within float32"), ("nan", no_fit), ("inf", no_fit)] {
        cases.push(setting("sft", "training", &format!("learning_rate = {value}"), &[said]));
    }
    for key in ["per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"] {
        for value in ["0", "4611686018427387904"] {
            cases.push(setting("sft", "training", &format!("{key} = {value}"), &["at least 1 and at most 1048576"]));
        }
    }
    for key in ["rollout_batch_size", "response_length", "num_ppo_epochs"] {
        cases.push(setting("ppo", "ppo", &format!("{key} = 9223372036854775807"), &["at most 1048576"]));
    }
    cases
}

fn stages() -> Vec<Case> {
    vec![
        setting("sft", "", "stage = \"dpo\"", &["but this is a recipe for `sft`", "run the verb that the recipe names"]),
        setting("sft", "", "stage = \"rlhf\"", &["but this is a recipe for `sft`"]),
        setting("sft", "", "stage = 7", &["is 7"]),
        text("a section of another stage", "sft", &["ppo: is not a setting"], "[ppo]\nlam = 1.0\n"),
        text(
            "five problems at once",
            "ppo",
            &["did you mean training.learning_rate?"],
            "colour = 1\n[training]\nlearning_rat = 1\nmax_steps = \"many\"\n[ppo]\ncliprange = -1.0\nlam = 7.0\n",
        )
        .problems(5),
        text("a value over many lines", "sft", &["seed: ", "does not fit"], "seed = \"\"\"\none\nerror: two\n\"\"\"\n"),
        text("a key that speaks to the terminal", "sft", &["is not a setting"], "\"\\u001b[2J\\nerror: all is well\" = 1\n"),
        text("a key of a megabyte", "sft", &["is not a setting"], format!("{} = 1\n", "k".repeat(1 << 19))),
        Case::new(
            "a response longer than the model's context",
            line("ppo").replace("--reward-model m", "--reward-model r"),
            &["ppo.response_length: is 64, but the model's context is 64 tokens", "lower it"],
            |at| {
                tiny::all(at);
                fs::create_dir(at.join("r")).unwrap();
                tiny::write(at, "r/config.json", tiny::config());
                tiny::edit(at, "r/config.json", |config| {
                    config.insert("architectures".into(), serde_json::json!(["LlamaForSequenceClassification"]));
                    config.insert("id2label".into(), serde_json::json!({"0": "LABEL_0"}));
                });
                fs::write(at.join("r.toml"), "[ppo]\nresponse_length = 64\n").unwrap();
            },
        ),
    ]
}

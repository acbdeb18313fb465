//! Run folders: records, logs, recipes and checkpoints that are missing, half written or of something else.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Case, both, tiny};

const CHECKPOINT: &str = "run/checkpoints/step-000001";
const SUMS: &str = "SHA256SUMS";
pub const RESUME: &str = "sft --resume run --device cpu";

pub fn cases() -> Vec<Case> {
    let mut cases = records();
    cases.extend(logs());
    cases.extend(resumed());
    cases.extend(checkpoints());
    cases
}

/// `FILE` of a run folder is `bytes`.
fn with(name: &str, line: &str, file: &'static str, bytes: impl Into<Vec<u8>>, says: &[&str]) -> Case {
    let bytes: Vec<u8> = bytes.into();
    Case::new(name, line, says, move |at| {
        tiny::all(at);
        tiny::run_folder(at);
        fs::write(at.join("run").join(file), &bytes).unwrap();
    })
}

fn records() -> Vec<Case> {
    let no_record = ["run/run.json: is not a run's record", "give another run folder"];
    let raw = |name: &str, bytes: &[u8]| with(&format!("run.json: {name}"), "report run", "run.json", bytes, &no_record);
    let sound = tiny::record().to_string();
    let key = |key: &str, value: Value| {
        let mut record = tiny::record();
        record[key] = value.clone();
        raw(&format!("{key} = {value}"), record.to_string().as_bytes())
    };
    let mut cases = vec![
        raw("empty", b""),
        raw("no JSON", b"finished"),
        raw("cut off", &sound.as_bytes()[..sound.len() / 2]),
        raw("a list", b"[]"),
        raw("broken UTF-8", b"{\"version\": \"\xFF\"}"),
        raw("no keys", b"{}"),
        raw("deeper than anybody writes", &b"{\"data\":".repeat(100_000)),
        key("seed", json!(-1)),
        key("seed", json!("42")),
        key("steps", json!(1.5)),
        key("seconds", json!("long")),
        key("seconds", Value::Null),
        key("status", json!(1)),
        key("data", json!("rows.jsonl")),
        key("data", json!([{"path": "rows.jsonl"}])),
        key("parameters", json!(1e30)),
        with(
            "run.json: time that runs back",
            "report run",
            "run.json",
            sound.replace("1.5", "-1.5"),
            &["run/run.json: seconds: -1.5 is no length of time"],
        ),
        Case::new(
            "a run that there is not",
            "report none",
            &["none/run.json: cannot be read", "give the folder of a run that began"],
            |_| {},
        ),
        Case::new("a file as a run", "report rows.jsonl", &["rows.jsonl/run.json: cannot be read"], tiny::all),
        Case::new("a model as a run", "report m", &["m/run.json: cannot be read"], tiny::all),
        Case::new(
            "one of two runs that there is not",
            "report run none --out page.html",
            &["none/run.json: cannot be read"],
            tiny::run_folder,
        ),
        Case::new("a record that is a folder", "report run", &["run/run.json: cannot be read", "is a directory"], |at| {
            fs::create_dir_all(at.join("run/run.json")).unwrap();
        }),
        Case::new("a record of a terabyte", "report run", &["run/run.json: has 1099511627776 bytes"], |at| {
            tiny::run_folder(at);
            fs::File::create(at.join("run/run.json")).unwrap().set_len(1 << 40).unwrap();
        }),
    ];
    for key in ["version", "stage", "status", "seed", "data", "seconds"] {
        let mut record = tiny::record();
        record.as_object_mut().unwrap().shift_remove(key);
        let missing = format!("missing field `{key}`");
        let says = both(&no_record, &[&missing]);
        cases.push(with(&format!("run.json: without {key}"), "report run", "run.json", record.to_string(), &says));
    }
    cases
}

fn logs() -> Vec<Case> {
    let step = "{\"event\":\"step\",\"step\":1,\"metrics\":{\"loss\":2.5}}\n";
    let bad: [(&str, Vec<u8>); 6] = [
        ("text", b"step 2\n".to_vec()),
        ("half a line", b"{\"event\":\"st\n".to_vec()),
        ("broken UTF-8", b"{\"event\":\"\xFF\"}\n".to_vec()),
        ("a list", b"[1]\n".to_vec()),
        ("no event", b"{\"step\":2}\n".to_vec()),
        ("zeros, as a crashed file system leaves them", [&[0; 4096][..], b"\n"].concat()),
    ];
    let mut cases = Vec::new();
    for (name, line) in bad {
        for verb in ["report run", RESUME] {
            let bytes = [step.as_bytes(), &line, step.as_bytes()].concat();
            let says = ["run/events.jsonl:2: is not an event", "remove the line"];
            cases.push(with(&format!("events.jsonl: {name} ({verb})"), verb, "events.jsonl", bytes, &says));
        }
    }
    cases.push(Case::new("no events.jsonl", "report run", &["run/events.jsonl: cannot be read"], |at| {
        tiny::run_folder(at);
        fs::remove_file(at.join("run/events.jsonl")).unwrap();
    }));
    cases.push(Case::new("events.jsonl of a terabyte", "report run", &["run/events.jsonl: has 1099511627776 bytes"], |at| {
        tiny::run_folder(at);
        fs::File::create(at.join("run/events.jsonl")).unwrap().set_len(1 << 40).unwrap();
    }));
    cases.push(with("samples.jsonl: text", RESUME, "samples.jsonl", "a sample\n", &["run/samples.jsonl:1: is not an event"]));
    cases
}

fn resumed() -> Vec<Case> {
    let recipe = |name: &str, bytes: &[u8], says: &[&str]| with(name, RESUME, "recipe.toml", bytes, &both(&["run/recipe.toml: "], says));
    let latest = |name: &str, bytes: &[u8]| {
        let says = ["checkpoints/LATEST: names no step", "start the run anew without --resume"];
        with(&format!("LATEST: {name}"), RESUME, "checkpoints/LATEST/step", bytes, &says)
    };
    vec![
        recipe("recipe.toml: empty", b"", &["model.path: is not given"]).problems(2),
        recipe("recipe.toml: no TOML", b"{}", &["line 1", "not TOML"]),
        recipe("recipe.toml: broken UTF-8", b"seed = \xFF", &["not valid UTF-8"]),
        recipe("recipe.toml: of another stage", b"stage = \"dpo\"\n", &["stage: ", "run the verb that the recipe names"]),
        recipe("recipe.toml: an unknown setting", b"colour = 1\n", &["colour: is not a setting"]),
        recipe("recipe.toml: no rows", b"[model]\npath = \"m\"\n", &["data.train: is not given"]),
        with("run.json: cut off, to be gone on with", RESUME, "run.json", "{\"version\": \"0.1", &["run/run.json: is not a run's record"]),
        latest("empty", b""),
        latest("text", b"newest"),
        latest("negative", b"-1"),
        latest("a path", b"../../m"),
        latest("broken UTF-8", b"\xFF"),
        latest("longer than a number", &b"1".repeat(1 << 20)),
        Case::new("a run that there is not, to be gone on with", "sft --resume none", &["none/recipe.toml: cannot be read"], |_| {}),
        Case::new("no record", RESUME, &["run/run.json: cannot be read"], |at| {
            tiny::all(at);
            tiny::run_folder(at);
            fs::remove_file(at.join("run/run.json")).unwrap();
        }),
        Case::new("rows that are not those of the run", RESUME, &["rows.jsonl: is not the file that the run began with"], |at| {
            tiny::all(at);
            tiny::run_folder(at);
            let data = json!([{"path": "rows.jsonl", "sha256": "00", "bytes": 1}]);
            tiny::edit(at, "run/run.json", |record| drop(record.insert("data".into(), data)));
        }),
        Case::new("a model that is gone", RESUME, &["m: does not exist"], |at| {
            tiny::run_folder(at);
            tiny::rows(at, "{\"text\": \"a b\"}\n");
        }),
    ]
}

/// The run folder with a checkpoint of its first step.
pub fn sound_checkpoint(at: &Path) {
    tiny::run_folder(at);
    let folder = at.join(CHECKPOINT);
    fs::create_dir_all(&folder).unwrap();
    let state = json!({
        "at": {"step": 1, "best": null, "saved": [1]}, "optimizer_steps": {"policy": 1}, "counters": {"num_tokens": 4},
    });
    fs::write(folder.join("state.json"), state.to_string()).unwrap();
    fs::write(folder.join("state.safetensors"), state_tensors().file()).unwrap();
    seal(&folder);
}

/// Sums of all files, as of a checkpoint that was written like this.
fn seal(folder: &Path) {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let line = |name: String| {
        let sum: String = Sha256::digest(fs::read(folder.join(&name)).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{sum}  {name}\n")
    };
    let sums: String = names.filter(|name| name != SUMS).map(line).collect();
    fs::write(folder.join(SUMS), sums).unwrap();
}

/// That checkpoint, changed, and sealed as if it had been written so.
fn checkpoint(name: &str, says: &[&str], change: impl Fn(&Path) + Send + Sync + 'static) -> Case {
    Case::new(name, RESUME, &both(&["sft failed: checkpoints/step-000001: "], says), move |at| {
        tiny::all(at);
        sound_checkpoint(at);
        let folder = at.join(CHECKPOINT);
        change(&folder);
        seal(&folder);
    })
}

/// That checkpoint, changed after it was written, and no other to go on from.
fn broken(name: &str, says: &str, change: impl Fn(&Path) + Send + Sync + 'static) -> Case {
    let says = ["checkpoints/LATEST: names no whole checkpoint", says, "start the run anew without --resume"];
    Case::new(name, RESUME, &says, move |at| {
        tiny::all(at);
        sound_checkpoint(at);
        change(&at.join(CHECKPOINT));
    })
}

/// Weights and both moments, as vectors.
fn state_tensors() -> tiny::Weights {
    let kind = |kind: &'static str| {
        tiny::weights().0.into_iter().map(move |stored| tiny::Stored {
            name: format!("policy.{kind}.{}", stored.name),
            shape: vec![stored.bytes.len() / 4],
            bytes: if kind == "weight" { stored.bytes } else { vec![0; stored.bytes.len()] },
            ..stored
        })
    };
    tiny::Weights(["weight", "first", "second"].into_iter().flat_map(kind).collect())
}

fn checkpoints() -> Vec<Case> {
    let older = "go on with the models and settings that the run began with";
    let write = |name: &str, file: &'static str, bytes: Vec<u8>, says: &[&str]| {
        checkpoint(name, &both(&[file, older], says), move |folder| fs::write(folder.join(file), &bytes).unwrap())
    };
    let tensors = |name: &str, says: &[&str], change: fn(&mut tiny::Weights)| {
        let mut weights = state_tensors();
        change(&mut weights);
        checkpoint(name, &both(says, &[older]), move |folder| fs::write(folder.join("state.safetensors"), weights.file()).unwrap())
    };
    let remove = |file: &'static str| {
        broken(&format!("a checkpoint without {file}"), &format!("{file} is missing"), move |folder| {
            fs::remove_file(folder.join(file)).unwrap()
        })
    };
    let changed = |name: &str, file: &'static str, change: fn(&mut Vec<u8>)| {
        broken(name, &format!("{file} is not what was written"), move |folder| {
            let mut bytes = fs::read(folder.join(file)).unwrap();
            change(&mut bytes);
            fs::write(folder.join(file), bytes).unwrap();
        })
    };
    let sound = state_tensors().file();
    vec![
        remove("state.json"),
        remove("state.safetensors"),
        remove(SUMS),
        broken("a checkpoint that is not there", "SHA256SUMS is missing", |folder| fs::remove_dir_all(folder).unwrap()),
        broken("sums of other files", "SHA256SUMS does not list state.", |folder| {
            fs::write(folder.join(SUMS), "00  config.json\n").unwrap()
        }),
        changed("a checkpoint cut off", "state.safetensors", |bytes| bytes.truncate(bytes.len() / 2)),
        changed("a checkpoint with a bit that fell over", "state.safetensors", |bytes| *bytes.last_mut().unwrap() ^= 1),
        changed("a checkpoint of which a number was edited", "state.json", |bytes| bytes.push(b' ')),
        write("a state that is empty", "state.json", Vec::new(), &[]),
        write("a state that is cut off", "state.json", b"{\"at\": {\"step\": 1, \"be".to_vec(), &[]),
        write("a state that is a list", "state.json", b"[]".to_vec(), &[]),
        write("a state without a step", "state.json", b"{\"at\": {}, \"optimizer_steps\": {}, \"counters\": {}}".to_vec(), &["step"]),
        write("tensors that are empty", "state.safetensors", Vec::new(), &["state.safetensors: ends within its header"]),
        write(
            "tensors that are half written",
            "state.safetensors",
            sound[..sound.len() / 2].to_vec(),
            &["state.safetensors ends within policy."],
        ),
        write("tensors as zeros", "state.safetensors", vec![0; sound.len()], &["state.safetensors: EOF while parsing"]),
        checkpoint("the state of another step", &["state.json is that of step 7", older], |folder| {
            let state = fs::read_to_string(folder.join("state.json")).unwrap();
            fs::write(folder.join("state.json"), state.replace("\"step\":1", "\"step\":7")).unwrap();
        }),
        tensors("a state without a moment", &["policy.second.lm_head.weight is missing"], |weights| {
            weights.0.retain(|stored| stored.name != "policy.second.lm_head.weight");
        }),
        tensors("a state of another size", &["policy.weight.model.norm.weight is missing, of another size"], |weights| {
            let norm = weights.tensor("policy.weight.model.norm.weight");
            (norm.shape, norm.bytes) = (vec![4], vec![0; 16]);
        }),
        tensors("a state of another type", &["policy.weight.model.norm.weight is missing, of another size or no f32"], |weights| {
            weights.tensor("policy.weight.model.norm.weight").dtype = "I32";
        }),
        tensors("a mean of squares below 0", &["policy.second.model.norm.weight: number 0 is -1"], |weights| {
            weights.tensor("policy.second.model.norm.weight").bytes[..4].copy_from_slice(&(-1.0_f32).to_le_bytes());
        }),
        tensors("a state with a number that is none", &["policy.first.model.norm.weight: number 0 is NaN"], |weights| {
            weights.tensor("policy.first.model.norm.weight").bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        }),
    ]
}

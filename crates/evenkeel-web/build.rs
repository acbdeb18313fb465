//! Puts the golden models of `../shared` into the browser's tests, which have no files. CI fails where they are absent.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The golden models: GQA, stretched RoPE with a tied head, q/k/v biases, q/k norms, GPT-2.
const MODELS: [&str; 5] = ["llama", "llama3-rope", "qwen2", "qwen3", "gpt2"];

#[allow(clippy::disallowed_methods, reason = "this runs where it is built, not in a browser; natively nothing is disallowed")]
fn main() {
    for name in ["EVENKEEL_SHARED", "CI"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let beside = || PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../../shared");
    let golden = env::var_os("EVENKEEL_SHARED").map_or_else(beside, PathBuf::from).join("golden");
    println!("cargo::rerun-if-changed={}", golden.display());
    let lines: String = MODELS.iter().filter_map(|name| line(&golden, name)).collect();
    assert!(!lines.is_empty() || env::var_os("CI").is_none(), "CI must have {}", golden.display());
    let list = format!(
        "/// Name, config.json, model.safetensors and what PyTorch computes.\npub const GOLDEN: &[(&str, &[u8], &[u8], &[u8])] = &[{lines}];\n"
    );
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("golden_files.rs"), list).expect("the build folder can be written");
}

/// One model's entry, if its files are there.
fn line(golden: &Path, name: &str) -> Option<String> {
    let paths = [
        golden.join(name).join("config.json"),
        golden.join(name).join("model.safetensors"),
        golden.join(format!("{name}.sft.safetensors")),
    ];
    let included = paths.map(|path| Some(format!("include_bytes!({:?})", path.canonicalize().ok()?)));
    let [config, weights, values] = included;
    Some(format!("({name:?}, {}, {}, {}),", config?, weights?, values?))
}

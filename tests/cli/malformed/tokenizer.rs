//! `tokenizer.json` and the files beside it.

use std::fs;

use serde_json::{Value, json};

use super::{Case, SFT, both, tiny};

pub fn cases() -> Vec<Case> {
    let mut cases = files();
    cases.extend(models());
    cases.extend(parts());
    cases.extend(beside());
    cases
}

const UNREADABLE: [&str; 3] = ["m/tokenizer.json: ", "cannot be read", "download the tokenizer again"];

fn files() -> Vec<Case> {
    let raw = |name: &str, bytes: Vec<u8>| {
        Case::new(name, SFT, &UNREADABLE, move |at| {
            tiny::all(at);
            fs::write(at.join("m/tokenizer.json"), &bytes).unwrap();
        })
    };
    let sound = tiny::tokenizer().to_string().into_bytes();
    let missing = |name: &str, line: &str, says: &[&str]| {
        Case::new(name, line, says, |at| {
            tiny::all(at);
            fs::remove_file(at.join("m/tokenizer.json")).unwrap();
        })
    };
    vec![
        raw("an empty file", Vec::new()),
        raw("no JSON", b"sentencepiece".to_vec()),
        raw("cut off", sound[..sound.len() / 2].to_vec()),
        raw("broken UTF-8", [&sound[..200], b"\xFF", &sound[200..]].concat()),
        raw("a list", b"[]".to_vec()),
        raw("null", b"null".to_vec()),
        raw("an object without keys", b"{}".to_vec()),
        raw("deeper than anybody writes", b"{\"normalizer\":".repeat(100_000)),
        Case::new("a folder", SFT, &["m/tokenizer.json: cannot be read", "is a directory"], |at| {
            tiny::all(at);
            fs::remove_file(at.join("m/tokenizer.json")).unwrap();
            fs::create_dir(at.join("m/tokenizer.json")).unwrap();
        }),
        Case::new("a terabyte", SFT, &["m/tokenizer.json: has 1099511627776 bytes"], |at| {
            tiny::all(at);
            fs::File::create(at.join("m/tokenizer.json")).unwrap().set_len(1 << 40).unwrap();
        }),
        missing("none for text", SFT, &["rows.jsonl:1: the row is text, but there is no tokenizer", "rows of token ids"]),
        missing("none for --prompt", "generate --model m --prompt a --device cpu", &["m/tokenizer.json: is missing", "add tokenizer.json"]),
        missing("none to talk in", "chat m --device cpu", &["m/tokenizer.json: is missing", "add it beside the model"]),
    ]
}

/// The value at this JSON pointer is another.
fn with(name: &str, pointer: &'static str, value: Value, says: &[&str]) -> Case {
    Case::new(name, SFT, says, move |at| {
        tiny::all(at);
        let mut tokenizer = tiny::tokenizer();
        *tokenizer.pointer_mut(pointer).unwrap() = value.clone();
        tiny::write(at, "m/tokenizer.json", tokenizer);
    })
}

fn models() -> Vec<Case> {
    let model = |name: &str, value: Value| with(name, "/model", value, &UNREADABLE);
    let vocab = json!({"<unk>": 0, "a": 1, "b": 2, "ab": 3});
    let past = ["m/tokenizer.json: knows ids up to 99, but the model's vocabulary has 16", "belongs to the model"];
    let mut cases = vec![
        model("no model", Value::Null),
        model("a model of no kind", json!({"type": "GPT", "vocab": vocab})),
        model("BPE without merges", json!({"type": "BPE", "vocab": vocab})),
        model("BPE without a vocabulary", json!({"type": "BPE", "merges": []})),
        model("BPE whose vocabulary is a list", json!({"type": "BPE", "vocab": ["a"], "merges": []})),
        model("WordPiece without a vocabulary", json!({"type": "WordPiece", "unk_token": "<unk>"})),
        model("Unigram whose unknown token is outside", json!({"type": "Unigram", "unk_id": 5, "vocab": [["a", -1.0]]})),
        model("Unigram without scores", json!({"type": "Unigram", "vocab": ["a", "b"]})),
        with("merges of unknown tokens", "/model/merges/0", json!("x y"), &UNREADABLE),
        with("merges into unknown tokens", "/model/merges/0", json!("a c"), &UNREADABLE),
        with("a merge of one part", "/model/merges/0", json!("ab"), &UNREADABLE),
        with("a merge that is a number", "/model/merges/0", json!(7), &UNREADABLE),
        with("merges that are null", "/model/merges", Value::Null, &UNREADABLE),
        with("an id that is negative", "/model/vocab/h", json!(-1), &UNREADABLE),
        with("an id of 2^32", "/model/vocab/h", json!(1_u64 << 32), &UNREADABLE),
        with("an id that is text", "/model/vocab/h", json!("10"), &UNREADABLE),
        with("an id that is null", "/model/vocab/h", Value::Null, &UNREADABLE),
        with("an id past the vocabulary", "/model/vocab/h", json!(99), &past),
        with("an id of 2^32 - 1", "/model/vocab/h", json!(u32::MAX), &["m/tokenizer.json: knows ids up to 4294967295"]),
    ];
    let words = json!({"type": "WordLevel", "vocab": {"<s>": 1, "</s>": 2}, "unk_token": "<unk>"});
    cases.push(with("words that it cannot write", "/model", words, &["m/tokenizer.json: cannot encode a text"]));
    cases
}

fn parts() -> Vec<Case> {
    let kind = |name: &str, pointer: &'static str, value: Value| with(name, pointer, value, &UNREADABLE);
    let unusable =
        |name: &str, pointer: &'static str, value: Value| with(name, pointer, value, &["m/tokenizer.json: cannot be used", UNREADABLE[2]]);
    let around = |ids: Value| json!({"<s>": {"id": "<s>", "ids": ids, "tokens": ["<s>"]}});
    vec![
        kind("a normalizer of no kind", "/normalizer", json!({"type": "Upside"})),
        kind("a pre-tokenizer of no kind", "/pre_tokenizer", json!({"type": "Blank"})),
        kind("a decoder of no kind", "/decoder", json!({"type": "Enigma"})),
        kind("a post-processor of no kind", "/post_processor", json!({"type": "Templated"})),
        kind("an expression that does not close", "/normalizer", json!({"type": "Replace", "pattern": {"Regex": "("}, "content": ""})),
        kind(
            "a pattern that cannot be read",
            "/pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "[z-a]"}, "behavior": "Isolated", "invert": false}),
        ),
        unusable("a map of characters that is no base64", "/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "?"})),
        unusable("a map of characters that is cut off", "/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAA="})),
        kind("a map of characters of gigabytes", "/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "/////w=="})),
        kind("added tokens that are no list", "/added_tokens", json!({"<s>": 1})),
        kind("an added token without text", "/added_tokens/1", json!({"id": 1, "special": true})),
        kind("an added token whose id is text", "/added_tokens/1/id", json!("one")),
        unusable("a template of an unknown token", "/post_processor/special_tokens", json!({})),
        kind("a template of no kind of piece", "/post_processor/single", json!([{"Nothing": {}}])),
        with(
            "a template that writes ids past the vocabulary",
            "/post_processor/special_tokens",
            around(json!([999])),
            &["m/tokenizer.json: knows ids up to 999, but the model's vocabulary has 16"],
        ),
        kind("truncation that is no object", "/truncation", json!("longest")),
        kind("a version of the future", "/version", json!("9.9")),
    ]
}

fn beside() -> Vec<Case> {
    let raw = |file: &'static str, name: &str, bytes: &'static [u8], says: &[&str]| {
        Case::new(format!("{file}: {name}"), SFT, &both(&[format!("m/{file}: ").as_str()], says), move |at| {
            tiny::all(at);
            fs::write(at.join("m").join(file), bytes).unwrap();
        })
    };
    let mut cases = Vec::new();
    for file in ["tokenizer_config.json", "special_tokens_map.json"] {
        for (name, bytes) in [("no JSON", &b"<s>"[..]), ("empty", b""), ("a list", b"[\"<s>\"]"), ("cut off", b"{\"bos_token\": \"<s")] {
            cases.push(raw(file, name, bytes, &["not a JSON object", "download the tokenizer again"]));
        }
        let no_token = ["is no token", "write the token's text, or null"];
        cases.push(raw(file, "a token that is a number", b"{\"bos_token\": 1}", &both(&["bos_token: `1`"], &no_token)));
        cases.push(raw(
            file,
            "a token whose content is a list",
            b"{\"eos_token\": {\"content\": []}}",
            &both(&["eos_token: `[]`"], &no_token),
        ));
    }
    let template = ["chat_template: is neither text nor a list of named templates"];
    cases.push(raw("tokenizer_config.json", "a template that is a number", b"{\"chat_template\": 7}", &template));
    cases.push(raw("tokenizer_config.json", "a template that is an object", b"{\"chat_template\": {}}", &template));
    let named = b"{\"chat_template\": [{\"name\": \"default\", \"template\": 7}]}";
    cases.push(raw("tokenizer_config.json", "a named template that is a number", named, &template));
    cases
}

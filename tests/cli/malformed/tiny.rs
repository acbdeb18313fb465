//! A sound model of a few kilobytes, its rows, a run folder of it, and what breaks them.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// Model `m` and `rows.jsonl`.
pub fn all(at: &Path) {
    model(at);
    rows(at, "{\"prompt\": \"a b\", \"completion\": \" c d\"}\n{\"prompt\": \"b\", \"completion\": \" a\"}");
}

/// The model alone.
pub fn model(at: &Path) {
    fs::create_dir(at.join("m")).unwrap();
    write(at, "m/config.json", config());
    write(at, "m/tokenizer.json", tokenizer());
    write(at, "m/tokenizer_config.json", json!({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}));
    fs::write(at.join("m/model.safetensors"), weights().file()).unwrap();
}

/// `rows.jsonl` of these lines.
pub fn rows(at: &Path, lines: &str) {
    fs::write(at.join("rows.jsonl"), lines).unwrap();
}

pub fn write(at: &Path, name: &str, value: Value) {
    fs::write(at.join(name), value.to_string()).unwrap();
}

/// The object in `name`, changed.
pub fn edit(at: &Path, name: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    let bytes = fs::read(at.join(name)).unwrap_or_else(|_| b"{}".to_vec());
    let mut value: Value = serde_json::from_slice(&bytes).unwrap();
    change(value.as_object_mut().unwrap());
    write(at, name, value);
}

pub fn config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 16, "hidden_size": 8, "intermediate_size": 16,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
        "bos_token_id": 1, "eos_token_id": 2,
    })
}

/// Bytes of the letters a to h, and two merges.
pub fn tokenizer() -> Value {
    let special = |id: u32, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let mut vocab = Map::new();
    for (id, token) in ["<unk>", "<s>", "</s>", "a", "b", "c", "d", "e", "f", "g", "h", "ab", "cd"].into_iter().enumerate() {
        vocab.insert(token.into(), id.into());
    }
    let [bos, text] = [json!({"SpecialToken": {"id": "<s>", "type_id": 0}}), json!({"Sequence": {"id": "A", "type_id": 0}})];
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing", "single": [bos, text], "pair": [bos, text],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": null,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": ["a b", "c d"],
        },
    })
}

/// The tensors of a safetensors file, in order.
#[derive(Clone)]
pub struct Weights(pub Vec<Stored>);

#[derive(Clone)]
pub struct Stored {
    pub name: String,
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// The tiny model's.
pub fn weights() -> Weights {
    let layer = "model.layers.0";
    let shapes: [(&str, &[usize]); 12] = [
        ("model.embed_tokens.weight", &[16, 8]),
        ("self_attn.q_proj.weight", &[8, 8]),
        ("self_attn.k_proj.weight", &[4, 8]),
        ("self_attn.v_proj.weight", &[4, 8]),
        ("self_attn.o_proj.weight", &[8, 8]),
        ("mlp.gate_proj.weight", &[16, 8]),
        ("mlp.up_proj.weight", &[16, 8]),
        ("mlp.down_proj.weight", &[8, 16]),
        ("input_layernorm.weight", &[8]),
        ("post_attention_layernorm.weight", &[8]),
        ("model.norm.weight", &[8]),
        ("lm_head.weight", &[16, 8]),
    ];
    let stored = |(name, shape): &(&str, &[usize])| {
        let whole = name.starts_with("model.") || name.starts_with("lm_head");
        let values = (0..shape.iter().product()).map(|i: usize| if shape.len() == 1 { 1.0 } else { (i % 7) as f32 * 0.05 - 0.15 });
        Stored {
            name: if whole { (*name).to_owned() } else { format!("{layer}.{name}") },
            dtype: "F32",
            shape: shape.to_vec(),
            bytes: values.flat_map(f32::to_le_bytes).collect(),
        }
    };
    Weights(shapes.iter().map(stored).collect())
}

impl Weights {
    /// The first tensor whose name ends so.
    pub fn tensor(&mut self, end: &str) -> &mut Stored {
        self.0.iter_mut().find(|stored| stored.name.ends_with(end)).unwrap()
    }

    /// The header as JSON.
    pub fn header(&self) -> Value {
        let mut header = Map::from_iter([("__metadata__".to_owned(), json!({"format": "pt"}))]);
        let mut end = 0;
        for Stored { name, dtype, shape, bytes } in &self.0 {
            let begin = end;
            end += bytes.len();
            header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}));
        }
        Value::Object(header)
    }

    pub fn data(&self) -> Vec<u8> {
        self.0.iter().flat_map(|stored| stored.bytes.clone()).collect()
    }

    pub fn file(&self) -> Vec<u8> {
        file(self.header().to_string().as_bytes(), &self.data())
    }
}

/// Header length, header, data.
pub fn file(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header, data].concat()
}

/// `run`: a run that was stopped after its first step, without a checkpoint.
pub fn run_folder(at: &Path) {
    fs::create_dir_all(at.join("run/checkpoints/LATEST")).unwrap();
    let recipe = "stage = \"sft\"\n[model]\npath = \"m\"\n[data]\ntrain = \"rows.jsonl\"\n[training]\nmax_steps = 2\n";
    fs::write(at.join("run/recipe.toml"), recipe).unwrap();
    write(at, "run/run.json", record());
    let step = r#"{"event":"step","step":1,"metrics":{"loss":2.5}}"#;
    fs::write(at.join("run/events.jsonl"), format!("{step}\n")).unwrap();
    fs::write(at.join("run/samples.jsonl"), "").unwrap();
    fs::write(at.join("run/checkpoints/LATEST/step"), "1").unwrap();
}

pub fn record() -> Value {
    json!({
        "version": "0.1.0", "stage": "sft", "status": "stopped", "device": "CPU", "seed": 42, "parameters": 776, "data": [],
        "started": "2026-01-01T00:00:00Z", "seconds": 1.5, "steps": 1,
    })
}

//! `config.json` and `generation_config.json`: families that are not supported, sizes that contradict each other or the weights.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Case, SFT, both, tiny};

pub fn cases() -> Vec<Case> {
    let mut cases = files();
    cases.extend(families());
    cases.extend(sizes());
    cases.extend(switches());
    cases.extend(gpt2());
    cases.extend(generation());
    cases
}

/// `config.json` is what `make` leaves.
fn broken(name: &str, says: &[&str], make: impl Fn(&Path) + Send + Sync + 'static) -> Case {
    Case::new(name, SFT, &both(&["m/config.json: "], says), move |at| {
        tiny::all(at);
        fs::remove_file(at.join("m/config.json")).unwrap();
        make(&at.join("m/config.json"));
    })
}

fn files() -> Vec<Case> {
    let raw = |name: &str, says: &[&str], bytes: Vec<u8>| broken(name, says, move |path| fs::write(path, &bytes).unwrap());
    let sound = tiny::config().to_string();
    let utf16 = sound.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut cases = vec![
        raw("an empty file", &["not JSON", "download the model again"], Vec::new()),
        raw("no JSON", &["not JSON"], b"hidden_size: 8".to_vec()),
        raw("cut off", &["not JSON"], sound.as_bytes()[..40].to_vec()),
        raw("two objects", &["not JSON"], [sound.as_bytes(), sound.as_bytes()].concat()),
        raw("UTF-16", &["not JSON"], utf16),
        raw("broken UTF-8", &["not JSON"], b"{\"model_type\": \"\xFF\"}".to_vec()),
        raw("a list", &["not a JSON object"], b"[]".to_vec()),
        raw("a number", &["not a JSON object"], b"8".to_vec()),
        raw("null", &["not a JSON object"], b"null".to_vec()),
        raw("deeper than anybody writes", &["not JSON", "recursion"], b"[".repeat(1 << 20)),
        raw("an object without keys", &["model_type: is missing", "llama, qwen2, qwen3 and gpt2"], b"{}".to_vec()),
        broken("missing", &["is missing", "give the folder of a Hugging Face model"], |_| {}),
        broken("a folder", &["cannot be read", "is a directory"], |path| fs::create_dir(path).unwrap()),
        broken("a terabyte", &["has 1099511627776 bytes, more than"], |path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap()),
    ];
    #[cfg(target_os = "linux")]
    cases.push(broken("a link to what never ends", &["not an ordinary file"], |path| {
        std::os::unix::fs::symlink("/dev/zero", path).unwrap()
    }));
    cases
}

/// One key of the tiny model's configuration is another; null removes it.
fn key(key: &'static str, value: Value, says: &[&str]) -> Case {
    let name: String = format!("{key} = {value}").chars().take(80).collect();
    Case::new(name, SFT, says, move |at| {
        tiny::all(at);
        tiny::edit(at, "m/config.json", |config| drop(config.insert(key.into(), value.clone())));
    })
}

/// As [`key`]; the sentence begins with the key.
fn at_key(name: &'static str, value: Value, says: &[&str]) -> Case {
    key(name, value, &both(&[format!("m/config.json: {name}: ").as_str()], says))
}

fn families() -> Vec<Case> {
    let supported = "supported are llama, qwen2, qwen3 and gpt2";
    let mut cases = vec![
        at_key("model_type", json!("mamba"), &["`mamba` is not supported", supported]),
        at_key("model_type", json!("LLAMA"), &["`LLAMA` is not supported", supported]),
        at_key("model_type", json!("x".repeat(1 << 20)), &["is not supported", supported]),
        at_key("model_type", json!("\u{1b}]0;title\u{7}"), &["is not supported", supported]),
        at_key("model_type", json!(7), &["`7` is not a string"]),
        at_key("model_type", Value::Null, &["is missing", supported]),
        at_key("architectures", json!("LlamaForCausalLM"), &["is not a list of strings"]),
        at_key("architectures", json!([7]), &["is not a list of strings"]),
        at_key("architectures", json!(["LlamaForQuestionAnswering"]), &["`LlamaForQuestionAnswering` is not supported", supported]),
        at_key("architectures", json!(["Qwen2ForCausalLM"]), &["`Qwen2ForCausalLM` is not supported"]),
        key("architectures", json!(["LlamaForSequenceClassification"]), &["m/config.json: id2label: 2 labels", "exactly one"]),
        at_key("quantization_config", json!({"bits": 4}), &["quantised weights are not supported", "float32, float16 or bfloat16"]),
    ];
    cases.push(Case::new("a reward model as a policy", SFT, &["model.path = m: is a reward model", "a language model"], |at| {
        tiny::all(at);
        tiny::edit(at, "m/config.json", |config| {
            config.insert("architectures".into(), json!(["LlamaForSequenceClassification"]));
            config.insert("id2label".into(), json!({"0": "LABEL_0"}));
        });
    }));
    cases
}

fn sizes() -> Vec<Case> {
    let whole = "is not a whole number from 1 to 16777216";
    let mut cases = Vec::new();
    for value in [json!(0), json!(-8), json!(8.5), json!("8"), json!([8]), json!(true), json!(1_u64 << 60), json!(1e300)] {
        cases.push(at_key("hidden_size", value, &[whole]));
    }
    for name in ["hidden_size", "vocab_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"] {
        cases.push(at_key(name, Value::Null, &["is missing", "give the config.json of a Hugging Face model"]));
    }
    for name in ["vocab_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings"] {
        cases.push(at_key(name, json!(0), &[whole]));
    }
    let asks = "use the config.json that belongs to the weights";
    cases.extend([
        key("hidden_size", json!(16), &["lm_head.weight: shape [16, 8], but config.json asks for [16, 16]", asks]),
        key("vocab_size", json!(17), &["lm_head.weight: shape [16, 8], but config.json asks for [17, 8]", asks]),
        key("intermediate_size", json!(32), &["down_proj.weight: shape [8, 16], but config.json asks for [8, 32]", asks]),
        key("head_dim", json!(8), &["k_proj.weight: shape [4, 8], but config.json asks for [8, 8]", asks]),
        key("num_key_value_heads", json!(2), &["k_proj.weight: shape [4, 8], but config.json asks for [8, 8]", asks]),
        key("num_hidden_layers", json!(2), &["model.layers.1.", "is missing (9 missing in all)"]),
        key("attention_bias", json!(true), &["q_proj.bias: tensor of shape [8] is missing"]),
        key("mlp_bias", json!(true), &["gate_proj.bias: tensor of shape [16] is missing"]),
        key("model_type", json!("qwen3"), &["m/config.json: architectures: `LlamaForCausalLM` is not supported"]),
        at_key("num_attention_heads", json!(3), &["does not divide hidden_size", "give head_dim"]),
        at_key("num_key_value_heads", json!(3), &["2 query heads cannot share 3 key/value heads evenly", "give a divisor"]),
        at_key("num_key_value_heads", json!(4), &["2 query heads cannot share 4 key/value heads evenly"]),
        at_key("head_dim", json!(256), &["256 is more than the 128"]),
        at_key("head_dim", json!(3), &["3 is odd", "an even size"]),
        at_key("num_hidden_layers", json!(5000), &["5000 is more than the 4096", "correct it"]),
        at_key("num_hidden_layers", json!(1 << 24), &["16777216 is more than the 4096"]),
        at_key("max_position_embeddings", json!(1 << 24), &["16777216 is more than the 1048576"]),
        key("vocab_size", json!(8), &["m/tokenizer.json: knows ids up to 12, but the model's vocabulary has 8", "belongs to the model"]),
        Case::new("sizes of 2^24", SFT, &["m/config.json: the sizes make about", "correct hidden_size"], |at| {
            tiny::all(at);
            tiny::edit(at, "m/config.json", |config| {
                for key in ["vocab_size", "hidden_size", "intermediate_size"] {
                    config.insert(key.into(), json!(1 << 24));
                }
                config.insert("head_dim".into(), json!(128));
                config.insert("num_hidden_layers".into(), json!(4096));
            });
        }),
    ]);
    #[cfg(target_os = "linux")] // elsewhere the system does not tell its free memory
    cases.push(Case::new("a model that fills no memory on earth", SFT, &["memory: the run needs about", "take a smaller model"], |at| {
        tiny::all(at);
        tiny::edit(at, "m/config.json", |config| {
            config.insert("hidden_size".into(), json!(1 << 15));
            config.insert("intermediate_size".into(), json!(1 << 17));
            config.insert("head_dim".into(), json!(128));
            config.insert("num_hidden_layers".into(), json!(500));
        });
    }));
    for (name, id) in
        [("bos_token_id", json!(99)), ("eos_token_id", json!(99)), ("eos_token_id", json!([2, 99])), ("pad_token_id", json!(16))]
    {
        cases.push(at_key(name, id, &["is outside the vocabulary of 16", "set it to a token of the model"]));
    }
    for (name, id) in [("bos_token_id", json!("<s>")), ("eos_token_id", json!(true)), ("eos_token_id", json!([2, null]))] {
        cases.push(at_key(name, id, &["is not a token id or a list of them"]));
    }
    cases
}

fn switches() -> Vec<Case> {
    let number = "is not a number of at least 0";
    let mut cases = vec![
        at_key("hidden_act", json!("gelu"), &["`gelu` is not supported", "silu, swish"]),
        at_key("hidden_act", json!(1), &["`1` is not a string"]),
        at_key("rope_interleaved", json!(true), &["true is not supported", "only false is"]),
        at_key("use_sliding_window", json!(true), &["sliding-window attention is not supported"]),
        key("layer_types", json!(["sliding_attention"]), &["m/config.json: use_sliding_window: sliding-window attention is not supported"]),
        at_key("layer_types", json!("full_attention"), &["is not a list of strings"]),
        at_key("pretraining_tp", json!(2), &["tensor-parallel slicing is not supported", "set it to 1"]),
        at_key("rms_norm_eps", json!(-1e-5), &[number]),
        at_key("rms_norm_eps", json!("1e-5"), &[number]),
        at_key("rope_theta", json!(0), &["0 is no base of rotary positions", "give 1 or more"]),
        at_key("rope_theta", json!(1e-300), &["is no base of rotary positions"]),
        at_key("rope_theta", json!(-10000), &[number]),
        at_key("rope_theta", json!({}), &[number]),
        at_key("partial_rotary_factor", json!(0.5), &["partly rotated heads are not supported"]),
        at_key("rope_scaling", json!("linear"), &["is not an object"]),
        at_key("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0}), &["rope_type `yarn` is not supported", "default, llama3"]),
        at_key("rope_parameters", json!({"rope_type": 7}), &[]).named("a rope_type that is a number"),
        at_key("tie_word_embeddings", json!("yes"), &["`\"yes\"` is not true or false"]),
        at_key("attention_bias", json!(1), &["is not true or false"]),
    ];
    let stretch = |factor: Value, low: Value| {
        let rest = json!({"rope_type": "llama3", "high_freq_factor": 4.0, "original_max_position_embeddings": 64});
        let mut scaling = rest.as_object().unwrap().clone();
        scaling.extend([("factor".to_owned(), factor), ("low_freq_factor".to_owned(), low)]);
        json!(scaling)
    };
    let needs = "llama3 scaling needs factor ≥ 1";
    cases.extend([
        key("rope_scaling", stretch(Value::Null, json!(1.0)), &["m/config.json: rope_scaling: factor: is missing"])
            .named("llama3 scaling without a factor"),
        key("rope_scaling", stretch(json!(0.5), json!(1.0)), &[needs]).named("llama3 scaling that shrinks"),
        key("rope_scaling", stretch(json!(8.0), json!(4.0)), &[needs]).named("llama3 scaling with equal factors"),
        key("rope_scaling", stretch(json!(8.0), json!(0)), &[needs]).named("llama3 scaling from 0"),
        key("rope_scaling", stretch(json!("8"), json!(1.0)), &["rope_scaling: factor:", number]).named("llama3 scaling by text"),
    ]);
    cases
}

fn gpt2() -> Vec<Case> {
    let base = json!({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 16, "n_embd": 8, "n_head": 2, "n_layer": 1, "n_positions": 64});
    let case = |key: &'static str, value: Value, says: &[&str]| {
        let mut config = base.as_object().unwrap().clone();
        config.insert(key.into(), value.clone());
        Case::new(format!("gpt2: {key} = {value}"), SFT, says, move |at| {
            tiny::all(at);
            tiny::write(at, "m/config.json", json!(config));
        })
    };
    vec![
        case("n_head", json!(3), &["m/config.json: n_head: does not divide n_embd"]),
        case("activation_function", json!("relu"), &["activation_function: `relu` is not supported", "gelu_new"]),
        case("scale_attn_weights", json!(false), &["scale_attn_weights: false is not supported"]),
        case("scale_attn_by_inverse_layer_idx", json!(true), &["scale_attn_by_inverse_layer_idx: true is not supported"]),
        case("add_cross_attention", json!(true), &["add_cross_attention: true is not supported"]),
        case("n_layer", json!(1 << 20), &["n_layer: 1048576 is more than the 4096"]),
        case("n_positions", json!(1 << 21), &["n_positions: 2097152 is more than the 1048576"]),
        case("n_inner", json!(-1), &["n_inner: `-1` is not a whole number"]),
        case("layer_norm_epsilon", json!([]), &["layer_norm_epsilon: `[]` is not a number"]),
        case("n_ctx", json!(64), &["m/model.safetensors: model.embed_tokens.weight: no such tensor"])
            .named("gpt2's config over llama's weights"),
    ]
}

fn generation() -> Vec<Case> {
    let line = "generate --model m --prompt a --max-new-tokens 1 --device cpu";
    let place = "m/generation_config.json: ";
    let raw = |name: &str, says: &[&str], bytes: &'static [u8]| {
        Case::new(format!("generation: {name}"), line, &both(&[place], says), move |at| {
            tiny::all(at);
            fs::write(at.join("m/generation_config.json"), bytes).unwrap();
        })
    };
    let key = |key: &'static str, value: Value, says: &[&str]| {
        Case::new(format!("generation: {key} = {value}"), line, says, move |at| {
            tiny::all(at);
            tiny::edit(at, "m/generation_config.json", |config| {
                config.insert("do_sample".into(), json!(true));
                config.insert(key.into(), value.clone());
            });
        })
    };
    vec![
        raw("no JSON", &["not a JSON object", "correct or remove the file"], b"temperature: 1"),
        raw("an empty file", &["not a JSON object"], b""),
        raw("a list", &["not a JSON object"], b"[]"),
        key("do_sample", json!("yes"), &[place, "do_sample", "is not true or false"]),
        key("temperature", json!(0), &[place, "temperature: 0 is not above 0"]),
        key("temperature", json!(1e-40), &[place, "temperature", "is not above 0, or is too near it"]),
        key("temperature", json!(-1), &[place, "temperature", "is not a number of at least 0"]),
        key("temperature", json!("hot"), &[place, "temperature", "is not a number"]),
        key("top_p", json!(0), &[place, "top_p: 0 is not in (0, 1]"]),
        key("top_p", json!(1.5), &[place, "top_p: 1.5 is not in (0, 1]"]),
        key("min_p", json!(7), &[place, "min_p: 7 is not in [0, 1]"]),
        key("repetition_penalty", json!(0), &[place, "repetition_penalty: 0 is not above 0"]),
        key("max_new_tokens", json!(0), &[place, "max_new_tokens", "is not a whole number"]),
        key("max_new_tokens", json!(-5), &[place, "max_new_tokens", "is not a whole number"]),
        key("top_k", json!(1.5), &[place, "top_k: 1.5 is not a whole number"]),
        key("top_k", json!([]), &[place, "top_k", "is not a number"]),
        key("eos_token_id", json!(99), &[place, "eos_token_id: 99 is outside the vocabulary of 16"]),
        key("eos_token_id", json!("</s>"), &[place, "eos_token_id", "is not a token id"]),
    ]
}

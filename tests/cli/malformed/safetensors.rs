//! Weights: headers that lie, tensors that do not fit, numbers that are none, and shards.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::tiny::{self, Stored, Weights, file, weights};
use super::{Case, SFT, both};

const INDEX: &str = "model.safetensors.index.json";

pub fn cases() -> Vec<Case> {
    let mut cases = whole_files();
    cases.extend(headers());
    cases.extend(tensors());
    cases.extend(shards());
    cases
}

/// `model.safetensors` is these bytes.
fn bytes(name: &str, says: &[&str], bytes: Vec<u8>) -> Case {
    Case::new(name, SFT, &both(&["m/model.safetensors: "], says), move |at| {
        tiny::all(at);
        fs::write(at.join("m/model.safetensors"), &bytes).unwrap();
    })
}

fn whole_files() -> Vec<Case> {
    let sound = weights().file();
    let header = weights().header().to_string().into_bytes();
    let whole = "not a whole safetensors file";
    let lying = |length: u64| [&length.to_le_bytes()[..], &sound[8..]].concat();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 132\n";
    let mut cases = vec![
        bytes("an empty file", &[whole, "header too small", "download"], Vec::new()),
        bytes("seven bytes", &[whole, "header too small"], sound[..7].to_vec()),
        bytes("cut inside the header", &[whole, "invalid header length"], sound[..100].to_vec()),
        bytes("cut inside the data", &[whole, "not fully covered"], sound[..sound.len() - 1].to_vec()),
        bytes("cut behind the header", &[whole, "not fully covered"], sound[..8 + header.len()].to_vec()),
        bytes("bytes behind the data", &[whole, "not fully covered"], [&sound[..], b"x"].concat()),
        bytes("a header of no bytes", &[whole, "invalid JSON in header"], lying(0)),
        bytes("a header one byte short", &[whole, "invalid JSON in header"], lying(header.len() as u64 - 1)),
        bytes("a header longer than the file", &[whole, "invalid header length"], lying(1 << 24)),
        bytes("a header of 2^64 bytes", &[whole, "header too large"], lying(u64::MAX)),
        bytes("a header of a gigabyte", &[whole, "header too large"], lying(1 << 30)),
        bytes("a header that is no UTF-8", &[whole, "UTF-8"], file(b"{\"\xFF\": 1}", b"")),
        bytes("a web page", &[whole], b"<!DOCTYPE html><html><body>404 Not Found</body></html>".to_vec()),
        bytes("a pointer of git-lfs", &[whole], pointer.to_vec()),
        bytes("a zip archive, as PyTorch saves", &[whole], b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0\0\0archive/data.pkl".to_vec()),
        Case::new("no file", SFT, &["m/model.safetensors: is missing", "shards"], |at| {
            tiny::all(at);
            fs::remove_file(at.join("m/model.safetensors")).unwrap();
        }),
        Case::new("a folder", SFT, &["m/model.safetensors: cannot be read", "is a directory"], |at| {
            tiny::all(at);
            fs::remove_file(at.join("m/model.safetensors")).unwrap();
            fs::create_dir(at.join("m/model.safetensors")).unwrap();
        }),
    ];
    #[cfg(target_os = "linux")] // elsewhere the process is not bounded
    cases.push(Case::new("sixteen gigabytes that are not there", SFT, &["m/model.safetensors: cannot be read", "memory"], |at| {
        tiny::all(at);
        fs::File::create(at.join("m/model.safetensors")).unwrap().set_len(16 << 30).unwrap();
    }));
    cases
}

/// The header is this text.
fn text(name: &str, says: &[&str], header: &str) -> Case {
    bytes(name, &both(&["not a whole safetensors file"], says), file(header.as_bytes(), &weights().data()))
}

/// The header, changed.
fn header(name: &str, says: &[&str], change: impl FnOnce(&mut Value)) -> Case {
    let mut header = weights().header();
    change(&mut header);
    text(name, says, &header.to_string())
}

/// The entry of the embeddings [16, 8], which come first, changed in one key.
fn entry(name: &str, says: &[&str], key: &str, value: Value) -> Case {
    header(name, says, |header| header["model.embed_tokens.weight"][key] = value)
}

fn headers() -> Vec<Case> {
    let json = "invalid JSON in header";
    let mut cases = vec![
        text("a header that is no JSON", &[json], "tensors"),
        text("a header that is a list", &[json], "[]"),
        text("a header that is null", &[json], "null"),
        text("a header that ends inside", &[json], "{\"a\": {\"dtype\": \"F32\""),
        text("a header as deep as it is long", &[json], &"{\"a\":".repeat(100_000)),
        header("metadata that are no text", &[json], |h| h["__metadata__"] = json!({"format": {"a": 1}})),
        header("a tensor that is null", &[json], |h| h["lm_head.weight"] = Value::Null),
        header("a tensor that is a list", &[json], |h| h["lm_head.weight"] = json!([16, 8])),
        header("no tensor at all", &["not fully covered"], |h| *h = json!({})),
        header("two tensors in one place", &["invalid offset"], |h| {
            let norms = ["input_layernorm", "post_attention_layernorm"].map(|name| format!("model.layers.0.{name}.weight"));
            h[&norms[1]]["data_offsets"] = h[&norms[0]]["data_offsets"].clone();
        }),
        header("a hole between two tensors", &["invalid offset"], |h| {
            h.as_object_mut().unwrap().shift_remove("model.norm.weight");
        }),
    ];
    for (name, offsets, said) in [
        ("offsets that go back", json!([512, 0]), "invalid offset"),
        ("offsets that overlap the next", json!([0, 516]), "invalid"),
        ("offsets behind the end", json!([1_u64 << 40, (1_u64 << 40) + 512]), "invalid offset"),
        ("offsets near 2^64", json!([u64::MAX - 512, u64::MAX]), "invalid offset"),
        ("negative offsets", json!([-512, 0]), json),
        ("offsets with a point", json!([0.5, 512.5]), json),
        ("offsets as text", json!("0-512"), json),
        ("three offsets", json!([0, 256, 512]), json),
        ("offsets that are null", Value::Null, json),
    ] {
        cases.push(entry(name, &[said], "data_offsets", offsets));
    }
    for (name, shape, said) in [
        ("a giant shape", json!([1_u64 << 40, 8]), "invalid shape"),
        ("a shape whose product overflows", json!([1_u64 << 62, 1_u64 << 62]), "overflow"),
        ("a shape whose bytes overflow", json!([1_u64 << 62, 2]), "overflow"),
        ("a shape with more than the data", json!([17, 8]), "invalid shape"),
        ("a shape with nothing in it", json!([0, 8]), "invalid shape"),
        ("a negative shape", json!([-16, 8]), json),
        ("a shape that is a number", json!(128), json),
    ] {
        cases.push(entry(name, &[said], "shape", shape));
    }
    for (name, dtype, said) in [
        ("a type that nobody knows", json!("F33"), json),
        ("a type that is a number", json!(32), json),
        ("a type of half the size", json!("F16"), "invalid shape"),
        ("a type of twice the size", json!("F64"), "invalid shape"),
    ] {
        cases.push(entry(name, &[said], "dtype", dtype));
    }
    for key in ["dtype", "shape", "data_offsets"] {
        cases.push(header(&format!("a tensor without its {key}"), &[json, key], |h| {
            h["model.embed_tokens.weight"].as_object_mut().unwrap().shift_remove(key);
        }));
    }
    cases
}

/// The weights, changed and written as they should be.
fn changed(name: &str, says: &[&str], change: impl FnOnce(&mut Weights)) -> Case {
    let mut weights = weights();
    change(&mut weights);
    bytes(name, says, weights.file())
}

/// Number 5 of the query weights is this one.
fn number(name: &str, says: &[&str], value: f32) -> Case {
    changed(name, &both(&["model.layers.0.self_attn.q_proj.weight: number 5 is"], says), |weights| {
        weights.tensor("q_proj.weight").bytes[20..24].copy_from_slice(&value.to_le_bytes());
    })
}

/// The norm's weights in another type: eight times the same bytes.
fn norm_as(name: &str, says: &[&str], dtype: &'static str, bytes: &'static [u8]) -> Case {
    changed(name, &both(&["model.norm.weight"], says), |weights| {
        let norm = weights.tensor("model.norm.weight");
        (norm.dtype, norm.bytes) = (dtype, bytes.repeat(8));
    })
}

fn tensors() -> Vec<Case> {
    let belongs = "use the config.json that belongs to the weights";
    let mut cases = vec![
        number("not a number", &["NaN", "download or save the model again"], f32::NAN),
        number("infinity", &["inf"], f32::INFINITY),
        number("minus infinity", &["-inf"], f32::NEG_INFINITY),
        norm_as("not a number in float16", &["number 0 is NaN"], "F16", &[0x00, 0x7E]),
        norm_as("infinity in bfloat16", &["number 0 is inf"], "BF16", &[0x80, 0x7F]),
        norm_as("float64", &["type F64 is not supported", "float32, float16 or bfloat16"], "F64", &[0; 8]),
        norm_as("whole numbers", &["type I64 is not supported"], "I64", &[0; 8]),
        norm_as("bytes", &["type U8 is not supported"], "U8", &[1]),
        norm_as("truth values", &["type BOOL is not supported"], "BOOL", &[1]),
        norm_as("eight-bit floats", &["type F8_E4M3 is not supported"], "F8_E4M3", &[0x38]),
        changed("a tensor too many", &["model.layers.1.mlp.up_proj.weight: no such tensor", belongs], |weights| {
            let name = "model.layers.1.mlp.up_proj.weight".to_owned();
            weights.0.push(Stored { name, ..weights.0[6].clone() });
        }),
        changed("a tensor with a name of a megabyte", &["no such tensor", belongs], |weights| {
            weights.tensor("lm_head.weight").name = "x".repeat(1 << 20);
        }),
        changed("a tensor whose name speaks to the terminal", &["no such tensor", belongs], |weights| {
            weights.tensor("lm_head.weight").name = "\u{1b}[2J\nerror: all is well".into();
        }),
        changed("no tensors", &["model.embed_tokens.weight: tensor of shape [16, 8] is missing (12 missing in all)"], |weights| {
            weights.0.clear();
        }),
        changed("a matrix on its side", &["down_proj.weight: shape [16, 8], but config.json asks for [8, 16]", belongs], |weights| {
            weights.tensor("down_proj.weight").shape.reverse();
        }),
        changed("a matrix as a vector", &["embed_tokens.weight: shape [128]"], |weights| {
            weights.tensor("embed_tokens.weight").shape = vec![128];
        }),
    ];
    for name in ["lm_head.weight", "model.norm.weight", "model.layers.0.mlp.gate_proj.weight"] {
        cases.push(changed(
            &format!("without {name}"),
            &[&format!("{name}: tensor of shape"), "is missing (1 missing in all)"],
            |weights| {
                weights.0.retain(|stored| stored.name != name);
            },
        ));
    }
    cases
}

/// Two shards, or what `change` makes of them, instead of one file.
fn sharded(name: &str, says: &[&str], change: impl Fn(&Path) + Send + Sync + 'static) -> Case {
    Case::new(name, SFT, says, move |at| {
        tiny::all(at);
        fs::remove_file(at.join("m/model.safetensors")).unwrap();
        let mut first = weights().0;
        let second = first.split_off(6);
        for (file, stored) in [("1.safetensors", first), ("2.safetensors", second)] {
            fs::write(at.join("m").join(file), Weights(stored).file()).unwrap();
        }
        index(at, json!({"a": "1.safetensors", "b": "2.safetensors"}));
        change(at);
    })
}

fn index(at: &Path, weight_map: Value) {
    tiny::write(at, &format!("m/{INDEX}"), json!({"weight_map": weight_map}));
}

fn shards() -> Vec<Case> {
    let at_index = "m/model.safetensors.index.json: ";
    let no_map = "has no weight_map of tensor to file";
    let raw = |name: &str, says: &[&str], bytes: &'static [u8]| {
        sharded(name, &both(&[at_index], says), move |at| fs::write(at.join("m").join(INDEX), bytes).unwrap())
    };
    let mut cases = vec![
        raw("an index that is no JSON", &["not JSON", "download the model again"], b"weights"),
        raw("an index that is empty", &["not JSON"], b""),
        raw("an index that is cut off", &["not JSON"], b"{\"weight_map\": {\"a\": \"1.safe"),
        raw("an index that is a list", &[no_map], b"[\"1.safetensors\"]"),
        raw("an index without a map", &[no_map], b"{\"metadata\": {\"total_size\": 3}}"),
        raw("an index with an empty map", &[no_map], b"{\"weight_map\": {}}"),
        raw("an index whose map is a list", &[no_map], b"{\"weight_map\": [\"1.safetensors\"]}"),
        raw("an index that maps to numbers", &[no_map], b"{\"weight_map\": {\"a\": 1}}"),
        raw("an index that maps to null", &[no_map], b"{\"weight_map\": {\"a\": null}}"),
        sharded("a shard that is missing", &["m/2.safetensors: is missing", "the index names it"], |at| {
            fs::remove_file(at.join("m/2.safetensors")).unwrap();
        }),
        sharded("a shard that the index leaves out", &["tensor of shape [16, 8] is missing (6 missing in all)"], |at| {
            index(at, json!({"a": "1.safetensors"}));
        }),
        sharded("a shard that is cut off", &["m/2.safetensors: not a whole safetensors file"], |at| {
            let bytes = fs::read(at.join("m/2.safetensors")).unwrap();
            fs::write(at.join("m/2.safetensors"), &bytes[..bytes.len() / 2]).unwrap();
        }),
        sharded("the same shard twice", &["m/2.safetensors: model.embed_tokens.weight: is in two files", "remove one"], |at| {
            fs::copy(at.join("m/1.safetensors"), at.join("m/2.safetensors")).unwrap();
        }),
        sharded("a shard that is no safetensors", &["m/config.json: not a whole safetensors file"], |at| {
            index(at, json!({"a": "config.json"}));
        }),
        sharded("a shard that is a folder", &["m/2.safetensors: cannot be read"], |at| {
            fs::remove_file(at.join("m/2.safetensors")).unwrap();
            fs::create_dir(at.join("m/2.safetensors")).unwrap();
        }),
        sharded("an index that is a folder", &[at_index, "cannot be read"], |at| {
            fs::remove_file(at.join("m").join(INDEX)).unwrap();
            fs::create_dir(at.join("m").join(INDEX)).unwrap();
        }),
        sharded("ten thousand shards", &["m/0000.safetensors: is missing"], |at| {
            index(at, (0..10_000).map(|i| (i.to_string(), json!(format!("{i:04}.safetensors")))).collect());
        }),
    ];
    for name in
        ["../out.safetensors", "../../etc/passwd", "/etc/passwd", "sub/1.safetensors", "..\\out.safetensors", "..", "a/../1.safetensors"]
    {
        let says = [at_index, &format!("names `{name}`"), "download it from its source"];
        cases.push(sharded(&format!("a shard called {name}"), &says, move |at| {
            fs::write(at.join("out.safetensors"), weights().file()).unwrap();
            index(at, json!({"a": name}));
        }));
    }
    cases
}

//! `evenkeel info`: what a model folder holds, without loading the weights.

use anyhow::Result;
use evenkeel_core::estimate::Size;
use evenkeel_core::model::{Head, ModelConfig, ModelFiles, load_text};
use evenkeel_core::text::Text;
use serde_json::{Value, json};

use crate::args::InfoArgs;
use crate::model_folder::ModelFolder;
use crate::{memory, output, table};

/// Prints the facts.
pub fn run(args: &InfoArgs) -> Result<()> {
    let folder = ModelFolder::open(&args.model)?;
    let config = folder.config()?;
    let text = load_text(&folder, &config)?;
    let files = folder.list()?;
    if args.json {
        return output::line(&object(&folder, &config, text.as_ref(), &files).to_string());
    }
    output::raw(&describe(&folder, &config, text.as_ref(), &files))
}

fn describe(folder: &ModelFolder, config: &ModelConfig, text: Option<&Text>, files: &[String]) -> String {
    let head = match config.head() {
        Head::Lm if config.tie_embeddings => "language model, output tied to the embeddings",
        Head::Lm => "language model",
        Head::Score => "reward model (one score)",
    };
    let parameters = Size::of(config, config.head()).parameters;
    let attention = format!("{} query heads, {} key/value heads, head size {}", config.num_heads, config.num_kv_heads, config.head_dim);
    let token = |id: Option<u32>| id.map_or_else(|| "none".to_owned(), |id| named(text, id));
    let template = if text.is_some_and(Text::has_template) { "yes" } else { "no" };
    let tokenizer =
        text.map_or_else(|| "none: only rows of token ids".to_owned(), |t| format!("{} tokens", table::thousands(t.vocab_size() as u64)));
    let stops: Vec<String> = config.eos.iter().map(|&id| named(text, id)).collect();
    let facts = [
        ("architecture", config.arch.class_stem().to_owned()),
        ("head", head.to_owned()),
        ("parameters", table::thousands(parameters)),
        ("weights in memory", memory::text(parameters * 4)),
        ("layers", config.num_layers.to_string()),
        ("width", format!("{}, {} inside the MLP", config.hidden_size, config.intermediate_size)),
        ("attention", attention),
        ("context", format!("{} tokens", table::thousands(config.max_positions as u64))),
        ("vocabulary", table::thousands(config.vocab_size as u64)),
        ("tokenizer", tokenizer),
        ("begins with", token(text.and_then(Text::bos).or(config.bos))),
        ("ends with", if stops.is_empty() { "none".into() } else { stops.join(", ") }),
        ("chat template", template.to_owned()),
        ("files", files.join(", ")),
    ];
    format!("{}\n{}", folder.place(), table::facts(&facts))
}

fn named(text: Option<&Text>, id: u32) -> String {
    match text.map(|t| t.decode(&[id], false)).filter(|t| !t.trim().is_empty()) {
        Some(token) => format!("{token} ({id})"),
        None => id.to_string(),
    }
}

fn object(folder: &ModelFolder, config: &ModelConfig, text: Option<&Text>, files: &[String]) -> Value {
    json!({
        "path": folder.place(),
        "architecture": config.arch.class_stem(),
        "head": if config.head() == Head::Lm { "lm" } else { "score" },
        "parameters": Size::of(config, config.head()).parameters,
        "num_hidden_layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_positions,
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tie_embeddings,
        "tokenizer_size": text.map(Text::vocab_size),
        "chat_template": text.is_some_and(Text::has_template),
        "files": files,
    })
}

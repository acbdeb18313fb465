//! `config.json` of a decoder, read strictly: a switch that changes the maths and is not supported is refused by name.
//!
//! The JSON itself is kept, so that a saved model loses nothing. Defaults are those of transformers 5.

use serde_json::{Map, Value};

use super::fields::Fields;
use crate::{Error, Result};

/// What evenkeel can run, for error messages.
pub const SUPPORTED: &str =
    "supported are llama, qwen2, qwen3 and gpt2, as *ForCausalLM (GPT2LMHeadModel) or *ForSequenceClassification with one label";

/// No decoder of these families is deeper, longer or larger; what says so is a broken file, and even listing its parameters would fill the memory.
const MOST_LAYERS: usize = 4096;
const MOST_POSITIONS: usize = 1 << 20;
const MOST_PARAMETERS: u128 = 1 << 44;

/// The attention kernel's limit, which keeps two tiles of rows in the browser's 16 KiB of workgroup memory.
const LARGEST_HEAD: usize = 128;

/// Family of the decoder; decides parameter names and the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    Llama,
    Qwen2,
    Qwen3,
    Gpt2,
}

impl Arch {
    /// Class name stem in `architectures`: `Llama` of `LlamaForCausalLM`.
    pub fn class_stem(self) -> &'static str {
        match self {
            Self::Llama => "Llama",
            Self::Qwen2 => "Qwen2",
            Self::Qwen3 => "Qwen3",
            Self::Gpt2 => "GPT2",
        }
    }
}

/// What the last hidden state is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// Next-token logits (`*ForCausalLM`).
    Lm,
    /// One number a position (`*ForSequenceClassification`, one label): reward and value models.
    Score,
}

/// Llama 3's stretching of low RoPE frequencies. Source: Llama 3.1 release, `rope_type: "llama3"` in transformers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeStretch {
    pub factor: f64,
    pub low_freq_factor: f64,
    pub high_freq_factor: f64,
    pub original_max_positions: f64,
}

/// A decoder's shape and constants.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    pub arch: Arch,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_layers: usize,
    pub num_heads: usize,
    pub num_kv_heads: usize,
    pub head_dim: usize,
    pub max_positions: usize,
    pub norm_eps: f64,
    pub rope_theta: f64,
    pub rope_stretch: Option<RopeStretch>,
    /// Biases of q, k and v; of the attention output; of the MLP.
    pub qkv_bias: bool,
    pub out_bias: bool,
    pub mlp_bias: bool,
    pub tie_embeddings: bool,
    pub initializer_range: f64,
    pub bos: Option<u32>,
    pub eos: Vec<u32>,
    pub pad: Option<u32>,
    /// The whole `config.json`, for saving.
    pub raw: Map<String, Value>,
}

impl ModelConfig {
    /// Reads a `config.json`. `place` names it in errors.
    pub fn from_json(place: &str, bytes: &[u8]) -> Result<Self> {
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|e| Error::input(place, format!("not JSON ({e})"), "download the model again or give another folder"))?;
        Self::from_value(place, value)
    }

    /// Reads a parsed `config.json`; also the way to describe a new model (`serde_json::json!`).
    pub fn from_value(place: &str, value: Value) -> Result<Self> {
        let Value::Object(raw) = value else {
            return Err(Error::input(place, "not a JSON object", "give the config.json of a Hugging Face model"));
        };
        let fields = Fields::new(place, &raw);
        let arch = architecture(&fields)?;
        let config = match arch {
            Arch::Gpt2 => gpt2(&fields)?,
            _ => rotary(&fields, arch)?,
        };
        config.check(place)?;
        Ok(Self { raw, ..config })
    }

    /// The head that `architectures` asks for.
    pub fn head(&self) -> Head {
        let classes = self.raw.get("architectures").and_then(Value::as_array);
        let class = classes.and_then(|list| list.first()?.as_str());
        match class {
            Some(name) if name.ends_with("ForSequenceClassification") => Head::Score,
            _ => Head::Lm,
        }
    }

    /// Query heads that share one key/value head.
    pub fn group_size(&self) -> usize {
        self.num_heads / self.num_kv_heads
    }

    /// Prefix of the trunk's parameter names.
    pub fn trunk(&self) -> &'static str {
        match self.arch {
            Arch::Gpt2 => "transformer.",
            _ => "model.",
        }
    }

    fn check(&self, place: &str) -> Result<()> {
        let bad = |key: &str, problem: String, remedy: &str| Err(Error::input(format!("{place}: {key}"), problem, remedy));
        if !self.num_heads.is_multiple_of(self.num_kv_heads) {
            let problem = format!("{} query heads cannot share {} key/value heads evenly", self.num_heads, self.num_kv_heads);
            return bad("num_key_value_heads", problem, "give a divisor");
        }
        if self.head_dim > LARGEST_HEAD {
            let problem = format!("{} is more than the {LARGEST_HEAD} that the attention kernel takes", self.head_dim);
            return bad("head_dim", problem, "use a model with smaller heads");
        }
        if self.arch != Arch::Gpt2 && !self.head_dim.is_multiple_of(2) {
            return bad("head_dim", format!("{} is odd", self.head_dim), "rotary positions need an even size");
        }
        let ids = [("bos_token_id", self.bos.as_slice()), ("eos_token_id", &self.eos[..]), ("pad_token_id", self.pad.as_slice())];
        for (key, ids) in ids {
            if let Some(problem) = outside(ids, self.vocab_size) {
                return bad(key, problem, "set it to a token of the model");
            }
        }
        let [layers, positions] = match self.arch {
            Arch::Gpt2 => ["n_layer", "n_positions"],
            _ => ["num_hidden_layers", "max_position_embeddings"],
        };
        for (key, size, most) in [(layers, self.num_layers, MOST_LAYERS), (positions, self.max_positions, MOST_POSITIONS)] {
            if size > most {
                return bad(key, format!("{size} is more than the {most} that any known model has"), "correct it");
            }
        }
        let parameters = self.most_parameters();
        if parameters > MOST_PARAMETERS {
            let problem = format!("the sizes make about {parameters} parameters");
            return Err(Error::input(place, problem, "correct hidden_size, intermediate_size, vocab_size and the number of layers"));
        }
        Ok(())
    }

    /// The matrices' elements, counted without listing them and without overflow.
    fn most_parameters(&self) -> u128 {
        let [v, d, f, layers] = [self.vocab_size, self.hidden_size, self.intermediate_size, self.num_layers].map(|size| size as u128);
        let heads = (2 * (self.num_heads + self.num_kv_heads) * self.head_dim) as u128;
        2 * v * d + layers * d * (heads + 3 * f)
    }
}

/// What is wrong with the first id that is no token of the vocabulary.
pub(super) fn outside(ids: &[u32], vocab_size: usize) -> Option<String> {
    let id = ids.iter().find(|&&id| id as usize >= vocab_size)?;
    Some(format!("{id} is outside the vocabulary of {vocab_size}"))
}

/// Family by `model_type` and class; refuses what is not supported, quantised weights and several labels.
fn architecture(fields: &Fields) -> Result<Arch> {
    let classes = fields.strings("architectures")?;
    let model_type = match fields.optional_string("model_type")? {
        Some(name) => name,
        None => return Err(fields.problem("model_type", "is missing", SUPPORTED)),
    };
    let arch = match model_type.as_str() {
        "llama" => Arch::Llama,
        "qwen2" => Arch::Qwen2,
        "qwen3" => Arch::Qwen3,
        "gpt2" => Arch::Gpt2,
        other => return Err(fields.problem("model_type", &format!("`{other}` is not supported"), SUPPORTED)),
    };
    if let Some(class) = classes.first() {
        let stem = arch.class_stem();
        let causal = match arch {
            Arch::Gpt2 => "GPT2LMHeadModel".to_owned(),
            _ => format!("{stem}ForCausalLM"),
        };
        if *class != causal && *class != format!("{stem}ForSequenceClassification") {
            return Err(fields.problem("architectures", &format!("`{class}` is not supported"), SUPPORTED));
        }
        if class.ends_with("ForSequenceClassification") {
            one_label(fields)?;
        }
    }
    if fields.present("quantization_config") {
        return Err(fields.problem(
            "quantization_config",
            "quantised weights are not supported",
            "use the model in float32, float16 or bfloat16",
        ));
    }
    Ok(arch)
}

fn one_label(fields: &Fields) -> Result<()> {
    let by_name = fields.object("id2label")?.map(|labels| labels.len());
    let labels = match by_name {
        Some(n) => n,
        None => fields.size_or("num_labels", 2)?, // transformers' default when neither key is there
    };
    if labels != 1 {
        return Err(fields.problem("id2label", &format!("{labels} labels"), "a reward or value model has exactly one"));
    }
    Ok(())
}

/// Llama, Qwen2 and Qwen3: RMSNorm, rotary positions, gated MLP.
fn rotary(fields: &Fields, arch: Arch) -> Result<ModelConfig> {
    fields.only("hidden_act", "silu", &["silu", "swish"])?;
    fields.only_flag("rope_interleaved", false)?;
    refuse_sliding_window(fields)?;
    if fields.size_or("pretraining_tp", 1)? != 1 {
        return Err(fields.problem("pretraining_tp", "tensor-parallel slicing is not supported", "set it to 1"));
    }
    let hidden_size = fields.size("hidden_size")?;
    let num_heads = fields.size("num_attention_heads")?;
    let head_dim = match (arch, fields.optional_size("head_dim")?) {
        (_, Some(size)) => size,
        (Arch::Qwen3, None) => 128,
        _ if hidden_size.is_multiple_of(num_heads) => hidden_size / num_heads,
        _ => return Err(fields.problem("num_attention_heads", "does not divide hidden_size", "give head_dim")),
    };
    let attention_bias = fields.flag_or("attention_bias", false)?;
    let (rope_theta, rope_stretch) = super::rope::from_config(fields)?;
    Ok(ModelConfig {
        arch,
        vocab_size: fields.size("vocab_size")?,
        hidden_size,
        intermediate_size: fields.size("intermediate_size")?,
        num_layers: fields.size("num_hidden_layers")?,
        num_heads,
        num_kv_heads: fields.optional_size("num_key_value_heads")?.unwrap_or(num_heads),
        head_dim,
        max_positions: fields.size_or("max_position_embeddings", if arch == Arch::Llama { 2048 } else { 32768 })?,
        norm_eps: fields.number_or("rms_norm_eps", 1e-6)?,
        rope_theta,
        rope_stretch,
        qkv_bias: arch == Arch::Qwen2 || attention_bias,
        out_bias: arch != Arch::Qwen2 && attention_bias,
        mlp_bias: arch == Arch::Llama && fields.flag_or("mlp_bias", false)?,
        tie_embeddings: fields.flag_or("tie_word_embeddings", false)?,
        initializer_range: fields.number_or("initializer_range", 0.02)?,
        bos: fields.token("bos_token_id")?,
        eos: fields.tokens("eos_token_id")?,
        pad: fields.token("pad_token_id")?,
        raw: Map::new(),
    })
}

fn refuse_sliding_window(fields: &Fields) -> Result<()> {
    let windowed = fields.strings("layer_types")?.iter().any(|t| t != "full_attention");
    if windowed || fields.flag_or("use_sliding_window", false)? {
        return Err(fields.problem("use_sliding_window", "sliding-window attention is not supported", "use a model with full attention"));
    }
    Ok(())
}

/// GPT-2: LayerNorm, learned positions, biases everywhere, GELU (tanh form).
fn gpt2(fields: &Fields) -> Result<ModelConfig> {
    fields.only("activation_function", "gelu_new", &["gelu_new", "gelu_pytorch_tanh"])?;
    fields.only_flag("scale_attn_weights", true)?;
    fields.only_flag("scale_attn_by_inverse_layer_idx", false)?;
    fields.only_flag("add_cross_attention", false)?;
    let hidden_size = fields.size_or("n_embd", 768)?;
    let num_heads = fields.size_or("n_head", 12)?;
    if !hidden_size.is_multiple_of(num_heads) {
        return Err(fields.problem("n_head", "does not divide n_embd", "give a divisor"));
    }
    Ok(ModelConfig {
        arch: Arch::Gpt2,
        vocab_size: fields.size_or("vocab_size", 50257)?,
        hidden_size,
        intermediate_size: fields.optional_size("n_inner")?.unwrap_or(4 * hidden_size),
        num_layers: fields.size_or("n_layer", 12)?,
        num_heads,
        num_kv_heads: num_heads,
        head_dim: hidden_size / num_heads,
        max_positions: fields.size_or("n_positions", 1024)?,
        norm_eps: fields.number_or("layer_norm_epsilon", 1e-5)?,
        rope_theta: 0.0,
        rope_stretch: None,
        qkv_bias: true,
        out_bias: true,
        mlp_bias: true,
        tie_embeddings: fields.flag_or("tie_word_embeddings", true)?,
        initializer_range: fields.number_or("initializer_range", 0.02)?,
        bos: fields.token("bos_token_id")?,
        eos: fields.tokens("eos_token_id")?,
        pad: fields.token("pad_token_id")?,
        raw: Map::new(),
    })
}

//! How the next token is drawn; the drawing itself is `evenkeel_kernels::draw`.

use evenkeel_kernels::sampling::Settings;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::cache::KvCacheDtype;
use super::config::{ModelConfig, outside};
use super::fields::Fields;
use crate::{Error, Result};

/// How completions are drawn. The default samples the model's own distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Longest completion, stop token included.
    pub max_new_tokens: usize,
    /// false: the most likely token each time.
    pub do_sample: bool,
    pub temperature: f32,
    /// Only the k most likely tokens; 0 for all.
    pub top_k: usize,
    /// Only the most likely tokens that together reach this probability; 1 for all.
    pub top_p: f32,
    /// Only tokens at least this share as likely as the likeliest; 0 for all.
    pub min_p: f32,
    /// Logits of tokens in prompt or completion are divided (if positive) or multiplied by this; 1 for none.
    pub repetition_penalty: f32,
    /// A completion ends with the first of these.
    pub stop: Vec<u32>,
    /// How the keys and values of earlier tokens are stored.
    pub kv_cache_dtype: KvCacheDtype,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            max_new_tokens: 256,
            do_sample: true,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            stop: Vec::new(),
            kv_cache_dtype: KvCacheDtype::default(),
        }
    }
}

impl Sampling {
    /// The most likely token each time.
    pub fn greedy(max_new_tokens: usize, stop: Vec<u32>) -> Self {
        Self { max_new_tokens, do_sample: false, stop, ..Self::default() }
    }

    /// Every impossible setting, as (field, problem).
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let checks = [
            ("max_new_tokens", self.max_new_tokens >= 1, "must be at least 1".to_owned()),
            (
                "temperature",
                self.temperature.is_finite() && self.temperature > 0.0 && self.temperature.recip().is_finite(),
                format!("{} is not above 0, or is too near it; for greedy decoding set do_sample = false", self.temperature),
            ),
            ("top_p", self.top_p > 0.0 && self.top_p <= 1.0, format!("{} is not in (0, 1]", self.top_p)),
            ("min_p", (0.0..=1.0).contains(&self.min_p), format!("{} is not in [0, 1]", self.min_p)),
            (
                "repetition_penalty",
                self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0 && self.repetition_penalty.recip().is_finite(),
                format!("{} is not above 0, or is too near it", self.repetition_penalty),
            ),
        ];
        checks.into_iter().filter(|(_, fine, _)| !fine).map(|(field, _, problem)| (field, problem)).collect()
    }

    /// Refuses the first impossible setting.
    pub(super) fn check(&self) -> Result<()> {
        match self.problems().into_iter().next() {
            Some((field, problem)) => Err(Error::input(format!("sampling: {field}"), problem, "correct it")),
            None => Ok(()),
        }
    }

    /// From `generation_config.json`, with transformers' defaults for what it leaves out (greedy; top_k 50 if sampling).
    pub(super) fn from_json(place: &str, bytes: &[u8], config: &ModelConfig) -> Result<Self> {
        let object: Map<String, Value> = serde_json::from_slice(bytes)
            .map_err(|e| Error::input(place, format!("not a JSON object ({e})"), "correct or remove the file"))?;
        let fields = Fields::new(place, &object);
        let do_sample = fields.flag_or("do_sample", false)?;
        let default = Self::default();
        let number = |key: &str, default: f32| Ok::<_, Error>(fields.number_or(key, f64::from(default))? as f32);
        let own_stop = fields.tokens("eos_token_id")?;
        if let Some(problem) = outside(&own_stop, config.vocab_size) {
            return Err(fields.problem("eos_token_id", &problem, "set it to a token of the model"));
        }
        let top_k = fields.number_or("top_k", if do_sample { 50.0 } else { 0.0 })?;
        if top_k.fract() != 0.0 {
            return Err(fields.problem("top_k", &format!("{top_k} is not a whole number"), "give a whole number; 0 for all"));
        }
        let sampling = Self {
            max_new_tokens: fields.size_or("max_new_tokens", default.max_new_tokens)?,
            do_sample,
            temperature: number("temperature", 1.0)?,
            top_k: top_k as usize,
            top_p: number("top_p", 1.0)?,
            min_p: number("min_p", 0.0)?,
            repetition_penalty: number("repetition_penalty", 1.0)?,
            stop: if own_stop.is_empty() { config.eos.clone() } else { own_stop },
            kv_cache_dtype: default.kv_cache_dtype,
        };
        // A greedy configuration may carry a temperature of 0 that nothing reads.
        match sampling.problems().into_iter().next().filter(|_| do_sample) {
            Some((field, problem)) => Err(fields.problem(field, &problem, "correct it")),
            None => Ok(sampling),
        }
    }

    /// `generation_config.json`, leaving out what is transformers' default.
    pub(super) fn to_json(&self, bos: Option<u32>, pad: Option<u32>) -> Value {
        let mut out = Map::new();
        let mut put = |key: &str, value: Value, needed: bool| {
            if needed {
                out.insert(key.to_owned(), value);
            }
        };
        // Through the decimal text, so that 0.7 is not written as 0.699999988079071.
        let decimal = |x: f32| x.to_string().parse::<f64>().map_or(Value::Null, Value::from);
        put("bos_token_id", json!(bos), bos.is_some());
        let one = self.stop.len() == 1;
        put("eos_token_id", if one { json!(self.stop[0]) } else { json!(self.stop) }, !self.stop.is_empty());
        put("pad_token_id", json!(pad), pad.is_some());
        put("do_sample", json!(true), self.do_sample);
        put("temperature", decimal(self.temperature), self.do_sample && self.temperature != 1.0);
        put("top_k", json!(self.top_k), self.do_sample);
        put("top_p", decimal(self.top_p), self.do_sample && self.top_p != 1.0);
        put("min_p", decimal(self.min_p), self.do_sample && self.min_p != 0.0);
        put("repetition_penalty", decimal(self.repetition_penalty), self.repetition_penalty != 1.0);
        put("max_new_tokens", json!(self.max_new_tokens), self.max_new_tokens != Self::default().max_new_tokens);
        Value::Object(out)
    }

    /// The numbers of a draw by a model whose context holds `context` tokens.
    pub fn settings(&self, context: usize) -> Settings {
        Settings {
            samples: self.do_sample,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            // Greedy settings may carry a temperature of 0 that nothing reads.
            inv_temperature: if self.do_sample { self.temperature.recip() } else { 1.0 },
            penalty: self.repetition_penalty,
            context,
        }
    }
}

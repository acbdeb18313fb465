//! From logits to the next token, in the order of transformers: repetition penalty, temperature, top-k, top-p, min-p.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::fields::Fields;
use crate::{Error, Result, rng};

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
                self.temperature.is_finite() && self.temperature > 0.0,
                format!("{} is not above 0; for greedy decoding set do_sample = false", self.temperature),
            ),
            ("top_p", self.top_p > 0.0 && self.top_p <= 1.0, format!("{} is not in (0, 1]", self.top_p)),
            ("min_p", (0.0..=1.0).contains(&self.min_p), format!("{} is not in [0, 1]", self.min_p)),
            (
                "repetition_penalty",
                self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0,
                format!("{} is not above 0", self.repetition_penalty),
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
    pub(super) fn from_json(place: &str, bytes: &[u8], stop: &[u32]) -> Result<Self> {
        let object: Map<String, Value> = serde_json::from_slice(bytes)
            .map_err(|e| Error::input(place, format!("not a JSON object ({e})"), "correct or remove the file"))?;
        let fields = Fields::new(place, &object);
        let do_sample = fields.flag_or("do_sample", false)?;
        let default = Self::default();
        let number = |key: &str, default: f32| Ok::<_, Error>(fields.number_or(key, f64::from(default))? as f32);
        let own_stop = fields.tokens("eos_token_id")?;
        let sampling = Self {
            max_new_tokens: fields.size_or("max_new_tokens", default.max_new_tokens)?,
            do_sample,
            temperature: number("temperature", 1.0)?,
            top_k: fields.number_or("top_k", if do_sample { 50.0 } else { 0.0 })? as usize,
            top_p: number("top_p", 1.0)?,
            min_p: number("min_p", 0.0)?,
            repetition_penalty: number("repetition_penalty", 1.0)?,
            stop: if own_stop.is_empty() { stop.to_vec() } else { own_stop },
        };
        // A greedy configuration may carry a temperature of 0 that nothing reads.
        if do_sample {
            sampling.check()?;
        }
        Ok(sampling)
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

    /// The next token of one row. `context` is prompt and completion so far; `index` counts the completion's tokens
    /// and, with `seed`, fixes the draw. logits `[V]`.
    pub fn next_token(&self, logits_v: &[f32], context: &[u32], seed: u64, index: u64) -> u32 {
        let mut scores: Vec<f64> = logits_v.iter().map(|&x| f64::from(x)).collect();
        self.penalise(&mut scores, context);
        if !self.do_sample {
            return argmax(&scores);
        }
        let temperature = f64::from(self.temperature);
        let mut candidates: Vec<(u32, f64)> = (0..).zip(scores.iter().map(|x| x / temperature)).collect();
        self.keep_top_k(&mut candidates);
        to_probabilities(&mut candidates);
        self.keep_top_p(&mut candidates);
        self.keep_min_p(&mut candidates);
        draw(&candidates, rng::uniform(&mut rng::stream(seed, "sample", index)))
    }

    /// Source: Keskar et al. 2019 (CTRL), as transformers applies it: once a token, however often it occurred.
    fn penalise(&self, scores: &mut [f64], context: &[u32]) {
        if self.repetition_penalty == 1.0 {
            return;
        }
        let penalty = f64::from(self.repetition_penalty);
        let mut seen: Vec<u32> = context.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for id in seen {
            if let Some(score) = scores.get_mut(id as usize) {
                *score = if *score > 0.0 { *score / penalty } else { *score * penalty };
            }
        }
    }

    fn keep_top_k(&self, candidates: &mut Vec<(u32, f64)>) {
        if self.top_k == 0 || self.top_k >= candidates.len() {
            return;
        }
        let mut scores: Vec<f64> = candidates.iter().map(|c| c.1).collect();
        let (_, kth, _) = scores.select_nth_unstable_by(self.top_k - 1, |a, b| b.total_cmp(a));
        let kth = *kth;
        candidates.retain(|c| c.1 >= kth);
    }

    /// Source: Holtzman et al. 2020: the token that crosses `top_p` stays.
    fn keep_top_p(&self, candidates: &mut Vec<(u32, f64)>) {
        if self.top_p >= 1.0 {
            return;
        }
        candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut before = 0.0;
        let kept = candidates.iter().take_while(|c| {
            let keep = before < f64::from(self.top_p);
            before += c.1;
            keep
        });
        let kept = kept.count();
        candidates.truncate(kept.max(1));
        renormalise(candidates);
    }

    /// Source: Nguyen et al. 2024.
    fn keep_min_p(&self, candidates: &mut Vec<(u32, f64)>) {
        let largest = candidates.iter().map(|c| c.1).fold(0.0, f64::max);
        candidates.retain(|c| c.1 >= f64::from(self.min_p) * largest);
    }
}

/// The first of the largest.
fn argmax(scores: &[f64]) -> u32 {
    let best = (0..scores.len()).reduce(|best, i| if scores[i] > scores[best] { i } else { best });
    best.unwrap_or(0) as u32
}

fn to_probabilities(candidates: &mut [(u32, f64)]) {
    let largest = candidates.iter().map(|c| c.1).fold(f64::NEG_INFINITY, f64::max);
    for candidate in candidates.iter_mut() {
        candidate.1 = (candidate.1 - largest).exp();
    }
    renormalise(candidates);
}

fn renormalise(candidates: &mut [(u32, f64)]) {
    let total: f64 = candidates.iter().map(|c| c.1).sum();
    for candidate in candidates {
        candidate.1 /= total;
    }
}

/// The candidate in whose share of [0, 1) `u` falls.
fn draw(candidates: &[(u32, f64)], u: f64) -> u32 {
    let total: f64 = candidates.iter().map(|c| c.1).sum();
    let mut left = u * total;
    for &(id, p) in candidates {
        left -= p;
        if left < 0.0 {
            return id;
        }
    }
    let likely = candidates.iter().rev().find(|c| c.1 > 0.0); // rounding left a crumb
    likely.map_or(0, |c| c.0)
}

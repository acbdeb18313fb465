//! Sampling flags over the model's own settings, and text as it is written.

use anyhow::Result;
use evenkeel_core::Error;
use evenkeel_core::model::Sampling;
use evenkeel_core::text::Text;

use crate::args::SamplingArgs;

/// The model's settings with the flags laid over them; any flag that only sampling heeds turns sampling on.
pub fn overlay(model: &Sampling, args: &SamplingArgs) -> Result<Sampling> {
    let shapes = args.temperature.is_some() || args.top_k.is_some() || args.top_p.is_some() || args.min_p.is_some();
    let base = model.clone();
    let sampling = Sampling {
        max_new_tokens: args.max_new_tokens.unwrap_or(base.max_new_tokens),
        do_sample: args.do_sample.unwrap_or(base.do_sample || shapes),
        temperature: args.temperature.map_or(base.temperature, |x| x as f32),
        top_k: args.top_k.unwrap_or(base.top_k),
        top_p: args.top_p.map_or(base.top_p, |x| x as f32),
        min_p: args.min_p.map_or(base.min_p, |x| x as f32),
        repetition_penalty: args.repetition_penalty.map_or(base.repetition_penalty, |x| x as f32),
        stop: base.stop,
        kv_cache_dtype: args.kv_cache_dtype.map_or(base.kv_cache_dtype, Into::into),
    };
    match sampling.problems().into_iter().next() {
        Some((field, problem)) => {
            let flag = format!("--{}", field.replace('_', "-"));
            Err(Error::input(flag, problem, "see `evenkeel help generate`").into())
        }
        None => Ok(sampling),
    }
}

/// Turns tokens into text as they come; a character whose bytes are not all there yet waits.
pub struct Writer<'a> {
    text: &'a Text,
    context: usize,
    ids: Vec<u32>,
    written: usize,
}

impl<'a> Writer<'a> {
    /// For what follows `prompt`, whose tail is decoded along so that spaces at the seam come out right.
    pub fn after(text: &'a Text, prompt: &[u32]) -> Self {
        /// Enough for any decoder's look-back.
        const TAIL: usize = 8;
        let ids = prompt[prompt.len().saturating_sub(TAIL)..].to_vec();
        let written = text.decode(&ids, true).len();
        Self { text, context: ids.len(), ids, written }
    }

    /// Takes one token and gives the text that is complete now.
    pub fn push(&mut self, id: u32) -> String {
        self.ids.push(id);
        let whole = self.text.decode(&self.ids, true);
        let complete = whole.trim_end_matches('\u{FFFD}').len();
        if complete <= self.written || !whole.is_char_boundary(self.written) {
            return String::new();
        }
        let new = whole[self.written..complete].to_owned();
        self.written = complete;
        new
    }

    /// Everything after the prompt at once.
    pub fn all(mut self, completion: &[u32]) -> String {
        let start = self.written;
        debug_assert_eq!(self.ids.len(), self.context, "nothing was pushed before");
        self.ids.extend_from_slice(completion);
        let whole = self.text.decode(&self.ids, true);
        whole.get(start..).unwrap_or_default().to_owned()
    }
}

//! Text → ids, and the seam between a prompt and its answer.
//!
//! Prompt and answer are tokenised together, as in TRL. Where the prompt's ids are then no prefix of the whole, a token
//! would span the seam: the answer is tokenised apart, so that training sees the prompt that generation will see.

use super::fault::Fault;
use super::implicit::common_chars;
use super::rows::Content;
use crate::text::{Message, Text};

type Outcome<T> = Result<T, Fault>;

/// Ids of prompt and answer.
pub(crate) struct Joined {
    pub ids: Vec<u32>,
    /// The first `prompt_len` ids are the prompt's, whatever the answer.
    pub prompt_len: usize,
    /// The answer was tokenised apart.
    pub apart: bool,
}

/// A tokenizer with what it puts before every text.
pub(crate) struct Tokeniser<'a> {
    text: &'a Text,
    /// BOS, or nothing.
    prefix: Vec<u32>,
}

impl<'a> Tokeniser<'a> {
    pub fn new(text: &'a Text) -> crate::Result<Self> {
        let (plain, full) = (text.encode("a", false)?, text.encode("a", true)?);
        let start = full.windows(plain.len().max(1)).position(|window| window == plain);
        Ok(Self { text, prefix: full[..start.unwrap_or(0)].to_vec() })
    }

    pub fn text(&self) -> &'a Text {
        self.text
    }

    /// A prompt as the policy sees it.
    pub fn prompt_ids(&self, prompt: &Content) -> Outcome<Vec<u32>> {
        match prompt {
            Content::Plain(text) => self.with_prefix(text),
            Content::Chat(messages) => Ok(self.text.encode(&self.open_turn(messages)?, false)?),
        }
    }

    /// A text with its BOS and EOS.
    pub fn whole(&self, text: &str) -> Outcome<Joined> {
        let mut ids = self.with_prefix(text)?;
        self.end(&mut ids);
        Ok(Joined { ids, prompt_len: 0, apart: false })
    }

    /// A conversation and which tokens are the assistant's, its end-of-turn tokens included.
    pub fn conversation(&self, messages: &[Message]) -> Outcome<(Vec<u32>, Vec<bool>)> {
        let rendered = self.text.render_chat_spans(messages)?;
        Ok(self.text.encode_spans(&rendered.text, &rendered.assistant, false)?)
    }

    /// A prompt and its answer; plain answers end in EOS.
    pub fn pair(&self, prompt: Option<&Content>, answer: &Content) -> Outcome<Joined> {
        match (prompt, answer) {
            (None, Content::Plain(answer)) => self.whole(answer),
            (None, Content::Chat(answer)) => self.chat_pair(&[], answer),
            (Some(Content::Plain(prompt)), Content::Plain(answer)) => self.plain_pair(prompt, answer),
            (Some(Content::Chat(prompt)), Content::Chat(answer)) => self.chat_pair(prompt, answer),
            _ => Err(Fault::new("prompt", "and answer are not of the same form", "write both as text or both as messages")),
        }
    }

    fn plain_pair(&self, prompt: &str, answer: &str) -> Outcome<Joined> {
        let before = self.with_prefix(prompt)?;
        let together = self.with_prefix(&format!("{prompt}{answer}"))?;
        let mut joined = self.join(before, together, answer)?;
        self.end(&mut joined.ids);
        Ok(joined)
    }

    /// The seam is where the rendered prompt and the rendered whole part, as in TRL's `apply_chat_template`.
    fn chat_pair(&self, prompt: &[Message], answer: &[Message]) -> Outcome<Joined> {
        let all = self.text.render_chat(&[prompt, answer].concat(), false, false)?;
        let opened = if prompt.is_empty() { String::new() } else { self.open_turn(prompt)? };
        let (before, after) = all.split_at(common_chars(&opened, &all));
        self.join(self.text.encode(before, false)?, self.text.encode(&all, false)?, after)
    }

    fn join(&self, before: Vec<u32>, together: Vec<u32>, answer: &str) -> Outcome<Joined> {
        let prompt_len = before.len();
        if together.len() > prompt_len && together.starts_with(&before) {
            return Ok(Joined { ids: together, prompt_len, apart: false });
        }
        let ids = [before, self.continuation(answer)?].concat();
        Ok(Joined { ids, prompt_len, apart: true })
    }

    /// Ids of an answer as the continuation of some text. Tokenizers that put a blank before every text (SentencePiece's
    /// dummy prefix) would put one into the answer; behind a newline they do not.
    fn continuation(&self, answer: &str) -> Outcome<Vec<u32>> {
        let newline = self.text.encode("\n", false)?;
        let carried = self.text.encode(&format!("\n{answer}"), false)?;
        match carried.strip_prefix(newline.as_slice()) {
            Some(rest) if !rest.is_empty() => Ok(rest.to_vec()),
            _ => Ok(self.text.encode(answer, false)?),
        }
    }

    /// The chat up to where the assistant speaks: a new turn, or its own last one to be continued.
    fn open_turn(&self, prompt: &[Message]) -> Outcome<String> {
        let continued = prompt.last().is_some_and(|m| m.role == "assistant");
        Ok(self.text.render_chat(prompt, !continued, continued)?)
    }

    fn with_prefix(&self, text: &str) -> Outcome<Vec<u32>> {
        let ids = self.text.encode(text, false)?;
        if ids.starts_with(&self.prefix) {
            return Ok(ids); // the text writes BOS itself, or there is none
        }
        Ok([self.prefix.as_slice(), &ids].concat())
    }

    fn end(&self, ids: &mut Vec<u32>) {
        let eos = self.text.eos();
        if ids.last().copied() != eos {
            ids.extend(eos);
        }
    }
}

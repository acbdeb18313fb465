//! Rows → token ids and masks, to the token as TRL 1.x (rlhf-details §2.1–2.3, §3.3), with these stated differences:
//!
//! * prompt and answer are tokenised together, as in TRL, but where the ids of the prompt are then no prefix of the
//!   whole (a merge across the seam; TRL only warns) the answer is tokenised apart, and the row counted;
//! * BOS stands once even where the text writes it out itself;
//! * `messages` train on the assistant's turns by default (TRL's `assistant_only_loss`).
//!
//! BOS is whatever the tokenizer puts before every text; EOS ends every plain answer exactly once, unless it was cut
//! off. Conversations rely on the template for both.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::implicit::common_chars;
use super::rows::{Content, Row, TokenRow};
use super::{Preference, Prompt, Sequence};
use crate::text::{Message, Text};

/// Limits and masks; TRL's names and defaults, except `assistant_only_loss` (see the module).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodeOptions {
    /// Longest sequence in tokens: SFT and DPO cut the end off, a longer reward pair or prompt is dropped.
    pub max_length: usize,
    /// `prompt`/`completion`: train on the completion only.
    pub completion_only_loss: bool,
    /// `messages`: train on the assistant's turns only.
    pub assistant_only_loss: bool,
    /// What happens to pairs over `max_length`.
    pub pair_rule: PairRule,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { max_length: 1024, completion_only_loss: true, assistant_only_loss: true, pair_rule: PairRule::CutLong }
    }
}

/// Which rule bounds a pair's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairRule {
    /// Reward model: a row with a side over `max_length` is dropped, since its score would be of another text.
    DropLong,
    /// DPO: a row whose prompt alone reaches `max_length` is dropped, any other is cut at its end.
    CutLong,
}

/// Why a sound row gives no example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// No token to learn from is left (after truncation, or for want of an assistant's turn).
    NothingTrained,
    /// The prompt leaves no room for an answer.
    PromptTooLong,
    /// A side of a reward pair is over `max_length`.
    AnswerTooLong,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Encoded<T> {
    /// An example.
    Kept {
        /// The example.
        example: T,
        /// Sequences of it that were cut at `max_length`.
        truncated: u64,
        /// Answers of it that were tokenised apart from their prompt.
        apart: u64,
    },
    /// Nothing, for this reason.
    Dropped(DropReason),
}

impl<T> Encoded<T> {
    /// The same with another kind of example.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Encoded<U> {
        match self {
            Self::Kept { example, truncated, apart } => Encoded::Kept { example: f(example), truncated, apart },
            Self::Dropped(reason) => Encoded::Dropped(reason),
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::NothingTrained => "no token to learn from",
            Self::PromptTooLong => "prompt too long for max_length",
            Self::AnswerTooLong => "longer than max_length",
        })
    }
}

/// A sequence before truncation.
struct Whole {
    sequence: Sequence,
    prompt_len: usize,
    apart: bool,
}

/// Encodes rows. Without a tokenizer only rows of token ids are taken.
pub struct Encoder<'a> {
    text: Option<&'a Text>,
    vocab_size: usize,
    /// What the tokenizer puts before every text: BOS, or nothing.
    prefix: Vec<u32>,
    options: EncodeOptions,
}

type Outcome<T> = Result<T, Fault>;

impl<'a> Encoder<'a> {
    /// `vocab_size` is the model's: rows of token ids are checked against it.
    ///
    /// # Errors
    /// When the tokenizer cannot encode at all.
    pub fn new(text: Option<&'a Text>, vocab_size: usize, options: EncodeOptions) -> crate::Result<Self> {
        let prefix = match text {
            Some(text) => prefix_of(text)?,
            None => Vec::new(),
        };
        Ok(Self { text, vocab_size, prefix, options })
    }

    /// An example for SFT, or for the log-probability of a text.
    pub fn sequence(&self, row: &Row) -> Outcome<Encoded<Sequence>> {
        let mut whole = match row {
            Row::Text(text) => self.whole_text(text)?,
            Row::Messages(messages) => self.conversation(messages)?,
            Row::PromptCompletion { prompt, completion } => {
                let mut whole = self.pair(Some(prompt), completion)?;
                if !self.options.completion_only_loss {
                    train_on_all(&mut whole.sequence);
                }
                whole
            }
            Row::Ids(row) => self.tokens(row, "input_ids")?,
            _ => return Err(wrong_task("SFT", "text, messages, prompt + completion, or input_ids")),
        };
        let truncated = u64::from(self.cut(&mut whole.sequence));
        if !whole.sequence.mask.contains(&true) {
            return Ok(Encoded::Dropped(DropReason::NothingTrained));
        }
        Ok(Encoded::Kept { example: whole.sequence, truncated, apart: u64::from(whole.apart) })
    }

    /// An example for the reward model or DPO: a pair, or a ranking.
    pub fn preference(&self, row: &Row) -> Outcome<Encoded<Preference>> {
        let (sides, margin) = match row {
            Row::Preference { prompt, chosen, rejected, margin } => {
                let side = |answer| self.pair(prompt.as_ref(), answer);
                (vec![side(chosen)?, side(rejected)?], *margin)
            }
            Row::Ranking { prompt, responses } => {
                let side = |answer| self.pair(Some(prompt), answer);
                (responses.iter().map(side).collect::<Outcome<_>>()?, 0.0)
            }
            Row::PreferenceIds { chosen, rejected, margin } => {
                let chosen = self.tokens(chosen, "chosen_input_ids")?;
                (vec![chosen, self.tokens(rejected, "rejected_input_ids")?], *margin)
            }
            _ => return Err(wrong_task("preferences", "chosen + rejected, or prompt + responses")),
        };
        let EncodeOptions { max_length: max, pair_rule: rule, .. } = self.options;
        if rule == PairRule::DropLong && sides.iter().any(|side| side.sequence.ids.len() > max) {
            return Ok(Encoded::Dropped(DropReason::AnswerTooLong));
        }
        if rule == PairRule::CutLong && sides.iter().any(|side| side.prompt_len >= max) {
            return Ok(Encoded::Dropped(DropReason::PromptTooLong));
        }
        let apart = sides.iter().filter(|side| side.apart).count() as u64;
        let mut responses: Vec<Sequence> = sides.into_iter().map(|side| side.sequence).collect();
        let truncated = responses.iter_mut().map(|side| u64::from(self.cut(side))).sum();
        if responses.iter().any(|side| !side.mask.contains(&true)) {
            return Ok(Encoded::Dropped(DropReason::NothingTrained));
        }
        Ok(Encoded::Kept { example: Preference { responses, margin }, truncated, apart })
    }

    /// A prompt for PPO or generation, from any row that has one; answers are ignored.
    pub fn prompt(&self, row: &Row) -> Outcome<Encoded<Prompt>> {
        let (ids, text) = match row {
            Row::Prompt(prompt)
            | Row::PromptCompletion { prompt, .. }
            | Row::Preference { prompt: Some(prompt), .. }
            | Row::Ranking { prompt, .. } => (self.prompt_ids(prompt)?, user_text(prompt)),
            Row::Messages(messages) => {
                let answered = messages.last().is_some_and(|m| m.role == "assistant");
                let asked = &messages[..messages.len() - usize::from(answered)];
                if asked.is_empty() {
                    return Err(Fault::new("messages", "have no prompt before the answer", "add a user message"));
                }
                let prompt = Content::Chat(asked.to_vec());
                (self.prompt_ids(&prompt)?, user_text(&prompt))
            }
            Row::Ids(row) => {
                let whole = self.tokens(row, "input_ids")?;
                let len = if row.mask.is_some() { whole.prompt_len } else { row.ids.len() };
                let ids = row.ids[..len].to_vec();
                let shown = self.text.map(|text| text.decode(&ids, true));
                (ids, shown.unwrap_or_default())
            }
            _ => return Err(wrong_task("prompts", "prompt, messages, prompt + completion, or input_ids")),
        };
        if ids.is_empty() || ids.len() > self.options.max_length {
            return Ok(Encoded::Dropped(DropReason::PromptTooLong));
        }
        Ok(Encoded::Kept { example: Prompt { ids, text }, truncated: 0, apart: 0 })
    }

    /// Ids of a prompt as the policy sees it: BOS and text, or the chat up to the assistant's turn.
    pub fn prompt_ids(&self, prompt: &Content) -> Outcome<Vec<u32>> {
        match prompt {
            Content::Plain(text) => self.with_prefix(text),
            Content::Chat(messages) => Ok(self.text()?.encode(&self.open_turn(messages)?, false)?),
        }
    }

    /// The tokenizer, if there is one.
    pub fn tokenizer(&self) -> Option<&'a Text> {
        self.text
    }

    fn text(&self) -> Outcome<&'a Text> {
        self.text.ok_or_else(|| {
            Fault::new("", "the row is text, but there is no tokenizer", "give a model with a tokenizer.json, or rows of token ids")
        })
    }

    fn with_prefix(&self, text: &str) -> Outcome<Vec<u32>> {
        let ids = self.text()?.encode(text, false)?;
        if ids.starts_with(&self.prefix) {
            return Ok(ids); // the text writes BOS itself, or there is none
        }
        Ok([self.prefix.as_slice(), &ids].concat())
    }

    fn end(&self, ids: &mut Vec<u32>) -> Outcome<()> {
        let eos = self.text()?.eos();
        if ids.last().copied() != eos {
            ids.extend(eos);
        }
        Ok(())
    }

    fn whole_text(&self, text: &str) -> Outcome<Whole> {
        let mut ids = self.with_prefix(text)?;
        self.end(&mut ids)?;
        let mut sequence = Sequence { mask: vec![true; ids.len()], ids };
        train_on_all(&mut sequence);
        Ok(Whole { sequence, prompt_len: 0, apart: false })
    }

    fn conversation(&self, messages: &[Message]) -> Outcome<Whole> {
        let text = self.text()?;
        let rendered = text.render_chat_spans(messages)?;
        let (ids, mask) = text.encode_spans(&rendered.text, &rendered.assistant, false)?;
        let mut sequence = Sequence { ids, mask };
        if self.options.assistant_only_loss {
            nothing_precedes_the_first(&mut sequence);
        } else {
            train_on_all(&mut sequence);
        }
        Ok(Whole { sequence, prompt_len: 0, apart: false })
    }

    fn pair(&self, prompt: Option<&Content>, answer: &Content) -> Outcome<Whole> {
        match (prompt, answer) {
            (None, Content::Plain(answer)) => self.whole_text(answer),
            (None, Content::Chat(answer)) => self.chat_pair(&[], answer),
            (Some(Content::Plain(prompt)), Content::Plain(answer)) => {
                let (mut ids, prompt_len, apart) = self.join(self.with_prefix(prompt)?, prompt, answer)?;
                self.end(&mut ids)?;
                Ok(whole(ids, prompt_len, apart))
            }
            (Some(Content::Chat(prompt)), Content::Chat(answer)) => self.chat_pair(prompt, answer),
            _ => Err(Fault::new("prompt", "and answer are not of the same form", "write both as text or both as messages")),
        }
    }

    /// The seam is where the rendered prompt and the rendered whole part, as in TRL's `apply_chat_template`.
    fn chat_pair(&self, prompt: &[Message], answer: &[Message]) -> Outcome<Whole> {
        let text = self.text()?;
        let all = text.render_chat(&[prompt, answer].concat(), false, false)?;
        let opened = if prompt.is_empty() { String::new() } else { self.open_turn(prompt)? };
        let seam = common_chars(&opened, &all);
        let before = text.encode(&all[..seam], false)?;
        let joined = text.encode(&all, false)?;
        let (ids, prompt_len, apart) = self.joined_or_apart(before, joined, &all[seam..])?;
        Ok(whole(ids, prompt_len, apart))
    }

    fn open_turn(&self, prompt: &[Message]) -> Outcome<String> {
        let continued = prompt.last().is_some_and(|m| m.role == "assistant");
        Ok(self.text()?.render_chat(prompt, !continued, continued)?)
    }

    fn join(&self, before: Vec<u32>, prompt: &str, answer: &str) -> Outcome<(Vec<u32>, usize, bool)> {
        let joined = self.with_prefix(&format!("{prompt}{answer}"))?;
        self.joined_or_apart(before, joined, answer)
    }

    /// (ids, prompt length, tokenised apart?): the ids of the prompt are always a strict prefix.
    fn joined_or_apart(&self, before: Vec<u32>, joined: Vec<u32>, answer: &str) -> Outcome<(Vec<u32>, usize, bool)> {
        let prompt_len = before.len();
        if joined.len() > prompt_len && joined.starts_with(&before) {
            return Ok((joined, prompt_len, false));
        }
        let rest = continuation(self.text()?, answer)?;
        Ok(([before, rest].concat(), prompt_len, true))
    }

    fn tokens(&self, row: &TokenRow, field: &str) -> Outcome<Whole> {
        if let Some(t) = row.ids.iter().position(|&id| id as usize >= self.vocab_size) {
            return Err(Fault::new(
                format!("{field}[{t}]"),
                format!("is {}, but the vocabulary has {} tokens", row.ids[t], self.vocab_size),
                "use the tokenizer of this model",
            ));
        }
        let mut sequence = Sequence { ids: row.ids.clone(), mask: vec![true; row.ids.len()] };
        if let Some(mask) = &row.mask {
            sequence.mask.clone_from(mask);
        }
        nothing_precedes_the_first(&mut sequence);
        let first = sequence.mask.iter().position(|&trained| trained);
        Ok(Whole { prompt_len: first.unwrap_or(row.ids.len()), sequence, apart: false })
    }

    /// Keeps the start (TRL's `keep_start`); says whether anything was cut.
    fn cut(&self, sequence: &mut Sequence) -> bool {
        let cut = sequence.ids.len() > self.options.max_length;
        sequence.ids.truncate(self.options.max_length);
        sequence.mask.truncate(self.options.max_length);
        cut
    }
}

fn whole(ids: Vec<u32>, prompt_len: usize, apart: bool) -> Whole {
    let mask = (0..ids.len()).map(|t| t >= prompt_len).collect();
    let mut sequence = Sequence { ids, mask };
    nothing_precedes_the_first(&mut sequence);
    Whole { sequence, prompt_len, apart }
}

fn train_on_all(sequence: &mut Sequence) {
    sequence.mask.fill(true);
    nothing_precedes_the_first(sequence);
}

fn nothing_precedes_the_first(sequence: &mut Sequence) {
    if let Some(first) = sequence.mask.first_mut() {
        *first = false;
    }
}

/// What a reward function or a reader is shown: the text, or what the user said last.
fn user_text(prompt: &Content) -> String {
    match prompt {
        Content::Plain(text) => text.clone(),
        Content::Chat(messages) => {
            let user = messages.iter().rev().find(|m| m.role == "user");
            user.or(messages.last()).map(|m| m.content.clone()).unwrap_or_default()
        }
    }
}

fn wrong_task(task: &str, shapes: &str) -> Fault {
    Fault::new("", format!("{task} cannot be made from rows of this shape"), format!("give rows of {shapes}"))
}

/// The ids before the text's own when the tokenizer adds its special tokens.
fn prefix_of(text: &Text) -> crate::Result<Vec<u32>> {
    let (plain, full) = (text.encode("a", false)?, text.encode("a", true)?);
    let start = full.windows(plain.len().max(1)).position(|window| window == plain);
    Ok(full[..start.unwrap_or(0)].to_vec())
}

/// Ids of an answer as the continuation of some text. Tokenisers that put a blank before every text (SentencePiece's
/// dummy prefix) would put one into the answer; behind a newline they do not.
fn continuation(text: &Text, answer: &str) -> crate::Result<Vec<u32>> {
    let carrier = text.encode("\n", false)?;
    let carried = text.encode(&format!("\n{answer}"), false)?;
    match carried.strip_prefix(carrier.as_slice()) {
        Some(rest) if !rest.is_empty() => Ok(rest.to_vec()),
        _ => text.encode(answer, false),
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;

//! Rows → token ids and masks, to the token as TRL 1.x (rlhf-details §2.1–2.3, §3.3), with these stated differences:
//!
//! * where the prompt's ids are no prefix of the whole, the answer is tokenised apart (`tokenise`; TRL only warns);
//! * BOS stands once even where the text writes it out itself;
//! * `messages` train on the assistant's turns by default (TRL's `assistant_only_loss`).
//!
//! BOS is whatever the tokenizer puts before every text; EOS ends every plain answer exactly once, unless it was cut
//! off. Conversations rely on the template for both.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::rows::{Content, Row, TokenRow};
use super::tokenise::{Joined, Tokeniser};
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
    tokeniser: Option<Tokeniser<'a>>,
    vocab_size: usize,
    options: EncodeOptions,
}

type Outcome<T> = Result<T, Fault>;

impl<'a> Encoder<'a> {
    /// `vocab_size` is the model's: rows of token ids are checked against it.
    ///
    /// # Errors
    /// When the tokenizer cannot encode at all.
    pub fn new(text: Option<&'a Text>, vocab_size: usize, options: EncodeOptions) -> crate::Result<Self> {
        let tokeniser = text.map(Tokeniser::new).transpose()?;
        Ok(Self { tokeniser, vocab_size, options })
    }

    /// An example for SFT, or for the log-probability of a text.
    pub fn sequence(&self, row: &Row) -> Outcome<Encoded<Sequence>> {
        let mut whole = match row {
            Row::Text(text) => whole(self.tokeniser()?.whole(text)?),
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
                let shown = self.tokenizer().map(|text| text.decode(&ids, true));
                (ids, shown.unwrap_or_default())
            }
            _ => return Err(wrong_task("prompts", "prompt, messages, prompt + completion, or input_ids")),
        };
        if ids.is_empty() || ids.len() > self.options.max_length {
            return Ok(Encoded::Dropped(DropReason::PromptTooLong));
        }
        Ok(Encoded::Kept { example: Prompt { ids, text }, truncated: 0, apart: 0 })
    }

    /// The tokenizer, if there is one.
    pub fn tokenizer(&self) -> Option<&'a Text> {
        self.tokeniser.as_ref().map(Tokeniser::text)
    }

    /// Ids of a prompt as the policy sees it: BOS and text, or the chat up to the assistant's turn.
    ///
    /// # Errors
    /// When there is no tokenizer, or its chat template refuses the prompt.
    pub fn prompt_ids(&self, prompt: &Content) -> Outcome<Vec<u32>> {
        self.tokeniser()?.prompt_ids(prompt)
    }

    fn tokeniser(&self) -> Outcome<&Tokeniser<'a>> {
        self.tokeniser.as_ref().ok_or_else(|| {
            Fault::new("", "the row is text, but there is no tokenizer", "give a model with a tokenizer.json, or rows of token ids")
        })
    }

    fn pair(&self, prompt: Option<&Content>, answer: &Content) -> Outcome<Whole> {
        Ok(whole(self.tokeniser()?.pair(prompt, answer)?))
    }

    fn conversation(&self, messages: &[Message]) -> Outcome<Whole> {
        let (ids, mask) = self.tokeniser()?.conversation(messages)?;
        let mut sequence = Sequence { ids, mask };
        if self.options.assistant_only_loss {
            nothing_precedes_the_first(&mut sequence);
        } else {
            train_on_all(&mut sequence);
        }
        Ok(Whole { sequence, prompt_len: 0, apart: false })
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

fn whole(Joined { ids, prompt_len, apart }: Joined) -> Whole {
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

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;

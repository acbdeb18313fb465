//! One JSON object → one [`Row`]: what the row says, checked, before any tokenizer is asked.
//!
//! Rules: rlhf-details §3.3–3.4; shapes as in TRL's `dataset_formats.md`. Not here: bytes and files
//! (`reader`), token ids of text (`encode`).

use serde_json::{Map, Value};

use super::fault::Fault;
use super::shape::{Form, Kind, Shape, kind_of};
use super::{fields, implicit, json};
pub use crate::text::Message;

/// A prompt or an answer: a string, or a list of messages.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Text as it stands.
    Plain(String),
    /// Messages, to be rendered by the chat template.
    Chat(Vec<Message>),
}

/// Token ids and, where the row says so, which of them are targets.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenRow {
    /// Ids as in the file; their range is checked when the vocabulary is known.
    pub ids: Vec<u32>,
    /// `mask[t]`: token `t` is a target. `None`: the row does not say.
    pub mask: Option<Vec<bool>>,
}

/// One row of a data set.
#[derive(Debug, Clone, PartialEq)]
pub enum Row {
    /// Text to be learnt as a whole.
    Text(String),
    /// A conversation.
    Messages(Vec<Message>),
    /// A prompt and the answer to be learnt.
    PromptCompletion { prompt: Content, completion: Content },
    /// A better and a worse answer; no prompt where the two have nothing in common at their start.
    Preference { prompt: Option<Content>, chosen: Content, rejected: Content, margin: f32 },
    /// Answers to one prompt, best first, at least two.
    Ranking { prompt: Content, responses: Vec<Content> },
    /// A prompt alone.
    Prompt(Content),
    /// A tokenised sequence.
    Ids(TokenRow),
    /// A tokenised pair, prompts included.
    PreferenceIds { chosen: TokenRow, rejected: TokenRow, margin: f32 },
}

/// The problem of a pair whose sides say the same; counted apart in the report.
pub(crate) const IDENTICAL: &str = "is the same as `chosen`: the pair says nothing";

/// Reads one row from its JSON text.
pub fn parse_row(text: &str) -> Result<(Shape, Row), Fault> {
    match json::parse(text)? {
        Value::Object(row) => row_of(&row),
        other => {
            Err(Fault::new("", format!("the row is {}, not a JSON object", json::kind(&other)), "write each row as {\"key\": value, …}"))
        }
    }
}

fn row_of(map: &Map<String, Value>) -> Result<(Shape, Row), Fault> {
    let kind = kind_of(map)?;
    let row = match kind {
        Kind::Text => Row::Text(fields::text(map, "text")?),
        Kind::Messages => Row::Messages(fields::messages(map, "messages")?),
        Kind::Conversations => Row::Messages(fields::messages(map, "conversations")?),
        Kind::PromptCompletion => {
            let prompt = fields::prompt(map)?;
            let completion = fields::answer(map, "completion", Some(&prompt))?;
            Row::PromptCompletion { prompt, completion }
        }
        Kind::Preference => preference(map)?,
        Kind::ImplicitPreference => implicit_preference(map)?,
        Kind::Ranking => ranking(map)?,
        Kind::Prompt => Row::Prompt(fields::prompt(map)?),
        Kind::Ids | Kind::MaskedIds => Row::Ids(fields::token_row(map, "")?),
        Kind::PreferenceIds => preference_ids(map)?,
    };
    let form = match &row {
        Row::Text(_) => Form::Plain,
        Row::Messages(_) => Form::Conversational,
        Row::PromptCompletion { completion: content, .. }
        | Row::Preference { chosen: content, .. }
        | Row::Ranking { prompt: content, .. }
        | Row::Prompt(content) => content.form(),
        Row::Ids(_) | Row::PreferenceIds { .. } => Form::TokenIds,
    };
    Ok((Shape { kind, form }, row))
}

fn preference(map: &Map<String, Value>) -> Result<Row, Fault> {
    let prompt = fields::prompt(map)?;
    let chosen = fields::answer(map, "chosen", Some(&prompt))?;
    let rejected = fields::answer(map, "rejected", Some(&prompt))?;
    differ(chosen == rejected)?;
    Ok(Row::Preference { prompt: Some(prompt), chosen, rejected, margin: fields::margin(map)? })
}

fn implicit_preference(map: &Map<String, Value>) -> Result<Row, Fault> {
    let chosen = fields::content(map, "chosen")?;
    let rejected = fields::content(map, "rejected")?;
    fields::same_form("chosen", &chosen, "rejected", &rejected)?;
    differ(chosen == rejected)?;
    let (prompt, chosen, rejected) = implicit::split(chosen, rejected)?;
    Ok(Row::Preference { prompt, chosen, rejected, margin: fields::margin(map)? })
}

fn ranking(map: &Map<String, Value>) -> Result<Row, Fault> {
    let prompt = fields::prompt(map)?;
    let mut responses = fields::answers(map, "responses", &prompt)?;
    if responses.len() < 2 {
        return Err(Fault::new(
            "responses",
            format!("has {} answer, a ranking needs at least two", responses.len()),
            "add answers or remove the row",
        ));
    }
    for (i, response) in responses.iter().enumerate() {
        if let Some(j) = responses[..i].iter().position(|other| other == response) {
            return Err(Fault::new(format!("responses[{i}]"), format!("is the same as responses[{j}]"), "keep each answer once"));
        }
    }
    if let Some(order) = fields::order_by_scores(map, responses.len())? {
        responses = order.into_iter().map(|i| responses[i].clone()).collect();
    }
    Ok(Row::Ranking { prompt, responses })
}

fn preference_ids(map: &Map<String, Value>) -> Result<Row, Fault> {
    let chosen = fields::token_row(map, "chosen_")?;
    let rejected = fields::token_row(map, "rejected_")?;
    differ(chosen.ids == rejected.ids)?;
    Ok(Row::PreferenceIds { chosen, rejected, margin: fields::margin(map)? })
}

fn differ(identical: bool) -> Result<(), Fault> {
    if identical {
        return Err(Fault::new("rejected", IDENTICAL, "remove the row"));
    }
    Ok(())
}

impl Content {
    /// Plain or conversational.
    pub fn form(&self) -> Form {
        match self {
            Self::Plain(_) => Form::Plain,
            Self::Chat(_) => Form::Conversational,
        }
    }

    /// Characters of text, roles not counted.
    pub fn chars(&self) -> usize {
        match self {
            Self::Plain(text) => text.chars().count(),
            Self::Chat(messages) => messages.iter().map(|m| m.content.chars().count()).sum(),
        }
    }
}

impl Row {
    /// No speaker has two turns in a row, and the user speaks first (after a system message). True of plain text.
    pub fn turns_alternate(&self) -> bool {
        let turns: Vec<&Message> = match self {
            Self::Messages(messages) | Self::Prompt(Content::Chat(messages)) => messages.iter().collect(),
            Self::PromptCompletion { prompt: Content::Chat(prompt), completion: Content::Chat(answer) }
            | Self::Preference { prompt: Some(Content::Chat(prompt)), chosen: Content::Chat(answer), .. } => {
                prompt.iter().chain(answer).collect()
            }
            Self::Ranking { prompt: Content::Chat(prompt), .. } => prompt.iter().collect(),
            _ => return true,
        };
        let first = turns.iter().find(|m| m.role != "system");
        let repeated = turns.windows(2).any(|two| two[0].role == two[1].role && two[0].role != "tool");
        first.is_none_or(|m| m.role == "user") && !repeated
    }

    /// Length of the longest sequence in the row: characters of text, or token ids.
    pub fn length(&self) -> usize {
        let optional = |content: &Option<Content>| content.as_ref().map_or(0, Content::chars);
        match self {
            Self::Text(text) => text.chars().count(),
            Self::Messages(messages) => messages.iter().map(|m| m.content.chars().count()).sum(),
            Self::PromptCompletion { prompt, completion } => prompt.chars() + completion.chars(),
            Self::Preference { prompt, chosen, rejected, .. } => optional(prompt) + chosen.chars().max(rejected.chars()),
            Self::Ranking { prompt, responses } => prompt.chars() + responses.iter().map(Content::chars).max().unwrap_or(0),
            Self::Prompt(prompt) => prompt.chars(),
            Self::Ids(row) => row.ids.len(),
            Self::PreferenceIds { chosen, rejected, .. } => chosen.ids.len().max(rejected.ids.len()),
        }
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;

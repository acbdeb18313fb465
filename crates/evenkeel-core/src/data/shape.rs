//! Which of the known shapes a row has, from its whole key set. Shapes follow TRL's `dataset_formats.md`, plus
//! rankings, ShareGPT and rows of token ids.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fault::Fault;

/// What the keys of a row say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `text`
    Text,
    /// `messages`
    Messages,
    /// `conversations`: ShareGPT's `from`/`value`, or role and content under that key.
    Conversations,
    /// `prompt`, `completion`
    PromptCompletion,
    /// `prompt`, `chosen`, `rejected`
    Preference,
    /// `chosen`, `rejected`: the prompt is what both have in common.
    ImplicitPreference,
    /// `prompt`, `responses` (best first), or with `scores`.
    Ranking,
    /// `prompt`
    Prompt,
    /// `input_ids`
    Ids,
    /// `input_ids` with `labels` or `completion_mask`.
    MaskedIds,
    /// `chosen_input_ids`, `chosen_completion_mask`, `rejected_input_ids`, `rejected_completion_mask`
    PreferenceIds,
}

/// How the contents are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Strings.
    Plain,
    /// Lists of messages.
    Conversational,
    /// Token ids: no tokenizer needed.
    TokenIds,
}

/// The shape of a file; every row has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// By its keys.
    pub kind: Kind,
    /// By its contents.
    pub form: Form,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let keys = match self.kind {
            Kind::Text => "text",
            Kind::Messages => "messages",
            Kind::Conversations => "conversations",
            Kind::PromptCompletion => "prompt/completion",
            Kind::Preference => "prompt/chosen/rejected",
            Kind::ImplicitPreference => "chosen/rejected",
            Kind::Ranking => "prompt/responses",
            Kind::Prompt => "prompt",
            Kind::Ids => "input_ids",
            Kind::MaskedIds => "input_ids with a mask",
            Kind::PreferenceIds => "chosen_input_ids/rejected_input_ids",
        };
        let form = match self.form {
            Form::Plain => "plain",
            Form::Conversational => "conversational",
            Form::TokenIds => "token ids",
        };
        write!(f, "{keys} ({form})")
    }
}

/// The shapes in one sentence, for messages.
pub(crate) const KNOWN_SHAPES: &str = "name the columns as one of: text; messages; prompt + completion; prompt + chosen \
    + rejected; chosen + rejected; prompt + responses; prompt; input_ids (+ labels or completion_mask)";

/// Columns that change a row's meaning and that nothing here can honour: (key, problem, remedy).
const UNSUPPORTED: [(&str, &str, &str); 5] = [
    ("tools", "tool definitions are not rendered", "remove the column, or write the tools into the system message"),
    ("image", "images are not supported", "use rows of text only"),
    ("images", "images are not supported", "use rows of text only"),
    (
        "completions",
        "stepwise and listed completions are not a known shape",
        "name the column `responses` and order it best first, if it is a ranking",
    ),
    ("label", "good/bad labels on single answers (KTO) are not supported", "pair the answers as chosen and rejected, or remove the column"),
];

/// The shape's keys. `prompt` beside `text` or `messages` is taken for an extra column.
pub(crate) fn kind_of(row: &Map<String, Value>) -> Result<Kind, Fault> {
    let has = |key: &str| row.contains_key(key);
    if has("chosen_input_ids") || has("rejected_input_ids") {
        return Ok(Kind::PreferenceIds);
    }
    if has("input_ids") {
        let masked = has("labels") || has("completion_mask");
        return Ok(if masked { Kind::MaskedIds } else { Kind::Ids });
    }
    for (key, problem, remedy) in UNSUPPORTED {
        // `label` is a common extra column of plain text; beside a completion it says good or bad.
        let harmless = key == "label" && !has("completion");
        if row.get(key).is_some_and(|value| !value.is_null()) && !harmless {
            return Err(Fault::new(key, problem, remedy));
        }
    }
    let preference = if has("prompt") { Kind::Preference } else { Kind::ImplicitPreference };
    let candidates = [
        ("text", Kind::Text),
        ("messages", Kind::Messages),
        ("conversations", Kind::Conversations),
        ("completion", Kind::PromptCompletion),
        ("chosen", preference),
        ("rejected", preference),
        ("responses", Kind::Ranking),
    ];
    let mut found: Vec<(&str, Kind)> = candidates.into_iter().filter(|(key, _)| has(key)).collect();
    found.dedup_by_key(|(_, kind)| *kind);
    match found[..] {
        [(_, kind)] => Ok(kind),
        [] if has("prompt") => Ok(Kind::Prompt),
        [] => Err(Fault::new("", format!("no known shape has the keys {}", key_list(row)), KNOWN_SHAPES)),
        [(a, _), (b, _), ..] => {
            Err(Fault::new("", format!("the keys fit more than one shape: `{a}` and `{b}`"), "remove the columns that are not meant"))
        }
    }
}

fn key_list(row: &Map<String, Value>) -> String {
    const SHOWN: usize = 8;
    if row.is_empty() {
        return "{} (none at all)".into();
    }
    let mut keys: Vec<String> = row.keys().take(SHOWN).map(|k| format!("`{k}`")).collect();
    if row.len() > SHOWN {
        keys.push("…".into());
    }
    keys.join(", ")
}

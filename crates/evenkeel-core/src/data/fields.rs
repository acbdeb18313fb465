//! Typed access to the fields of one row; every problem names its path.

use serde_json::{Map, Value};

use super::fault::Fault;
use super::json;
use super::rows::{Content, Message, TokenRow};

const FILL_OR_REMOVE: &str = "fill it in or remove the row";
/// The label of a token that is no target, in PyTorch and transformers.
const IGNORED_LABEL: i64 = -100;

type Row = Map<String, Value>;

fn get<'a>(row: &'a Row, key: &str) -> Result<&'a Value, Fault> {
    match row.get(key) {
        None => Err(Fault::new(key, "is missing", "add it, or remove the columns that need it")),
        Some(Value::Null) => Err(Fault::new(key, "is null", FILL_OR_REMOVE)),
        Some(value) => Ok(value),
    }
}

fn wrong_type(field: impl Into<String>, value: &Value, wanted: &str) -> Fault {
    Fault::new(field, format!("is {}, not {wanted}", json::kind(value)), format!("write {wanted}"))
}

fn non_empty(field: &str, text: &str) -> Result<String, Fault> {
    if text.trim().is_empty() {
        return Err(Fault::new(field, "is empty", FILL_OR_REMOVE));
    }
    Ok(text.to_owned())
}

/// A string that says something.
pub(crate) fn text(row: &Row, key: &str) -> Result<String, Fault> {
    match get(row, key)? {
        Value::String(text) => non_empty(key, text),
        other => Err(wrong_type(key, other, "text")),
    }
}

/// Text or a list of messages.
pub(crate) fn content(row: &Row, key: &str) -> Result<Content, Fault> {
    content_of(key, get(row, key)?)
}

fn content_of(field: &str, value: &Value) -> Result<Content, Fault> {
    match value {
        Value::String(text) => Ok(Content::Plain(non_empty(field, text)?)),
        Value::Array(_) => Ok(Content::Chat(messages_of(field, value)?)),
        other => Err(wrong_type(field, other, "text or a list of messages")),
    }
}

/// `prompt`; a conversation must leave the turn to the assistant, or be the assistant's own unfinished turn.
pub(crate) fn prompt(row: &Row) -> Result<Content, Fault> {
    let prompt = content(row, "prompt")?;
    if let Content::Chat(messages) = &prompt
        && messages.last().is_some_and(|m| m.role == "system")
    {
        return Err(Fault::new("prompt", "ends with a system message, so nobody asks anything", "end it with a user message"));
    }
    Ok(prompt)
}

/// An answer, in the form of the prompt where there is one.
pub(crate) fn answer(row: &Row, key: &str, prompt: Option<&Content>) -> Result<Content, Fault> {
    checked_answer(key, content(row, key)?, prompt)
}

/// A list of answers.
pub(crate) fn answers(row: &Row, key: &str, prompt: &Content) -> Result<Vec<Content>, Fault> {
    let Value::Array(values) = get(row, key)? else {
        return Err(wrong_type(key, &row[key], "a list of answers"));
    };
    let one = |(i, value): (usize, &Value)| {
        let field = format!("{key}[{i}]");
        checked_answer(&field, content_of(&field, value)?, Some(prompt))
    };
    values.iter().enumerate().map(one).collect()
}

fn checked_answer(field: &str, answer: Content, prompt: Option<&Content>) -> Result<Content, Fault> {
    if let Some(prompt) = prompt {
        same_form("prompt", prompt, field, &answer)?;
    }
    if let Content::Chat(messages) = &answer {
        for (place, message) in [("first", messages.first()), ("last", messages.last())] {
            if message.is_some_and(|m| m.role != "assistant") {
                return Err(Fault::new(
                    field,
                    format!("its {place} message is not the assistant's"),
                    "move the other turns into the prompt",
                ));
            }
        }
    }
    Ok(answer)
}

/// Both plain, or both conversational.
pub(crate) fn same_form(a: &str, left: &Content, b: &str, right: &Content) -> Result<(), Fault> {
    let word = |content: &Content| match content {
        Content::Plain(_) => "text",
        Content::Chat(_) => "a list of messages",
    };
    if left.form() == right.form() {
        return Ok(());
    }
    Err(Fault::new(b, format!("is {} but `{a}` is {}", word(right), word(left)), "write both as text, or both as lists of messages"))
}

/// A non-empty list of messages.
pub(crate) fn messages(row: &Row, key: &str) -> Result<Vec<Message>, Fault> {
    messages_of(key, get(row, key)?)
}

fn messages_of(field: &str, value: &Value) -> Result<Vec<Message>, Fault> {
    let Value::Array(values) = value else {
        return Err(wrong_type(field, value, "a list of messages"));
    };
    if values.is_empty() {
        return Err(Fault::new(field, "has no messages", FILL_OR_REMOVE));
    }
    let one = |(i, value): (usize, &Value)| message(&format!("{field}[{i}]"), i, value);
    values.iter().enumerate().map(one).collect()
}

fn message(field: &str, index: usize, value: &Value) -> Result<Message, Fault> {
    let Value::Object(message) = value else {
        return Err(wrong_type(field, value, "a message with `role` and `content`"));
    };
    if message.get("tool_calls").is_some_and(|v| !v.is_null()) {
        return Err(Fault::new(
            format!("{field}.tool_calls"),
            "tool calls are not rendered",
            "write the call into `content`, or remove the row",
        ));
    }
    let sharegpt = message.contains_key("from") && !message.contains_key("role");
    let (role_key, content_key) = if sharegpt { ("from", "value") } else { ("role", "content") };
    let inside = |fault: Fault| Fault { field: format!("{field}.{}", fault.field), ..fault };
    let given = text(message, role_key).map_err(inside)?;
    let role = role(&given).ok_or_else(|| {
        Fault::new(format!("{field}.{role_key}"), format!("`{given}` is not a known role"), "use system, user, assistant or tool")
    })?;
    if role == "system" && index > 0 {
        return Err(Fault::new(
            format!("{field}.{role_key}"),
            "a system message stands after other messages",
            "put it first, or make it a user message",
        ));
    }
    Ok(Message { role: role.to_owned(), content: message_text(message, content_key).map_err(inside)? })
}

/// transformers' role name; ShareGPT's are translated.
fn role(given: &str) -> Option<&'static str> {
    match given {
        "system" => Some("system"),
        "user" | "human" => Some("user"),
        "assistant" | "gpt" => Some("assistant"),
        "tool" | "observation" => Some("tool"),
        _ => None,
    }
}

/// A string, or OpenAI's list of parts when all of them are text.
fn message_text(message: &Row, key: &str) -> Result<String, Fault> {
    let Value::Array(parts) = get(message, key)? else {
        return text(message, key);
    };
    let mut whole = String::new();
    for (i, part) in parts.iter().enumerate() {
        match part.get("text") {
            Some(Value::String(text)) => whole.push_str(text),
            _ => {
                return Err(Fault::new(
                    format!("{key}[{i}]"),
                    "is not a part of type text",
                    "use text only; images and sounds are not supported",
                ));
            }
        }
    }
    non_empty(key, &whole)
}

/// `margin`, 0 where the row has none.
pub(crate) fn margin(row: &Row) -> Result<f32, Fault> {
    if !row.contains_key("margin") {
        return Ok(0.0);
    }
    let value = get(row, "margin")?;
    match value.as_f64() {
        Some(margin) if (margin as f32).is_finite() => Ok(margin as f32),
        _ => Err(wrong_type("margin", value, "a finite number")),
    }
}

/// Indices of the answers, best score first; `None` where the row has no scores.
pub(crate) fn order_by_scores(row: &Row, answers: usize) -> Result<Option<Vec<usize>>, Fault> {
    if !row.contains_key("scores") {
        return Ok(None);
    }
    let numbers = list(row, "scores")?;
    if numbers.len() != answers {
        return Err(Fault::new(
            "scores",
            format!("has {} entries for {answers} responses", numbers.len()),
            "give one score for each response",
        ));
    }
    let score = |(i, value): (usize, &Value)| {
        let number = value.as_f64().filter(|score| score.is_finite());
        number.ok_or_else(|| wrong_type(format!("scores[{i}]"), value, "a number"))
    };
    let scores: Vec<f64> = numbers.iter().enumerate().map(score).collect::<Result<_, _>>()?;
    let mut order: Vec<usize> = (0..answers).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    if let Some(tie) = order.windows(2).find(|w| scores[w[0]] == scores[w[1]]) {
        return Err(Fault::new(
            format!("scores[{}]", tie[1]),
            format!("is equal to scores[{}]: neither answer is the better", tie[0]),
            "break the tie or drop one of the two answers",
        ));
    }
    Ok(Some(order))
}

fn list<'a>(row: &'a Row, key: &str) -> Result<&'a [Value], Fault> {
    match get(row, key)? {
        Value::Array(values) if values.is_empty() => Err(Fault::new(key, "is an empty list", FILL_OR_REMOVE)),
        Value::Array(values) => Ok(values),
        other => Err(wrong_type(key, other, "a list")),
    }
}

/// `{prefix}input_ids` with `{prefix}labels` or `{prefix}completion_mask`.
pub(crate) fn token_row(row: &Row, prefix: &str) -> Result<TokenRow, Fault> {
    let key = |name: &str| format!("{prefix}{name}");
    let ids_key = key("input_ids");
    let ids = list(row, &ids_key)?;
    let id = |(t, value): (usize, &Value)| {
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| wrong_type(format!("{ids_key}[{t}]"), value, "a token id"))
    };
    let ids: Vec<u32> = ids.iter().enumerate().map(id).collect::<Result<_, _>>()?;
    let attention = key("attention_mask");
    if row.contains_key(&attention) && flags(row, &attention, ids.len())?.contains(&false) {
        return Err(Fault::new(attention, "marks padding", "write the rows without padding; batches are padded here"));
    }
    let mask = match (row.contains_key(&key("labels")), row.contains_key(&key("completion_mask"))) {
        (true, false) => Some(labels(row, &key("labels"), &ids)?),
        (false, true) => Some(flags(row, &key("completion_mask"), ids.len())?),
        (false, false) if prefix.is_empty() => None,
        (false, false) => return Err(get(row, &key("completion_mask")).expect_err("it is absent")),
        (true, true) => {
            return Err(Fault::new(key("labels"), "stands beside a completion mask", "keep one of the two"));
        }
    };
    Ok(TokenRow { ids, mask })
}

fn same_length(key: &str, have: usize, want: usize) -> Result<(), Fault> {
    if have == want {
        return Ok(());
    }
    Err(Fault::new(key, format!("has {have} entries for {want} token ids"), "give one entry for each token"))
}

fn flags(row: &Row, key: &str, length: usize) -> Result<Vec<bool>, Fault> {
    let values = list(row, key)?;
    same_length(key, values.len(), length)?;
    let flag = |(t, value): (usize, &Value)| match (value.as_bool(), value.as_u64()) {
        (Some(flag), _) => Ok(flag),
        (_, Some(number @ 0..=1)) => Ok(number == 1),
        _ => Err(wrong_type(format!("{key}[{t}]"), value, "0 or 1")),
    };
    values.iter().enumerate().map(flag).collect()
}

/// Targets by transformers' labels: the token's own id, or −100.
fn labels(row: &Row, key: &str, ids: &[u32]) -> Result<Vec<bool>, Fault> {
    let values = list(row, key)?;
    same_length(key, values.len(), ids.len())?;
    let target = |(t, value): (usize, &Value)| match value.as_i64() {
        Some(IGNORED_LABEL) => Ok(false),
        Some(label) if label == i64::from(ids[t]) => Ok(true),
        _ => Err(Fault::new(
            format!("{key}[{t}]"),
            format!("is {value}, neither -100 nor the token's own id {}", ids[t]),
            "do not shift the labels; write -100 where nothing is to be learnt",
        )),
    };
    values.iter().enumerate().map(target).collect()
}

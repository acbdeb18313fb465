//! Chat templates, rendered as transformers renders them (`render_jinja_template`): Jinja with trimmed blocks, loop
//! controls, Python's methods, `raise_exception`, `strftime_now`, `tojson`, and the `generation` tag.

use std::ops::Range;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, ErrorKind, State, context};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::bounded::Bounded;
use super::{NAMED_TOKENS, Text};
use crate::{Error, Result};

/// One turn of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`; whatever else the template knows.
    pub role: String,
    pub content: String,
}

/// A rendered chat and which of its bytes the assistant produces, end-of-turn token included.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    pub text: String,
    pub assistant: Vec<Range<usize>>,
}

/// Around assistant text while spans are being found: Unicode noncharacters, which no text may contain.
const OPEN: char = '\u{FDD0}';
const CLOSE: char = '\u{FDD1}';
/// Marks where the final message ends. The space tells whether the template strips its messages.
const FINAL_TAG: &str = "EVENKEEL_END_OF_FINAL_MESSAGE ";
/// What a template may spend, in minijinja's measure: one for an instruction and for every 64 bytes that it handles. So much lets it
/// handle each message dozens of times over, and is spent within a second.
const FUEL: u64 = 1 << 20;
const FUEL_PER_MESSAGE: u64 = 1 << 12;
const FUEL_PER_BYTE: u64 = 1;
const ADD_TEMPLATE: &str =
    "use an instruction-tuned model, give rows of prompt and completion, or set a template (chat_template.jinja beside the tokenizer)";

impl Text {
    /// The chat as text. `add_generation_prompt` opens the assistant's turn; `continue_final_message` leaves the last
    /// message open instead of ending its turn.
    pub fn render_chat(&self, messages: &[Message], add_generation_prompt: bool, continue_final_message: bool) -> Result<String> {
        let source = self.source()?;
        let template = self.template(&source, messages)?;
        if !continue_final_message {
            return self.render(&template, messages, add_generation_prompt, false);
        }
        let Some((last, before)) = messages.split_last() else {
            return Err(self.refused("there is no final message to continue".into(), "give at least one message"));
        };
        let tagged = Message { content: format!("{}{FINAL_TAG}", last.content), ..last.clone() };
        let messages: Vec<Message> = before.iter().cloned().chain([tagged]).collect();
        let text = self.render(&template, &messages, false, false)?;
        match text.rfind(FINAL_TAG.trim_end()) {
            Some(at) if text[at..].starts_with(FINAL_TAG) => Ok(text[..at].to_owned()),
            Some(at) => Ok(text[..at].trim_end().to_owned()),
            None => Err(self.refused("leaves out the final message".into(), "continue an assistant message")),
        }
    }

    /// The whole chat with the assistant's spans: by the template's `generation` tags where it has them, otherwise by
    /// rendering prefixes (what a turn adds after its generation prompt, without whitespace after its last token).
    pub fn render_chat_spans(&self, messages: &[Message]) -> Result<Rendered> {
        let source = self.source()?;
        let template = self.template(&source, messages)?;
        if messages.iter().any(|m| m.content.contains([OPEN, CLOSE])) {
            return Err(self.refused("a message contains U+FDD0 or U+FDD1".into(), "remove these noncharacters"));
        }
        if self.template.as_deref() != Some(&source) {
            return Ok(unmark(&self.render(&template, messages, false, true)?));
        }
        let text = self.render(&template, messages, false, false)?;
        let mut assistant = Vec::new();
        for (i, message) in messages.iter().enumerate().filter(|(_, m)| m.role == "assistant") {
            let before = self.render(&template, &messages[..i], true, false)?;
            let after = self.render(&template, &messages[..=i], false, false)?;
            if !after.starts_with(&before) || !text.starts_with(&after) {
                let problem = format!("changes earlier text when message {} is added, so that the assistant's part cannot be found", i + 1);
                return Err(self.refused(problem, "put {% generation %} … {% endgeneration %} around it in the template"));
            }
            assistant.push(before.len()..before.len() + turn_len(&after[before.len()..], &message.content));
        }
        Ok(Rendered { text, assistant })
    }

    fn render(&self, template: &Bounded, messages: &[Message], open_turn: bool, mark: bool) -> Result<String> {
        let turn = |m: &Message| Value::from_pairs([("role", m.role.as_str()), ("content", m.content.as_str())]);
        let (year, month, day) = self.date;
        let named = |name: &str| self.named.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
        let tokens = NAMED_TOKENS.iter().filter_map(|name| Some((*name, Value::from(named(name)?))));
        let arguments = context! {
            messages => messages.iter().map(turn).collect::<Vec<_>>(),
            add_generation_prompt => open_turn,
            tools => (),
            documents => (),
            evenkeel_date => vec![i64::from(year), i64::from(month), i64::from(day)],
            evenkeel_mark => mark,
            ..Value::from_pairs(tokens)
        };
        template.render(arguments).map_err(|e| {
            let e = root(&e);
            let reason = e.detail().map_or_else(|| e.to_string(), str::to_owned);
            if e.kind() == ErrorKind::OutOfFuel {
                return self.endless();
            }
            self.refused(format!("refuses this chat ({reason})"), "change the messages to what the template takes")
        })
    }

    /// The template as minijinja reads it.
    fn source(&self) -> Result<String> {
        let source = self.template.as_deref();
        source.map(rewrite_generation).ok_or_else(|| Error::input(&self.place, "the tokenizer has no chat template", ADD_TEMPLATE))
    }

    /// Jinja as transformers sets it up, with enough fuel for a chat of these messages.
    fn template<'t>(&self, source: &'t str, messages: &[Message]) -> Result<Bounded<'t>> {
        let fuel = messages.iter().map(|m| FUEL_PER_MESSAGE + FUEL_PER_BYTE * m.content.len() as u64).sum::<u64>() + FUEL;
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        let mut environment = Environment::new();
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", to_json);
        environment.add_filter("evenkeel_generation", mark_generation);
        let template = Bounded::new(environment, source, syntax.expect("Jinja's own delimiters are valid"), fuel);
        template.map_err(|e| match e.kind() {
            ErrorKind::OutOfFuel => self.endless(),
            _ => self.refused(format!("cannot be read ({e})"), "correct the template"),
        })
    }

    fn endless(&self) -> Error {
        self.refused("does not come to an end, or writes too much".into(), "correct its loops")
    }

    fn refused(&self, problem: String, remedy: &str) -> Error {
        Error::input(format!("{}: chat template", self.place), problem, remedy)
    }
}

/// The error that a template's other errors are about: what happened in a macro or an included part.
fn root(error: &minijinja::Error) -> &minijinja::Error {
    let mut root = error;
    while let Some(inner) = std::error::Error::source(root).and_then(|source| source.downcast_ref()) {
        root = inner;
    }
    root
}

/// `chat_template` of `tokenizer_config.json`: a string, or a list of named templates of which `default` is taken.
pub fn of_config(place: &str, config: &Map<String, serde_json::Value>) -> Result<Option<String>> {
    let template = match config.get("chat_template") {
        Some(serde_json::Value::Array(named)) => {
            let default = named.iter().find(|entry| entry.get("name").is_some_and(|n| n == "default"));
            let Some(default) = default else { return Ok(None) };
            default.get("template")
        }
        other => other,
    };
    match template {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(template)) => Ok(Some(template.clone())),
        Some(_) => Err(Error::input(
            format!("{place}: chat_template"),
            "is neither text nor a list of named templates",
            "write the template as text, or remove it",
        )),
    }
}

/// `chat_template.jinja`.
pub fn of_file(place: &str, bytes: &[u8]) -> Result<String> {
    let broken = |e: std::str::Utf8Error| {
        Error::input(place, format!("not valid UTF-8 at byte {}", e.valid_up_to() + 1), "save the file as UTF-8, or download it again")
    };
    std::str::from_utf8(bytes).map(str::to_owned).map_err(broken)
}

/// Length of what a turn adds, without whitespace after the end-of-turn token.
fn turn_len(added: &str, content: &str) -> usize {
    let content_end = added.find(content.trim()).map_or(0, |at| at + content.trim().len());
    let trimmed = added.trim_end().len();
    // Nothing but whitespace ends the turn: then that is its end mark.
    if trimmed > content_end { trimmed } else { added.len() }
}

/// Removes the marks and says what was between them.
fn unmark(marked: &str) -> Rendered {
    let mut rendered = Rendered { text: String::with_capacity(marked.len()), assistant: Vec::new() };
    let mut start = 0;
    for c in marked.chars() {
        match c {
            OPEN => start = rendered.text.len(),
            CLOSE => rendered.assistant.push(start..rendered.text.len()),
            other => rendered.text.push(other),
        }
    }
    rendered
}

/// `{% generation %}` and its end as a filter block, whitespace control kept: it has the same extent and scope.
fn rewrite_generation(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        // Behind the opening: `{%}` does not close what it opens.
        let Some(len) = rest[at + 2..].find("%}").map(|len| len + 2) else {
            break;
        };
        let tag = &rest[at..at + len];
        let word = tag[2..].trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        out.push_str(&rest[..at]);
        match word {
            "generation" => out.push_str(&tag.replacen(word, "filter evenkeel_generation", 1)),
            "endgeneration" => out.push_str(&tag.replacen(word, "endfilter", 1)),
            _ => out.push_str(tag),
        }
        rest = &rest[at + len..];
    }
    out.push_str(rest);
    out
}

fn mark_generation(state: &State, body: &str) -> String {
    if state.lookup("evenkeel_mark").is_some_and(|mark| mark.is_true()) { format!("{OPEN}{body}{CLOSE}") } else { body.to_owned() }
}

fn raise_exception(message: String) -> std::result::Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// Python's `json.dumps(…, ensure_ascii=False)`: minijinja's filter also escapes for HTML, which is undone here.
/// Maps are written in the order of their keys, Python's in that of insertion.
fn to_json(value: &Value, indent: Option<Value>, arguments: Kwargs) -> std::result::Result<String, minijinja::Error> {
    let json = minijinja::filters::tojson(value, indent, arguments)?;
    let json = json.as_str().unwrap_or_default();
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escapes = [("\\u003c", "<"), ("\\u003e", ">"), ("\\u0026", "&"), ("\\u0027", "'")];
        let escape = escapes.iter().find(|(code, _)| rest[at..].starts_with(code));
        // Any other escape is a backslash and one more character, which must not be taken for a new escape.
        let (plain, len) = escape.map_or((&rest[at..at + 2], 2), |(code, plain)| (*plain, code.len()));
        out.push_str(plain);
        rest = &rest[at + len..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Python's `strftime` for a date at midnight: the codes that templates use.
fn strftime_now(state: &State, format: &str) -> std::result::Result<String, minijinja::Error> {
    const MONTHS: [&str; 12] =
        ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
    let part = |i: i64| state.lookup("evenkeel_date").and_then(|d| d.get_item(&Value::from(i)).ok()?.as_i64()).unwrap_or(1);
    let (year, month, day) = (part(0), part(1), part(2));
    let name = MONTHS[(month.clamp(1, 12) - 1) as usize];
    let codes = [
        ("%d", format!("{day:02}")),
        ("%-d", day.to_string()),
        ("%m", format!("{month:02}")),
        ("%-m", month.to_string()),
        ("%B", name.to_owned()),
        ("%b", name[..3].to_owned()),
        ("%Y", year.to_string()),
        ("%y", format!("{:02}", year % 100)),
        ("%H", "00".to_owned()),
        ("%M", "00".to_owned()),
        ("%S", "00".to_owned()),
    ];
    let text = codes.iter().fold(format.to_owned(), |text, (code, value)| text.replace(code, value));
    if text.contains('%') {
        let problem = format!("strftime_now: `{format}` has a code that is not supported");
        return Err(minijinja::Error::new(ErrorKind::InvalidOperation, problem));
    }
    Ok(text)
}

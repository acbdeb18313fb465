//! The prompt of a pair that does not name it: what `chosen` and `rejected` have in common at their start.
//!
//! Differs from TRL's `extract_prompt` where that cuts inside a word or leaves a side empty (rlhf-details §3.3).

use super::fault::Fault;
use super::rows::{Content, Message};

/// The mark that opens the assistant's turn in Anthropic's HH transcripts; it ends the prompt.
const HH_ASSISTANT: &str = "\n\nAssistant:";
const HH_HUMAN: &str = "\n\nHuman:";

/// (prompt, chosen, rejected) of two whole texts or conversations that differ.
pub(crate) fn split(chosen: Content, rejected: Content) -> Result<(Option<Content>, Content, Content), Fault> {
    match (chosen, rejected) {
        (Content::Plain(chosen), Content::Plain(rejected)) => {
            let cut = if chosen.starts_with(HH_HUMAN) && rejected.starts_with(HH_HUMAN) {
                hh_cut(&chosen, &rejected)?
            } else {
                word_cut(&chosen, &rejected)
            };
            let prompt = (cut > 0).then(|| Content::Plain(chosen[..cut].to_owned()));
            let rest = |text: &str| Content::Plain(text[cut..].to_owned());
            Ok((prompt, rest(&chosen), rest(&rejected)))
        }
        (Content::Chat(chosen), Content::Chat(rejected)) => split_chat(chosen, &rejected),
        _ => unreachable!("the caller compared the forms"),
    }
}

/// Bytes of the longest common start that ends between two characters.
pub(crate) fn common_chars(a: &str, b: &str) -> usize {
    let same = a.chars().zip(b.chars()).take_while(|(x, y)| x == y);
    same.map(|(c, _)| c.len_utf8()).sum()
}

/// End of the last assistant mark that both transcripts share.
fn hh_cut(chosen: &str, rejected: &str) -> Result<usize, Fault> {
    let common = common_chars(chosen, rejected);
    let Some(start) = chosen[..common].rfind(HH_ASSISTANT) else {
        return Err(Fault::new(
            "rejected",
            "the two transcripts have no assistant turn in common",
            "pair answers to the same conversation",
        ));
    };
    let cut = start + HH_ASSISTANT.len();
    for (field, text) in [("chosen", chosen), ("rejected", rejected)] {
        if text[cut..].trim().is_empty() {
            return Err(Fault::new(field, "the answer after the last common `Assistant:` is empty", "remove the row"));
        }
    }
    Ok(cut)
}

/// The last place in the common start where a word ends, both rests having something to say. The blank stays with
/// the answers, as byte-level vocabularies expect.
fn word_cut(chosen: &str, rejected: &str) -> usize {
    let common = &chosen[..common_chars(chosen, rejected)];
    let mut word_ends = Vec::new();
    let mut previous_blank = true;
    for (at, c) in common.char_indices() {
        if c.is_whitespace() && !previous_blank {
            word_ends.push(at);
        }
        previous_blank = c.is_whitespace();
    }
    let speaks = |text: &str, at: usize| !text[at..].trim().is_empty();
    let usable = |&at: &usize| speaks(chosen, at) && speaks(rejected, at);
    word_ends.into_iter().rev().find(usable).unwrap_or(0)
}

fn split_chat(mut chosen: Vec<Message>, rejected: &[Message]) -> Result<(Option<Content>, Content, Content), Fault> {
    let same = chosen.iter().zip(rejected).take_while(|(a, b)| a == b);
    let shortest = chosen.len().min(rejected.len());
    let cut = same.count().min(shortest - 1); // each side keeps at least one message
    for (field, rest) in [("chosen", &chosen[cut..]), ("rejected", &rejected[cut..])] {
        let spoken = |m: Option<&Message>| m.is_some_and(|m| m.role == "assistant");
        if !spoken(rest.first()) || !spoken(rest.last()) {
            return Err(Fault::new(
                field,
                format!("after the {cut} messages in common it is not the assistant who speaks first and last"),
                "let the two conversations differ only in the assistant's answer",
            ));
        }
    }
    let tail = chosen.split_off(cut);
    let prompt = (!chosen.is_empty()).then_some(Content::Chat(chosen));
    Ok((prompt, Content::Chat(tail), Content::Chat(rejected[cut..].to_vec())))
}

//! Chat templates of the kinds met in the wild, rendered to the letter, and the assistant's spans in them.

use evenkeel_core::text::{Message, Text, TextFiles};
use serde_json::json;

const CHATML: &str = "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}{% endif %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// Headers, trimmed contents, BOS from the tokenizer, today's date, a system message that is always there.
const HEADERS: &str = "
{{- bos_token }}
{%- if tools is not defined or tools is none %}{% set tools = [] %}{% endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content']|trim %}
    {%- set rest = messages[1:] %}
{%- else %}
    {%- set system = '' %}
    {%- set rest = messages %}
{%- endif %}
{{- '<|header|>system<|/header|>\\n\\nToday: ' + strftime_now('%d %b %Y') + '\\n\\n' + system + '<|eot|>' }}
{%- for message in rest %}
    {%- if message.role not in ['user', 'assistant'] %}{% continue %}{% endif %}
    {{- '<|header|>' + message['role'] + '<|/header|>\\n\\n' + message['content'] | trim + '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|header|>assistant<|/header|>\\n\\n' }}
{%- endif %}
";

/// Alternating roles, checked; no system role; a `generation` block.
const STRICT: &str = "{{ bos_token }}
{%- for message in messages %}
  {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
    {{- raise_exception('Roles must alternate user/assistant') }}
  {%- endif %}
  {%- if message['role'] == 'user' %}
    {{- '[Q] ' ~ message.content.strip() ~ ' [/Q]' }}
  {%- else %}
    {% generation %}
    {{- ' ' ~ message.content ~ eos_token }}
    {%- endgeneration %}
  {%- endif %}
{%- endfor %}";

/// A tokenizer of a few words, with a template.
fn text(template: &str) -> Text {
    let special = |id: u32, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [special(0, "<s>"), special(1, "</s>"), special(2, "<|im_start|>"), special(3, "<|im_end|>")],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {"<s>": 0, "</s>": 1, "<|im_start|>": 2, "<|im_end|>": 3, "?": 4, "hi": 5, "yes": 6}, "unk_token": "?"}
    });
    let config = json!({"bos_token": {"content": "<s>"}, "eos_token": "</s>", "chat_template": template});
    let files = TextFiles { tokenizer: tokenizer.to_string().into(), config: Some(config.to_string().into()), ..TextFiles::default() };
    Text::from_files("test", files).unwrap().with_date(2026, 11, 22)
}

fn chat(turns: &[(&str, &str)]) -> Vec<Message> {
    turns.iter().map(|(role, content)| Message { role: (*role).into(), content: (*content).into() }).collect()
}

fn spans(template: &str, messages: &[Message]) -> Vec<String> {
    let rendered = text(template).render_chat_spans(messages).unwrap();
    assert_eq!(rendered.text, text(template).render_chat(messages, false, false).unwrap());
    rendered.assistant.into_iter().map(|span| rendered.text[span].to_owned()).collect()
}

#[test]
fn chatml_with_and_without_a_system_message() {
    let own = chat(&[("system", "Rhyme."), ("user", " hi ")]);
    assert_eq!(
        text(CHATML).render_chat(&own, true, false).unwrap(),
        "<|im_start|>system\nRhyme.<|im_end|>\n<|im_start|>user\n hi <|im_end|>\n<|im_start|>assistant\n"
    );
    let default = chat(&[("user", "hi"), ("assistant", "yes")]);
    assert_eq!(
        text(CHATML).render_chat(&default, false, false).unwrap(),
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n"
    );
}

#[test]
fn headers_with_date_and_trimmed_contents() {
    let messages = chat(&[("system", " Rhyme.\n"), ("user", "hi "), ("tool", "x"), ("assistant", " yes")]);
    assert_eq!(
        text(HEADERS).render_chat(&messages, true, false).unwrap(),
        "<s><|header|>system<|/header|>\n\nToday: 22 Nov 2026\n\nRhyme.<|eot|><|header|>user<|/header|>\n\nhi<|eot|><|header|>assistant<|/header|>\n\nyes<|eot|><|header|>assistant<|/header|>\n\n"
    );
}

#[test]
fn the_final_message_can_be_continued() {
    let messages = chat(&[("user", "hi"), ("assistant", "yes, ")]);
    let continued = |template| text(template).render_chat(&messages, false, true).unwrap();
    assert!(continued(CHATML).ends_with("assistant\nyes, "));
    assert!(continued(HEADERS).ends_with("<|/header|>\n\nyes,"));
    assert_eq!(continued(STRICT), "<s>[Q] hi [/Q] yes, ");
}

#[test]
fn a_template_says_why_it_refuses() {
    let messages = chat(&[("system", "x"), ("user", "hi")]);
    let refused = text(STRICT).render_chat(&messages, false, false).unwrap_err().to_string();
    assert_eq!(
        refused,
        "test: chat template: refuses this chat (Roles must alternate user/assistant); change the messages to what the template takes"
    );
    let unreadable = text("{% for %}").render_chat(&messages, false, false).unwrap_err().to_string();
    assert!(unreadable.contains("cannot be read"), "{unreadable}");
}

#[test]
fn a_model_without_a_template_is_refused_until_one_is_set() {
    let files = text("x").files();
    let file = |name: &str| files.iter().find(|f| f.0 == name).unwrap().1.clone();
    let bare = TextFiles { tokenizer: file("tokenizer.json"), ..TextFiles::default() };
    let bare = Text::from_files("test", bare).unwrap();
    let messages = chat(&[("user", "hi")]);
    assert!(bare.render_chat(&messages, false, false).unwrap_err().to_string().contains("no chat template"));
    let set = bare.with_template(CHATML);
    assert!(set.render_chat(&messages, false, false).is_ok());
    assert!(set.files().iter().any(|(name, bytes)| name == "chat_template.jinja" && bytes == CHATML.as_bytes()));
}

#[test]
fn assistant_spans_end_with_the_end_of_turn_token() {
    let messages = chat(&[("user", "hi"), ("assistant", "yes"), ("user", "hi"), ("assistant", " no. \n")]);
    assert_eq!(spans(CHATML, &messages), ["yes<|im_end|>", " no. \n<|im_end|>"]);
    assert_eq!(spans(HEADERS, &messages), ["yes<|eot|>", "no.<|eot|>"]);
    assert_eq!(spans(STRICT, &messages), [" yes</s>", "  no. \n</s>"]);
    assert_eq!(
        spans(
            "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% if not loop.last %}\n{% endif %}{% endfor %}{% if add_generation_prompt %}\nassistant: {% endif %}",
            &messages[..2]
        ),
        ["yes\n"]
    );
}

#[test]
fn a_template_that_rewrites_the_past_cannot_be_split() {
    let forgetful = "{% for m in messages %}{% if loop.last or m.role == 'user' %}{{ m.content }}|{% endif %}{% endfor %}";
    let messages = chat(&[("user", "hi"), ("assistant", "yes"), ("user", "hi"), ("assistant", "no")]);
    let refused = text(forgetful).render_chat_spans(&messages).unwrap_err().to_string();
    assert!(refused.contains("message 2") && refused.contains("{% generation %}"), "{refused}");
}

#[test]
fn tokens_of_spans_are_marked() {
    let messages = chat(&[("user", "hi"), ("assistant", "yes hi")]);
    let rendered = text(CHATML).render_chat_spans(&messages).unwrap();
    let (ids, mask) = text(CHATML).encode_spans(&rendered.text, &rendered.assistant, false).unwrap();
    let marked: Vec<u32> = ids.iter().zip(&mask).filter(|(_, m)| **m).map(|(id, _)| *id).collect();
    assert_eq!(marked, [6, 5, 3]);
    assert_eq!(ids.len(), mask.len());
}

#[test]
fn json_is_pythons() {
    let template = "{{ {'a': '<é> \\'\\\\', 'b': [1, 2.5, none, true]} | tojson }}";
    let messages = chat(&[("user", "hi")]);
    assert_eq!(text(template).render_chat(&messages, false, false).unwrap(), r#"{"a": "<é> '\\", "b": [1, 2.5, null, true]}"#);
}

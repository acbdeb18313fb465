//! Rows that cannot be meant.

use std::fs;

use super::{Case, SFT, both, tiny};

const DPO: &str = "dpo --model m --data rows.jsonl --device cpu --max-steps 1 --out out";

pub fn cases() -> Vec<Case> {
    let mut cases = sft();
    cases.extend(messages());
    cases.extend(ids());
    cases.extend(preferences());
    cases
}

/// `rows.jsonl` is these bytes.
pub fn rows(name: &str, line: &str, says: &[&str], bytes: impl Into<Vec<u8>>) -> Case {
    let bytes: Vec<u8> = bytes.into();
    Case::new(name, line, says, move |at| {
        tiny::all(at);
        fs::write(at.join("rows.jsonl"), &bytes).unwrap();
    })
}

/// Its second row is bad.
pub fn second(name: &str, says: &[&str], row: impl AsRef<[u8]>) -> Case {
    let bytes = [&b"{\"text\": \"a b\"}\n"[..], row.as_ref(), b"\n{\"text\": \"b\"}\n"].concat();
    rows(name, SFT, &both(&["rows.jsonl:2: "], says), bytes)
}

fn sft() -> Vec<Case> {
    let shapes = "name the columns as one of: text; messages; prompt + completion";
    let two = "the keys fit more than one shape";
    vec![
        second("no keys", &["no known shape has the keys {} (none at all)", shapes], "{}"),
        second(
            "keys that nobody knows",
            &["no known shape has the keys `question`, `answer`", shapes],
            r#"{"question": "a", "answer": "b"}"#,
        ),
        second(
            "a thousand keys",
            &["no known shape has the keys `k0`", "…"],
            format!("{{{}}}", (0..1000).map(|i| format!("\"k{i}\": {i}")).collect::<Vec<_>>().join(",")),
        ),
        second("a key of a megabyte", &["no known shape", "xxx … "], format!("{{\"{}\": 1}}", "x".repeat(1 << 20))),
        second("a key that speaks to the terminal", &["no known shape"], r#"{"\u001b[2J\nerror: all is well": 1}"#),
        second("keys of two shapes", &[two, "`text` and `messages`"], r#"{"text": "a", "messages": []}"#),
        second(
            "an answer and a better one",
            &[two, "`completion` and `chosen`"],
            r#"{"prompt": "a", "completion": "b", "chosen": "c", "rejected": "d"}"#,
        ),
        second(
            "another shape than the first",
            &["the row is prompt/completion (plain), but the file's rows are text (plain) since line 1"],
            r#"{"prompt": "a", "completion": "b"}"#,
        ),
        second("text that is null", &["text: is null", "fill it in or remove the row"], r#"{"text": null}"#),
        second("text that is a number", &["text: is a number, not text"], r#"{"text": 7}"#),
        second("text that is a list", &["text: is a list, not text"], r#"{"text": ["a"]}"#),
        second("text that is true", &["text: is a boolean, not text"], r#"{"text": true}"#),
        second("text that is empty", &["text: is empty"], r#"{"text": ""}"#),
        second("text of blanks", &["text: is empty"], r#"{"text": " \n\t "}"#),
        second("no prompt", &["prompt: is missing"], r#"{"completion": "a"}"#),
        second("a prompt that is null", &["prompt: is null"], r#"{"prompt": null, "completion": "a"}"#),
        second("a prompt that is empty", &["prompt: is empty"], r#"{"prompt": "", "completion": "a"}"#),
        second(
            "a prompt that is an object",
            &["prompt: is an object, not text or a list of messages"],
            r#"{"prompt": {}, "completion": "a"}"#,
        ),
        second("a completion that is a number", &["completion: is a number"], r#"{"prompt": "a", "completion": 0}"#),
        second(
            "a completion of another form",
            &["completion: is a list of messages but `prompt` is text"],
            r#"{"prompt": "a", "completion": [{"role": "assistant", "content": "b"}]}"#,
        ),
        second("tools", &["tools: tool definitions are not rendered"], r#"{"messages": [], "tools": [{}]}"#),
        second("a picture", &["image: images are not supported"], r#"{"image": "a.png", "text": "a"}"#),
        second("labels of KTO", &["label: good/bad labels", "pair the answers"], r#"{"prompt": "a", "completion": "b", "label": true}"#),
        rows(
            "prompts alone for SFT",
            SFT,
            &["rows.jsonl:1: SFT cannot be made from rows of this shape", "give rows of text"],
            r#"{"prompt": "a"}"#,
        ),
        rows("text for DPO", DPO, &["rows.jsonl:1: preferences cannot be made from rows of this shape"], r#"{"text": "a"}"#),
        rows("rows of one token", SFT, &["rows.jsonl: none of its 1 rows can be used", "no token to learn from"], r#"{"input_ids": [3]}"#),
        rows(
            "bad rows alone",
            &format!("{SFT} --skip-bad-rows"),
            &["rows.jsonl: none of its 2 rows can be used", "rows.jsonl:1: text: is null"],
            "{\"text\": null}\n{\"text\": 7}\n",
        ),
        rows(
            "bad rows of megabytes",
            &format!("{SFT} --skip-bad-rows"),
            &["rows.jsonl: none of its 3 rows can be used"],
            format!("{{\"{}\": 1}}\n", "x".repeat(4 << 20)).repeat(3),
        ),
    ]
}

fn messages() -> Vec<Case> {
    let case = |name: &str, says: &[&str], messages: &str| second(name, says, format!("{{\"messages\": {messages}}}"));
    vec![
        case("messages that are null", &["messages: is null"], "null"),
        case("messages that are text", &["messages: is text, not a list of messages"], "\"a\""),
        case("no messages", &["messages: has no messages"], "[]"),
        case("a message that is text", &["messages[0]: is text, not a message with `role` and `content`"], r#"["a"]"#),
        case("a message without a role", &["messages[0].role: is missing"], r#"[{"content": "a"}]"#),
        case("a message without content", &["messages[0].content: is missing"], r#"[{"role": "user"}]"#),
        case("a role that is a number", &["messages[0].role: is a number"], r#"[{"role": 1, "content": "a"}]"#),
        case(
            "a role that nobody knows",
            &["messages[1].role: `narrator` is not a known role", "user, assistant or tool"],
            r#"[{"role": "user", "content": "a"}, {"role": "narrator", "content": "b"}]"#,
        ),
        case(
            "a role of a megabyte",
            &["messages[0].role: `rrr"],
            &format!("[{{\"role\": \"{}\", \"content\": \"a\"}}]", "r".repeat(1 << 20)),
        ),
        case(
            "a system message in the middle",
            &["messages[1].role: a system message stands after other messages"],
            r#"[{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]"#,
        ),
        case("content that is null", &["messages[0].content: is null"], r#"[{"role": "user", "content": null}]"#),
        case("content that is empty", &["messages[0].content: is empty"], r#"[{"role": "user", "content": " "}]"#),
        case(
            "content that is a picture",
            &["messages[0].content[0]: is not a part of type text"],
            r#"[{"role": "user", "content": [{"type": "image_url", "image_url": "a"}]}]"#,
        ),
        case("content without parts", &["messages[0].content: is empty"], r#"[{"role": "user", "content": []}]"#),
        case(
            "a call of a tool",
            &["messages[0].tool_calls: tool calls are not rendered"],
            r#"[{"role": "assistant", "content": "a", "tool_calls": [{}]}]"#,
        ),
        second("ShareGPT without a value", &["conversations[0].value: is missing"], r#"{"conversations": [{"from": "human"}]}"#),
        second(
            "a completion that the user speaks",
            &["completion: its first message is not the assistant's"],
            r#"{"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "user", "content": "b"}]}"#,
        ),
        second(
            "a prompt that asks nothing",
            &["prompt: ends with a system message"],
            r#"{"prompt": [{"role": "system", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}"#,
        ),
    ]
}

fn ids() -> Vec<Case> {
    let case = |name: &str, says: &[&str], row: &str| rows(name, SFT, &both(&["rows.jsonl:1: "], says), row);
    let token = "not a token id";
    vec![
        case("ids that are null", &["input_ids: is null"], r#"{"input_ids": null}"#),
        case("ids that are text", &["input_ids: is text, not a list"], r#"{"input_ids": "1 2"}"#),
        case("no ids", &["input_ids: is an empty list"], r#"{"input_ids": []}"#),
        case("an id that is negative", &["input_ids[1]:", token], r#"{"input_ids": [1, -2]}"#),
        case("an id with a point", &["input_ids[1]:", token], r#"{"input_ids": [1, 2.0]}"#),
        case("an id of 2^32", &["input_ids[0]:", token], r#"{"input_ids": [4294967296, 1]}"#),
        case("an id that is a list", &["input_ids[0]: is a list", token], r#"{"input_ids": [[1, 2], [3, 4]]}"#),
        case("an id past the vocabulary", &["input_ids[1]: is 16, but the vocabulary has 16 tokens"], r#"{"input_ids": [1, 16, 2]}"#),
        case(
            "labels that are shifted",
            &["labels[0]: is 2, neither -100 nor the token's own id 1", "do not shift"],
            r#"{"input_ids": [1, 2], "labels": [2, -100]}"#,
        ),
        case("labels that are too few", &["labels: has 1 entries for 2 token ids"], r#"{"input_ids": [1, 2], "labels": [1]}"#),
        case("a mask of twos", &["completion_mask[1]:", "not 0 or 1"], r#"{"input_ids": [1, 2], "completion_mask": [0, 2]}"#),
        case(
            "a mask and labels",
            &["labels: stands beside a completion mask", "keep one"],
            r#"{"input_ids": [1], "labels": [1], "completion_mask": [1]}"#,
        ),
        case("padding", &["attention_mask: marks padding", "without padding"], r#"{"input_ids": [1, 2, 0], "attention_mask": [1, 1, 0]}"#),
        rows(
            "half a pair of ids",
            DPO,
            &["rows.jsonl:1: rejected_input_ids: is missing"],
            r#"{"chosen_input_ids": [1, 2], "chosen_completion_mask": [0, 1]}"#,
        ),
        rows(
            "a pair of ids without masks",
            DPO,
            &["rows.jsonl:1: chosen_completion_mask: is missing"],
            r#"{"chosen_input_ids": [1, 2], "rejected_input_ids": [1, 3]}"#,
        ),
        rows(
            "a pair of equal ids",
            DPO,
            &["rows.jsonl:1: rejected: is the same as `chosen`"],
            r#"{"chosen_input_ids": [1, 2], "chosen_completion_mask": [0, 1], "rejected_input_ids": [1, 2], "rejected_completion_mask": [0, 1]}"#,
        ),
    ]
}

fn preferences() -> Vec<Case> {
    let case = |name: &str, says: &[&str], row: &str| rows(name, DPO, &both(&["rows.jsonl:1: "], says), row);
    vec![
        case("a pair without a worse side", &["rejected: is missing"], r#"{"prompt": "a", "chosen": "b"}"#),
        case(
            "a pair of equals",
            &["rejected: is the same as `chosen`: the pair says nothing"],
            r#"{"prompt": "a", "chosen": "b", "rejected": "b"}"#,
        ),
        case("a side that is empty", &["chosen: is empty"], r#"{"prompt": "a", "chosen": "", "rejected": "b"}"#),
        case(
            "sides of different form",
            &["rejected: is a list of messages but `chosen` is text"],
            r#"{"chosen": "b", "rejected": [{"role": "assistant", "content": "c"}]}"#,
        ),
        case(
            "a margin that is text",
            &["margin: is text, not a finite number"],
            r#"{"prompt": "a", "chosen": "b", "rejected": "c", "margin": "1"}"#,
        ),
        case(
            "a margin past float32",
            &["margin: is a number, not a finite number"],
            r#"{"prompt": "a", "chosen": "b", "rejected": "c", "margin": 1e300}"#,
        ),
        case("a margin that is null", &["margin: is null"], r#"{"prompt": "a", "chosen": "b", "rejected": "c", "margin": null}"#),
        case(
            "transcripts of different talks",
            &["rejected: the two transcripts have no assistant turn in common"],
            r#"{"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: d"}"#,
        ),
        case(
            "a transcript that ends before the answer",
            &["chosen: the answer after the last common `Assistant:` is empty"],
            r#"{"chosen": "\n\nHuman: a\n\nAssistant:", "rejected": "\n\nHuman: a\n\nAssistant: d"}"#,
        ),
        case(
            "talks that differ in the question",
            &["after the 0 messages in common it is not the assistant"],
            r#"{"chosen": [{"role": "user", "content": "a"}], "rejected": [{"role": "user", "content": "b"}]}"#,
        ),
        case("a ranking of one", &["responses: has 1 answer, a ranking needs at least two"], r#"{"prompt": "a", "responses": ["b"]}"#),
        case("a ranking of none", &["responses: has 0 answer"], r#"{"prompt": "a", "responses": []}"#),
        case("a ranking that is text", &["responses: is text, not a list of answers"], r#"{"prompt": "a", "responses": "b"}"#),
        case(
            "a ranking with an answer twice",
            &["responses[2]: is the same as responses[0]"],
            r#"{"prompt": "a", "responses": ["b", "c", "b"]}"#,
        ),
        case("a ranking with null", &["responses[1]: is null, not text"], r#"{"prompt": "a", "responses": ["b", null]}"#),
        case(
            "scores that are too few",
            &["scores: has 1 entries for 2 responses"],
            r#"{"prompt": "a", "responses": ["b", "c"], "scores": [1]}"#,
        ),
        case(
            "scores that are equal",
            &["scores[1]: is equal to scores[0]", "break the tie"],
            r#"{"prompt": "a", "responses": ["b", "c"], "scores": [1, 1.0]}"#,
        ),
        case(
            "a score that is text",
            &["scores[0]: is text, not a number"],
            r#"{"prompt": "a", "responses": ["b", "c"], "scores": ["1", 2]}"#,
        ),
        case(
            "listed completions",
            &["completions: stepwise and listed completions", "`responses`"],
            r#"{"prompt": "a", "completions": ["b", "c"]}"#,
        ),
        case(
            "an answer that is null beside a better one",
            &["the keys fit more than one shape"],
            r#"{"prompt": "a", "completion": null, "chosen": "b"}"#,
        ),
    ]
}

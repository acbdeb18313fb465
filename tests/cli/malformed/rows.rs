//! Data files: bytes that are no rows, rows that cannot be meant, and files that are larger than they look.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Case, SFT, both, tiny};

const DPO: &str = "dpo --model m --data rows.jsonl --device cpu --max-steps 1 --out out";

pub fn cases() -> Vec<Case> {
    let mut cases = bytes();
    cases.extend(sft());
    cases.extend(messages());
    cases.extend(ids());
    cases.extend(preferences());
    cases.extend(files());
    cases.extend(packed());
    cases.extend(sizes());
    cases
}

/// `rows.jsonl` is these bytes.
fn rows(name: &str, line: &str, says: &[&str], bytes: impl Into<Vec<u8>>) -> Case {
    let bytes: Vec<u8> = bytes.into();
    Case::new(name, line, says, move |at| {
        tiny::all(at);
        fs::write(at.join("rows.jsonl"), &bytes).unwrap();
    })
}

/// Its second row is bad.
fn second(name: &str, says: &[&str], row: impl AsRef<[u8]>) -> Case {
    let bytes = [&b"{\"text\": \"a b\"}\n"[..], row.as_ref(), b"\n{\"text\": \"b\"}\n"].concat();
    rows(name, SFT, &both(&["rows.jsonl:2: "], says), bytes)
}

fn bytes() -> Vec<Case> {
    let utf8 = ["not valid UTF-8", "save the file as UTF-8"];
    let json = ["not valid JSON at column", "one JSON object with double quotes"];
    let cut = ["the row ends inside its JSON", "one JSON array"];
    let array = |name: &str, says: &[&str], text: &str| rows(name, SFT, &both(&["rows.jsonl:"], says), text);
    let utf16: Vec<u8> = "\u{feff}{\"text\": \"a\"}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        rows("an empty file", SFT, &["rows.jsonl: has no rows", "at least one row"], ""),
        rows("blanks alone", SFT, &["rows.jsonl: has no rows"], " \n\t\r\n\n"),
        rows("a byte-order mark alone", SFT, &["rows.jsonl: has no rows"], b"\xEF\xBB\xBF".to_vec()),
        rows("an empty array", SFT, &["rows.jsonl: has no rows"], "[]\n"),
        rows("UTF-16", SFT, &["rows.jsonl:1: not valid UTF-8 at byte 1"], utf16),
        rows("half a byte-order mark", SFT, &["rows.jsonl:1: not valid UTF-8"], b"\xEF\xBB{\"text\": \"a\"}\n".to_vec()),
        rows("a mark behind a blank", SFT, &["rows.jsonl:1: not valid JSON"], " \u{feff}{\"text\": \"a\"}\n"),
        rows("zeros", SFT, &["rows.jsonl:1: not valid JSON"], vec![0; 4096]),
        rows("a table of commas", SFT, &["rows.jsonl:1: not valid JSON"], "prompt,completion\na,b\n"),
        second("a Latin-1 letter", &utf8, b"{\"text\": \"caf\xE9\"}"),
        second("a surrogate as UTF-8", &utf8, b"{\"text\": \"\xED\xA0\x80\"}"),
        second("an overlong slash", &utf8, b"{\"text\": \"\xC0\xAF\"}"),
        second("a letter that is cut off", &utf8, b"{\"text\": \"\xE2\x82"),
        second("a row that is cut off", &cut, "{\"text\": \"a"),
        second("a row over two lines", &cut, "{\"text\":\n\"a\"}"),
        second("two objects on a line", &json, "{\"text\": \"a\"} {\"text\": \"b\"}"),
        second("a comma too many", &json, "{\"text\": \"a\",}"),
        second("single quotes", &json, "{'text': 'a'}"),
        second("a key without quotes", &json, "{text: \"a\"}"),
        second("a comment", &json, "// a comment"),
        second("Python's None", &json, "{\"text\": None}"),
        second("not a number", &json, "{\"text\": NaN}"),
        second("a tab within text", &json, "{\"text\": \"a\tb\"}"),
        second("a zero byte within text", &json, "{\"text\": \"a\0b\"}"),
        second("half a surrogate pair", &json, r#"{"text": "\ud800"}"#),
        second("an escape that there is not", &json, r#"{"text": "\x41"}"#),
        second("a number of a thousand digits", &json, format!("{{\"text\": \"a\", \"n\": {}e{}}}", "9".repeat(1000), "9".repeat(9))),
        second("lists deeper than anybody writes", &["recursion limit"], "[".repeat(100_000)),
        second("objects deeper than anybody writes", &["recursion limit"], "{\"text\":".repeat(100_000)),
        second("a key twice", &["text: stands twice in this row", "keep one of the two"], r#"{"text": "a", "text": "b"}"#),
        second("a key twice, written differently", &["text: stands twice"], r#"{"text": "a", "\u0074ext": "b"}"#),
        second("an inner key twice", &["role: stands twice"], r#"{"messages": [{"role": "user", "role": "system", "content": "a"}]}"#),
        second("a list", &["the row is a list, not a JSON object"], "[\"a\"]"),
        second("text", &["the row is text, not a JSON object"], "\"a\""),
        second("null", &["the row is null, not a JSON object"], "null"),
        second("a number", &["the row is a number"], "7"),
        array(
            "an array that does not close",
            &["the file ends before its JSON array is closed", "cut off"],
            "[{\"text\": \"a\"},\n{\"text\": \"b\"}",
        ),
        array("text behind an array", &["2: text after the `]`"], "[{\"text\": \"a\"}]\n{\"text\": \"b\"}"),
        array("an array with two commas", &["1: a comma with no row beside it"], "[{\"text\": \"a\"},,{\"text\": \"b\"}]"),
        array("an array with a comma at its end", &["2: a comma with no row beside it"], "[{\"text\": \"a\"},\n]"),
        array("an array that closes as an object", &["1: not valid JSON"], "[{\"text\": \"a\"]}\n]"),
        array("an array of text", &["1: the row is text"], "[\"a\", \"b\"]"),
    ]
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

fn files() -> Vec<Case> {
    let named = |name: &str, file: &'static str, says: &[&str]| {
        let line = SFT.replace("rows.jsonl", file);
        Case::new(name, line, &both(&[format!("{file}: ").as_str()], says), move |at| {
            tiny::all(at);
            fs::copy(at.join("rows.jsonl"), at.join(file)).unwrap();
        })
    };
    let convert = "convert it to one JSON object a line";
    let mut cases = vec![
        named("a table", "rows.csv", &["is not called .jsonl, .jsonl.gz or .json", convert]),
        named("a parquet file", "rows.parquet", &["is not called", convert]),
        named("no ending", "rows", &["is not called", convert]),
        named("another packer", "rows.jsonl.zst", &["is not called", convert]),
        Case::new("no file", SFT, &["rows.jsonl: cannot be read", "check the path"], tiny::model),
        Case::new("a folder", SFT, &["rows.jsonl: cannot be read", "is a directory"], |at| {
            tiny::model(at);
            fs::create_dir(at.join("rows.jsonl")).unwrap();
        }),
        Case::new(
            "a file within a file",
            SFT.replace("rows.jsonl", "rows.jsonl/rows.jsonl"),
            &["rows.jsonl/rows.jsonl: cannot be read"],
            tiny::all,
        ),
        Case::new("no held-out file", format!("{SFT} --eval-data none.jsonl"), &["none.jsonl: cannot be read"], tiny::all),
        Case::new("a held-out file with a bad row", format!("{SFT} --eval-data bad.jsonl"), &["bad.jsonl:1: text: is null"], |at| {
            tiny::all(at);
            fs::write(at.join("bad.jsonl"), "{\"text\": null}\n").unwrap();
        }),
    ];
    #[cfg(unix)]
    cases.push(Case::new("a pipe that nobody writes", SFT, &["rows.jsonl: cannot be read", "not an ordinary file"], |at| {
        tiny::model(at);
        assert!(std::process::Command::new("mkfifo").arg(at.join("rows.jsonl")).status().unwrap().success());
    }));
    #[cfg(target_os = "linux")]
    cases.push(Case::new("a link to what never ends", SFT, &["rows.jsonl: cannot be read", "not an ordinary file"], |at| {
        tiny::model(at);
        std::os::unix::fs::symlink("/dev/zero", at.join("rows.jsonl")).unwrap();
    }));
    cases
}

fn gzip(write: impl FnOnce(&mut GzEncoder<Vec<u8>>)) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    write(&mut encoder);
    encoder.finish().unwrap()
}

fn packed() -> Vec<Case> {
    let line = SFT.replace("rows.jsonl", "rows.jsonl.gz");
    let case = |name: &str, says: &[&str], bytes: Vec<u8>| {
        Case::new(name, line.clone(), says, move |at| {
            tiny::model(at);
            fs::write(at.join("rows.jsonl.gz"), &bytes).unwrap();
        })
    };
    let sound = gzip(|out| (0..200).for_each(|i| writeln!(out, "{{\"text\": \"a b {i}\"}}").unwrap()));
    let cut = ["rows.jsonl.gz: cannot be read to its end", "fetch or compress the file again"];
    let mut wrong_sum = sound.clone();
    let sum = wrong_sum.len() - 8;
    wrong_sum[sum] ^= 1;
    let mut wrong_block = sound.clone();
    wrong_block[12..20].fill(0xFF);
    vec![
        case("gzip that is cut off", &cut, sound[..sound.len() / 2].to_vec()),
        case("gzip without its sum", &cut, sound[..sound.len() - 8].to_vec()),
        case("gzip with another sum", &cut, wrong_sum),
        case("gzip with a broken block", &cut, wrong_block),
        case("gzip's first two bytes", &cut, sound[..2].to_vec()),
        case("gzip and then something else", &cut, [&sound[..], &sound[..5]].concat()),
        case("gzip of nothing", &["rows.jsonl.gz: has no rows"], gzip(|_| {})),
        case("gzip within gzip", &["rows.jsonl.gz:1: not valid UTF-8"], gzip(|out| out.write_all(&sound).unwrap())),
        case(
            "gzip of a bad row",
            &["rows.jsonl.gz:2: text: is a number"],
            gzip(|out| out.write_all(b"{\"text\": \"a\"}\n{\"text\": 7}\n").unwrap()),
        ),
        case("128 MB of one line in a few kilobytes", &["rows.jsonl.gz:1: the row is longer than 16777216 bytes"], {
            gzip(|out| (0..128).for_each(|_| out.write_all(&[b'{'; 1 << 20]).unwrap()))
        }),
        case("128 MB of blanks in a few kilobytes", &["rows.jsonl.gz: holds more than 100 times its size", "decompress it"], {
            let blanks = [&[b' '; 1 << 20][..], b"\n"].concat();
            gzip(|out| {
                out.write_all(b"{\"text\": \"a b\"}\n").unwrap();
                (0..128).for_each(|_| out.write_all(&blanks).unwrap());
            })
        }),
    ]
}

/// `rows.jsonl` is `before`, and `letter` up to `size` bytes.
fn long(at: &Path, before: &str, letter: u8, size: usize) {
    tiny::all(at);
    let mut file = File::create(at.join("rows.jsonl")).unwrap();
    file.write_all(before.as_bytes()).unwrap();
    let piece = vec![letter; 1 << 20];
    (0..size >> 20).for_each(|_| file.write_all(&piece).unwrap());
}

fn sizes() -> Vec<Case> {
    let too_long = ["the row is longer than 16777216 bytes", "write one row a line"];
    let at_line = |line: &'static str| both(&[line], &too_long);
    vec![
        Case::new("a line of 100 MB", SFT, &at_line("rows.jsonl:2: "), |at| long(at, "{\"text\": \"a\"}\n{\"text\": \"", b'a', 100 << 20)),
        Case::new("a line of 100 MB, whatever is skipped", format!("{SFT} --skip-bad-rows"), &at_line("rows.jsonl:1: "), |at| {
            long(at, "{\"text\": \"", b'a', 100 << 20);
        }),
        Case::new("an element of 32 MB", SFT, &at_line("rows.jsonl:1: "), |at| long(at, "[{\"text\": \"", b'a', 32 << 20)),
        Case::new("32 million brackets", SFT, &at_line("rows.jsonl:1: "), |at| long(at, "", b'[', 32 << 20)),
    ]
}

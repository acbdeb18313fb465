use super::*;
use crate::data::reader::{BadRows, RowReader};

fn parse(json: &str) -> (String, Row) {
    let (shape, row) = parse_row(json).unwrap_or_else(|fault| panic!("{json}: {fault:?}"));
    (shape.to_string(), row)
}

fn plain(text: &str) -> Content {
    Content::Plain(text.into())
}

fn message(role: &str, content: &str) -> Message {
    Message { role: role.into(), content: content.into() }
}

/// `field: problem` of a row that must be refused.
fn refusal(json: &str) -> String {
    match parse_row(json) {
        Ok(row) => panic!("{json} was taken as {row:?}"),
        Err(fault) => {
            assert!(!fault.remedy.is_empty());
            format!("{}: {}", fault.field, fault.problem)
        }
    }
}

#[test]
fn every_shape_is_detected() {
    let user = r#"[{"role":"user","content":"q"}]"#;
    let said = r#"[{"role":"assistant","content":"a"}]"#;
    let other = r#"[{"role":"assistant","content":"b"}]"#;
    let cases = [
        (r#"{"text":"a b"}"#.to_owned(), "text (plain)"),
        (format!(r#"{{"messages":{user},"prompt":"extra"}}"#), "messages (conversational)"),
        (r#"{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}"#.into(), "conversations (conversational)"),
        (r#"{"prompt":"q","completion":" a","id":null}"#.into(), "prompt/completion (plain)"),
        (format!(r#"{{"prompt":{user},"completion":{said}}}"#), "prompt/completion (conversational)"),
        (r#"{"prompt":"q","chosen":"a","rejected":"b","margin":0.5}"#.into(), "prompt/chosen/rejected (plain)"),
        (format!(r#"{{"prompt":{user},"chosen":{said},"rejected":{other}}}"#), "prompt/chosen/rejected (conversational)"),
        (r#"{"chosen":"q a","rejected":"q b"}"#.into(), "chosen/rejected (plain)"),
        (r#"{"prompt":"q","responses":["a","b"]}"#.into(), "prompt/responses (plain)"),
        (r#"{"prompt":"q"}"#.into(), "prompt (plain)"),
        (r#"{"input_ids":[1,2],"text":"x"}"#.into(), "input_ids (token ids)"),
        (r#"{"input_ids":[1,2],"labels":[-100,2]}"#.into(), "input_ids with a mask (token ids)"),
    ];
    for (json, want) in cases {
        assert_eq!(parse(&json).0, want, "{json}");
    }
}

#[test]
fn token_rows_and_scores_are_read() {
    let (_, row) = parse(r#"{"input_ids":[5,6,7],"completion_mask":[0,1,true]}"#);
    let mask = Some(vec![false, true, true]);
    assert_eq!(row, Row::Ids(TokenRow { ids: vec![5, 6, 7], mask }));
    let (_, row) = parse(
        r#"{"chosen_input_ids":[1,2],"chosen_completion_mask":[0,1],
            "rejected_input_ids":[1,3],"rejected_completion_mask":[0,1],"margin":2}"#,
    );
    assert!(matches!(row, Row::PreferenceIds { margin: 2.0, .. }));
    let (_, row) = parse(r#"{"prompt":"q","responses":["c","a","b"],"scores":[-1,7,2.5]}"#);
    let Row::Ranking { responses, .. } = row else { panic!("not a ranking") };
    assert_eq!(responses, [plain("a"), plain("b"), plain("c")]);
}

#[test]
fn bad_rows_name_their_field() {
    let cases = [
        (r#"{"messages": []}"#, "messages: has no messages"),
        (r#"{"text": ""}"#, "text: is empty"),
        (r#"{"text": null}"#, "text: is null"),
        (r#"{"text": 5}"#, "text: is a number, not text"),
        (r#"{"text":"a","text":"b"}"#, "text: stands twice"),
        (r#"{"a":{"b":1,"b":2},"text":"x"}"#, "b: stands twice"),
        (r#"{"question":"a"}"#, "no known shape has the keys `question`"),
        (r#"{}"#, "no known shape"),
        (r#"[1]"#, "the row is a list"),
        (r#"{"text":"a"},"#, "not valid JSON at column 13"),
        (r#"{"text":"a""#, "the row ends inside"),
        (r#"{"text":"\ud800"}"#, "hex escape"),
        (&"[".repeat(500), "recursion limit"),
        (r#"{"text":"a","messages":[]}"#, "more than one shape: `text` and `messages`"),
        (r#"{"completion":"a"}"#, "prompt: is missing"),
        (r#"{"prompt":"q","chosen":"a"}"#, "rejected: is missing"),
        (r#"{"prompt":"q","chosen":"a","rejected":"a"}"#, "rejected: is the same as `chosen`"),
        (r#"{"chosen":"a","rejected":"a"}"#, "rejected: is the same as `chosen`"),
        (r#"{"prompt":"q","completion":"a","label":true}"#, "label: good/bad"),
        (r#"{"prompt":"q","completion":[{"role":"assistant","content":"a"}]}"#, "completion: is a list of messages but `prompt` is text"),
        (r#"{"messages":[{"role":"user","content":"a"},{"role":"robot","content":"b"}]}"#, "messages[1].role: `robot` is not a known role"),
        (
            r#"{"messages":[{"role":"user","content":"a"},{"role":"system","content":"b"}]}"#,
            "messages[1].role: a system message stands after",
        ),
        (r#"{"messages":[{"role":"user","content":null}]}"#, "messages[0].content: is null"),
        (
            r#"{"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"user","content":"a"}]}"#,
            "completion: its first message is not the assistant's",
        ),
        (r#"{"prompt":"q","responses":["a"]}"#, "responses: has 1 answer"),
        (r#"{"prompt":"q","responses":["a","b","a"]}"#, "responses[2]: is the same as responses[0]"),
        (r#"{"prompt":"q","responses":["a","b"],"scores":[1,1]}"#, "scores[1]: is equal"),
        (r#"{"prompt":"q","responses":["a","b"],"scores":[1]}"#, "scores: has 1 entries"),
        (r#"{"prompt":"q","chosen":"a","rejected":"b","margin":"x"}"#, "margin: is text"),
        (r#"{"input_ids":[]}"#, "input_ids: is an empty list"),
        (r#"{"input_ids":[1,-2]}"#, "input_ids[1]: is a number, not a token id"),
        (r#"{"input_ids":[1,2],"labels":[-100]}"#, "labels: has 1 entries for 2"),
        (r#"{"input_ids":[1,2],"labels":[-100,3]}"#, "labels[1]: is 3, neither -100 nor"),
        (r#"{"chosen_input_ids":[1],"chosen_completion_mask":[1],"rejected_input_ids":[2]}"#, "rejected_completion_mask: is missing"),
    ];
    for (json, want) in cases {
        let got = refusal(json);
        assert!(got.contains(want), "{json}\n got: {got}\nwant: {want}");
    }
}

#[test]
fn implicit_prompts_end_at_a_word_or_an_assistant_turn() {
    let split = |chosen: &str, rejected: &str| {
        let json = serde_json::json!({ "chosen": chosen, "rejected": rejected });
        match parse(&json.to_string()).1 {
            Row::Preference { prompt, chosen: Content::Plain(chosen), rejected: Content::Plain(rejected), .. } => {
                let prompt = match prompt {
                    Some(Content::Plain(prompt)) => prompt,
                    _ => String::new(),
                };
                [prompt, chosen, rejected]
            }
            other => panic!("{other:?}"),
        }
    };
    let sky = split("The sky is blue.", "The sky is green.");
    assert_eq!(sky, ["The sky is", " blue.", " green."]);
    assert_eq!(split("Answer: Paris", "Answer: Pasta"), ["Answer:", " Paris", " Pasta"]);
    assert_eq!(split("Paris", "Pasta"), ["", "Paris", "Pasta"]);
    assert_eq!(split("The sky is", "The sky is blue"), ["The sky", " is", " is blue"]);
    assert_eq!(split("a b ", "a b c"), ["a", " b ", " b c"]);
    let head = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: so?\n\nAssistant:";
    let hh = split(&format!("{head} I see you"), &format!("{head} I see"));
    assert_eq!(hh, [head, " I see you", " I see"]);
    let empty = serde_json::json!({ "chosen": format!("{head} x"), "rejected": head });
    assert!(refusal(&empty.to_string()).starts_with("rejected: the answer after"));

    let chat = r#"{"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],
                 "rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"b"}]}"#;
    let Row::Preference { prompt, chosen, .. } = parse(chat).1 else { panic!("not a pair") };
    assert_eq!(prompt, Some(Content::Chat(vec![message("user", "q")])));
    assert_eq!(chosen, Content::Chat(vec![message("assistant", "a")]));
    let differs_early = r#"{"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],
                          "rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"b"}]}"#;
    assert!(refusal(differs_early).contains("in common"));
}

fn read(file: &[u8], policy: BadRows) -> (crate::Result<usize>, RowReader) {
    let mut reader = RowReader::new("train.jsonl", policy);
    let mut count = 0;
    let mut run = || -> crate::Result<usize> {
        for chunk in file.chunks(5) {
            count += reader.feed(chunk)?.len();
        }
        count += reader.finish()?.len();
        Ok(count)
    };
    let result = run();
    (result, reader)
}

#[test]
fn turns_that_do_not_alternate_are_noticed() {
    let row = |roles: &[&str]| Row::Messages(roles.iter().map(|role| message(role, "x")).collect());
    assert!(row(&["system", "user", "assistant", "tool", "tool", "assistant", "user"]).turns_alternate());
    assert!(!row(&["user", "user"]).turns_alternate());
    assert!(!row(&["system", "assistant"]).turns_alternate());
}

#[test]
fn reader_names_file_and_line() {
    let message = |file: &[u8]| read(file, BadRows::Stop).0.unwrap_err().to_string();
    let mixed = b"{\"text\":\"a\"}\n\n{\"prompt\":\"a\"}\n";
    assert!(message(mixed).starts_with("train.jsonl:3: the row is prompt (plain), but"));
    let nothing = message(b"\n \n");
    assert!(nothing.starts_with("train.jsonl: has no rows"), "{nothing}");
    let broken = b"{\"text\":\"a\"}\n{\"text\":\"\xff\"}\n";
    assert!(message(broken).starts_with("train.jsonl:2: not valid UTF-8 at byte 10"));
    assert!(message(b"{\"text\":\"a\"}\n{\"text\":[]}").starts_with("train.jsonl:2: text: is a list"));
}

#[test]
fn skipping_counts_and_lists() {
    let file = b"{\"text\":\"a\"}\n{\"text\":\"\"}\n{\"prompt\":\"a\"}\n{\"text\":\"b\"}\n";
    let (count, reader) = read(file, BadRows::Skip);
    assert_eq!(count, Ok(2));
    assert_eq!(reader.bad_rows().count, 2);
    assert!(reader.bad_rows().messages[0].starts_with("train.jsonl:2: text: is empty"));
    let (all_bad, _) = read(b"{\"text\":\"\"}", BadRows::Skip);
    assert!(all_bad.unwrap_err().to_string().contains("none of its 1 rows"));
    let same = b"{\"chosen\":\"a\",\"rejected\":\"a\"}\n{\"chosen\":\"a\",\"rejected\":\"b\"}";
    assert_eq!(read(same, BadRows::Skip).1.bad_rows().identical_pairs, 1);
}

/// Whatever bytes come, the reader ends with rows or with an error that names the file; it never panics.
#[test]
fn damaged_files_never_panic() {
    use rand::RngExt;
    let whole = concat!(
        r#"[{"prompt":"q é","responses":["a","b"],"scores":[1,2]},"#,
        r#"{"chosen":"\n\nHuman: x\n\nAssistant: y","rejected":"\n\nHuman: x\n\nAssistant: z"},"#,
        r#"{"messages":[{"from":"human","value":"漢"},{"role":"assistant","content":[{"type":"text","text":"t"}]}]},"#,
        r#"{"chosen_input_ids":[1,2],"chosen_completion_mask":[0,1],"rejected_input_ids":[1],"rejected_completion_mask":[true]}]"#,
    );
    let lines = whole[1..whole.len() - 1].replace("},{\"", "}\n{\"");
    for (case, file) in (0..2000u64).zip([whole, lines.as_str()].into_iter().cycle()) {
        let mut rng = crate::rng::stream(3, "damage", case);
        let mut bytes = file.as_bytes().to_vec();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..3) {
                0 => bytes[at] = rng.random_range(0..=255),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, *b"\"{}[],:\\\n\r n0-".get(rng.random_range(0..14usize)).unwrap()),
            }
        }
        let policy = if case % 4 < 2 { BadRows::Skip } else { BadRows::Stop };
        if let Err(error) = read(&bytes, policy).0 {
            assert!(error.to_string().starts_with("train.jsonl"), "{error}");
        }
    }
}

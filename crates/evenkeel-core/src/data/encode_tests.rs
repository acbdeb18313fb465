use super::*;
use crate::rng;
use crate::text::TextFiles;
use rand::RngExt;

/// A byte-fallback BPE over a few letters. `ab` is one token, so a prompt ending in `a` before an answer starting with
/// `b` has a token across the seam. `dummy_prefix`: a blank is put before every text, as SentencePiece does.
fn toy(dummy_prefix: bool, around: &str) -> Text {
    let mut vocab = serde_json::Map::new();
    let specials = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"];
    let bytes = (0..=255u8).map(|b| format!("<0x{b:02X}>"));
    let pieces = ["▁", "a", "b", "c", "ab", "▁a", "▁ab"].map(str::to_owned);
    for token in specials.map(str::to_owned).into_iter().chain(bytes).chain(pieces) {
        vocab.insert(token, vocab.len().into());
    }
    let added: Vec<_> = specials.iter().enumerate().map(|(id, token)| {
        serde_json::json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
    }).collect();
    let replace = serde_json::json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let mut normalizers = vec![replace];
    if dummy_prefix {
        normalizers.insert(0, serde_json::json!({"type": "Prepend", "prepend": "▁"}));
    }
    let template: Vec<_> = around
        .split_whitespace()
        .map(|part| match part {
            "A" => serde_json::json!({"Sequence": {"id": "A", "type_id": 0}}),
            special => serde_json::json!({"SpecialToken": {"id": special, "type_id": 0}}),
        })
        .collect();
    let mut decoders = vec![
        serde_json::json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        serde_json::json!({"type": "ByteFallback"}),
        serde_json::json!({"type": "Fuse"}),
    ];
    if dummy_prefix {
        decoders.push(serde_json::json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "pre_tokenizer": null,
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "decoder": {"type": "Sequence", "decoders": decoders},
        "post_processor": {"type": "TemplateProcessing", "single": template, "pair": template, "special_tokens": {
            "<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}, "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "vocab": vocab,
            "merges": [["a", "b"], ["▁", "ab"], ["▁", "a"]]},
    });
    let config = br#"{"bos_token": "<s>", "eos_token": "</s>"}"#.to_vec();
    let files = TextFiles { tokenizer: tokenizer.to_string().into_bytes(), config: Some(config), ..TextFiles::default() };
    Text::from_files("toy", files).unwrap().with_template(CHATML)
}

const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const IM_END: u32 = 4;

fn encoder(text: &Text) -> Encoder<'_> {
    with_options(text, EncodeOptions::default())
}

fn with_options(text: &Text, options: EncodeOptions) -> Encoder<'_> {
    Encoder::new(Some(text), text.vocab_size(), options).unwrap()
}

fn plain(text: &str) -> Content {
    Content::Plain(text.to_owned())
}

fn said(role: &str, content: &str) -> Message {
    Message { role: role.into(), content: content.into() }
}

fn answer_to(prompt: &str, completion: &str) -> Row {
    Row::PromptCompletion { prompt: plain(prompt), completion: plain(completion) }
}

fn kept<T>(encoded: Outcome<Encoded<T>>) -> (T, u64, u64) {
    match encoded.unwrap() {
        Encoded::Kept { example, truncated, apart } => (example, truncated, apart),
        Encoded::Dropped(reason) => panic!("dropped: {reason}"),
    }
}

fn dropped<T>(encoded: Outcome<Encoded<T>>) -> DropReason {
    match encoded.unwrap() {
        Encoded::Kept { .. } => panic!("kept"),
        Encoded::Dropped(reason) => reason,
    }
}

/// Text of the tokens that are trained.
fn trained(text: &Text, sequence: &Sequence) -> String {
    let ids = sequence.ids.iter().zip(&sequence.mask).filter(|(_, trained)| **trained).map(|(id, _)| *id);
    text.decode(&ids.collect::<Vec<_>>(), false)
}

fn random_text(rng: &mut impl rand::Rng) -> String {
    const LETTERS: [char; 12] = ['a', 'b', 'a', 'b', 'c', ' ', ' ', '\n', '.', 'é', '漢', '🙂'];
    let length = rng.random_range(1..12usize);
    let mut text: String = (0..length).map(|_| LETTERS[rng.random_range(0..LETTERS.len())]).collect();
    if text.trim().is_empty() {
        text.push('c');
    }
    text
}

#[test]
fn random_pairs_keep_every_promise() {
    for (dummy_prefix, around) in [(false, "<s> A"), (true, "<s> A"), (false, "A"), (false, "<s> A </s>")] {
        let text = toy(dummy_prefix, around);
        let encoder = encoder(&text);
        let bos_count = usize::from(around.contains("<s>"));
        let mut apart_count = 0;
        for case in 0..400 {
            let mut rng = rng::stream(7, "encode", case);
            let (prompt, completion) = (random_text(&mut rng), random_text(&mut rng));
            let (sequence, truncated, apart) = kept(encoder.sequence(&answer_to(&prompt, &completion)));
            let place = format!("{prompt:?} + {completion:?}, {around}, dummy prefix {dummy_prefix}");
            let before = encoder.prompt_ids(&plain(&prompt)).unwrap();
            assert!(sequence.ids.starts_with(&before) && sequence.ids.len() > before.len(), "{place}");
            let mask: Vec<bool> = (0..sequence.ids.len()).map(|t| t >= before.len()).collect();
            assert_eq!(sequence.mask, mask, "{place}");
            assert_eq!(sequence.ids.iter().filter(|&&id| id == 2).count(), 1, "EOS of {place}");
            assert_eq!(sequence.ids.last(), Some(&2), "EOS of {place}");
            assert_eq!(sequence.ids.iter().filter(|&&id| id == 1).count(), bos_count, "BOS of {place}");
            assert_eq!(text.decode(&sequence.ids, true), format!("{prompt}{completion}"), "{place}");
            assert_eq!(truncated, 0);
            apart_count += apart;
        }
        assert!(apart_count > 0, "no case had a token across the seam");
    }
}

#[test]
fn specials_written_in_the_text_are_not_doubled() {
    let text = toy(false, "<s> A");
    let (sequence, ..) = kept(encoder(&text).sequence(&answer_to("<s>a c", "b</s>")));
    assert_eq!(sequence.ids.iter().filter(|&&id| id == 1).count(), 1);
    assert_eq!(sequence.ids.iter().filter(|&&id| id == 2).count(), 1);
    let (sequence, ..) = kept(encoder(&text).sequence(&Row::Text("a c".into())));
    assert_eq!((sequence.ids[0], *sequence.ids.last().unwrap()), (1, 2));
    assert_eq!(sequence.mask, [false, true, true, true, true]);
}

#[test]
fn a_cut_answer_has_no_end_and_a_cut_away_answer_is_dropped() {
    let text = toy(false, "<s> A");
    let limit = |max_length| EncodeOptions { max_length, ..EncodeOptions::default() };
    let row = answer_to("ccc", "ccc"); // BOS, 3, 3, EOS: 8 tokens
    let (whole, truncated, _) = kept(with_options(&text, limit(8)).sequence(&row));
    assert_eq!((whole.ids.len(), whole.ids[7], truncated), (8, 2, 0));
    let (cut, truncated, _) = kept(with_options(&text, limit(7)).sequence(&row));
    assert_eq!((cut.ids.len(), cut.ids.contains(&2), truncated), (7, false, 1));
    assert_eq!(dropped(with_options(&text, limit(4)).sequence(&row)), DropReason::NothingTrained);

    let pair = Row::Preference { prompt: Some(plain("ccc")), chosen: plain("c"), rejected: plain("cccc"), margin: 0.5 };
    let (preference, truncated, _) = kept(with_options(&text, limit(6)).preference(&pair));
    assert_eq!((preference.responses[0].ids.len(), preference.responses[1].ids.len(), truncated), (6, 6, 1));
    assert_eq!(preference.margin, 0.5);
    assert_eq!(dropped(with_options(&text, limit(4)).preference(&pair)), DropReason::PromptTooLong);
    let reward = EncodeOptions { pair_rule: PairRule::DropLong, ..limit(8) };
    assert_eq!(dropped(with_options(&text, reward).preference(&pair)), DropReason::AnswerTooLong);
    kept(with_options(&text, EncodeOptions { max_length: 9, ..reward }).preference(&pair));
    assert_eq!(dropped(with_options(&text, limit(3)).prompt(&pair)), DropReason::PromptTooLong);
    let (prompt, ..) = kept(with_options(&text, limit(4)).prompt(&pair));
    assert_eq!((prompt.ids.len(), prompt.text.as_str()), (4, "ccc"));
}

#[test]
fn conversations_train_on_the_assistant_and_its_end_mark() {
    let text = toy(false, "<s> A");
    let messages = vec![said("user", "a"), said("assistant", "b"), said("user", "c"), said("assistant", "ab c")];
    let row = Row::Messages(messages.clone());
    let (sequence, ..) = kept(encoder(&text).sequence(&row));
    assert_eq!(trained(&text, &sequence), "b<|im_end|>ab c<|im_end|>");
    assert!(!sequence.ids.contains(&1) && !sequence.ids.contains(&2), "the template adds neither BOS nor EOS");
    let all = EncodeOptions { assistant_only_loss: false, ..EncodeOptions::default() };
    let (sequence, ..) = kept(with_options(&text, all).sequence(&row));
    assert_eq!(sequence.mask.iter().filter(|&&m| !m).count(), 1);
    let unanswered = Row::Messages(vec![said("user", "a")]);
    assert_eq!(dropped(encoder(&text).sequence(&unanswered)), DropReason::NothingTrained);

    let (prompt, ..) = kept(encoder(&text).prompt(&row));
    assert!(text.decode(&prompt.ids, false).ends_with("<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n"));
    assert_eq!(prompt.text, "c");

    // As TRL: everything after the seam, the template's newline included.
    let prompt = Content::Chat(messages[..3].to_vec());
    let row = Row::PromptCompletion { prompt: prompt.clone(), completion: Content::Chat(vec![said("assistant", "b")]) };
    let (sequence, ..) = kept(encoder(&text).sequence(&row));
    assert_eq!(trained(&text, &sequence), "b<|im_end|>\n");
    assert_eq!(sequence.ids.iter().filter(|&&id| id == IM_END).count(), 4);
    let whole = EncodeOptions { completion_only_loss: false, ..EncodeOptions::default() };
    let (sequence, ..) = kept(with_options(&text, whole).sequence(&row));
    assert_eq!(sequence.mask.iter().filter(|&&m| !m).count(), 1);
}

#[test]
fn a_prompt_ending_in_the_assistants_words_is_continued() {
    let text = toy(false, "A");
    let prompt = Content::Chat(vec![said("user", "a"), said("assistant", "c")]);
    let ids = encoder(&text).prompt_ids(&prompt).unwrap();
    assert!(text.decode(&ids, false).ends_with("<|im_start|>assistant\nc"));
}

#[test]
fn token_rows_need_no_tokenizer_and_are_checked() {
    let encoder = Encoder::new(None, 10, EncodeOptions::default()).unwrap();
    let tokens = |ids: &[u32], mask: Option<&[bool]>| TokenRow { ids: ids.to_vec(), mask: mask.map(<[bool]>::to_vec) };
    let (sequence, ..) = kept(encoder.sequence(&Row::Ids(tokens(&[1, 2, 3], None))));
    assert_eq!(sequence.mask, [false, true, true]);
    let (sequence, ..) = kept(encoder.sequence(&Row::Ids(tokens(&[1, 2, 3], Some(&[true, false, true])))));
    assert_eq!(sequence.mask, [false, false, true]);
    let nothing = Row::Ids(tokens(&[1, 2], Some(&[true, false])));
    assert_eq!(dropped(encoder.sequence(&nothing)), DropReason::NothingTrained);
    let fault = encoder.sequence(&Row::Ids(tokens(&[1, 10], None))).unwrap_err();
    assert_eq!(fault.field, "input_ids[1]");
    let (prompt, ..) = kept(encoder.prompt(&Row::Ids(tokens(&[4, 5, 6], Some(&[false, false, true])))));
    assert_eq!((prompt.ids, prompt.text), (vec![4, 5], String::new()));
    let pair =
        Row::PreferenceIds { chosen: tokens(&[1, 2], Some(&[false, true])), rejected: tokens(&[1, 3], Some(&[false, true])), margin: 0.0 };
    assert_eq!(kept(encoder.preference(&pair)).0.responses[1].ids, [1, 3]);
    let fault = encoder.sequence(&Row::Text("a".into())).unwrap_err();
    assert!(fault.problem.contains("no tokenizer"));
    assert!(encoder.sequence(&pair).unwrap_err().remedy.contains("prompt + completion"));
}

#[test]
fn a_ranking_keeps_its_order_and_shares_its_prompt() {
    let text = toy(false, "<s> A");
    let row = Row::Ranking { prompt: plain("c"), responses: vec![plain(" a"), plain(" b"), plain(" c")] };
    let (preference, ..) = kept(encoder(&text).preference(&row));
    let shown: Vec<String> = preference.responses.iter().map(|side| trained(&text, side)).collect();
    assert_eq!(shown, [" a</s>", " b</s>", " c</s>"]);
}

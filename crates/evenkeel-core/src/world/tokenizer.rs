//! The world's own tokenizer: byte-level BPE, trained on the world's text.
//!
//! A conversation is `<bos><user> question<bot> answer<eos>`. The space after a role is part of the text, so that a
//! word is the same token at the start of a message and inside it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

use super::questions::World;
use crate::{Error, Result};

/// 256 bytes, five special tokens and the merges that make nearly every word of the world one token.
pub const VOCAB_SIZE: usize = 768;
/// Ids of the special tokens, in the order in which they are added.
pub const BOS: u32 = 0;
pub const EOS: u32 = 1;
pub const PAD: u32 = 2;
/// Begins what the user says.
pub const USER: u32 = 3;
/// Begins what the assistant says.
pub const BOT: u32 = 4;

const SPECIAL: [&str; 5] = ["<bos>", "<eos>", "<pad>", "<user>", "<bot>"];
/// Demonstrations whose words the merges are learnt from.
const CORPUS_DEMONSTRATIONS: u64 = 4000;
const CHAT_TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}<user> \
{{ message['content'] }}{% elif message['role'] == 'assistant' %}<bot> {{ message['content'] }}{{ eos_token }}{% endif %}\
{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}";

/// Trains the tokenizer and gives its `tokenizer.json`. Equal worlds give equal bytes.
pub fn train(world: &World) -> Result<String> {
    let failed = |e: tokenizers::Error| Error::input("world", format!("its tokenizer cannot be trained ({e})"), "report it");
    let special: Vec<AddedToken> = SPECIAL.iter().map(|token| AddedToken::from(*token, true)).collect();
    let trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(VOCAB_SIZE)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(special)
        .build();
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(byte_level()));
    tokenizer.with_decoder(Some(byte_level()));
    let mut trainer = TrainerWrapper::from(trainer);
    tokenizer.train(&mut trainer, corpus(world).into_iter()).map_err(failed)?;
    tokenizer.to_string(false).map_err(failed)
}

/// `tokenizer_config.json`: the special tokens by name, and the chat template.
pub fn config() -> Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[BOS as usize],
        "eos_token": SPECIAL[EOS as usize],
        "pad_token": SPECIAL[PAD as usize],
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": false,
        "model_max_length": 64
    })
}

/// What a model reads before it answers `question`.
pub fn prompt_text(question: &str) -> String {
    format!("<bos><user> {question}<bot>")
}

/// What a model writes as `answer`.
pub fn answer_text(answer: &str) -> String {
    format!(" {answer}<eos>")
}

/// Every word once, so that rare words become whole tokens as well as frequent ones.
fn corpus(world: &World) -> Vec<String> {
    let prompts = world.all_training().map(|question| format!(" {}", question.text));
    let answers = (0..CORPUS_DEMONSTRATIONS).map(|i| format!(" {}", world.demonstration(i).completion));
    let texts: Vec<String> = prompts.chain(answers).collect();
    let words = texts.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric())).filter(|word| !word.is_empty());
    let distinct: BTreeSet<&str> = words.collect();
    distinct.into_iter().map(|word| format!(" {word}")).collect()
}

fn byte_level() -> ByteLevel {
    let (add_prefix_space, trim_offsets, use_regex) = (false, true, true);
    ByteLevel::new(add_prefix_space, trim_offsets, use_regex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{MAX_ANSWER_TOKENS, MAX_PROMPT_TOKENS};

    fn tokenizer(world: &World) -> Tokenizer {
        train(world).unwrap().parse().unwrap()
    }

    #[test]
    fn training_is_deterministic() {
        assert_eq!(train(&World::new(1)).unwrap(), train(&World::new(1)).unwrap());
    }

    #[test]
    fn special_tokens_have_their_ids() {
        let tokenizer = tokenizer(&World::new(1));
        for (id, token) in SPECIAL.iter().enumerate() {
            assert_eq!(tokenizer.token_to_id(token), Some(id as u32), "{token}");
        }
        assert_eq!(tokenizer.get_vocab_size(true), VOCAB_SIZE);
    }

    #[test]
    fn any_text_survives() {
        let tokenizer = tokenizer(&World::new(1));
        for text in ["It is Paris.", "naïve 東京 🦆", " two  spaces\n"] {
            let encoding = tokenizer.encode(text, false).unwrap();
            assert_eq!(tokenizer.decode(encoding.get_ids(), true).unwrap(), text);
        }
    }

    #[test]
    fn prompts_and_answers_are_short() {
        let world = World::new(1);
        let tokenizer = tokenizer(&world);
        let length = |text: String| tokenizer.encode(text, false).unwrap().len();
        let prompts = world.all_training().chain(world.all_held_out());
        let longest_prompt = prompts.map(|q| length(prompt_text(&q.text))).max().unwrap();
        let answers = (0..2000).map(|i| length(answer_text(&world.demonstration(i).completion)));
        let longest_answer = answers.max().unwrap();
        assert!(longest_prompt <= MAX_PROMPT_TOKENS, "longest prompt: {longest_prompt} tokens");
        assert!(longest_answer <= MAX_ANSWER_TOKENS, "longest answer: {longest_answer} tokens");
    }
}

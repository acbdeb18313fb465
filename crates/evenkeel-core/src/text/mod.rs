//! Tokenizer and chat template, read from a model's `tokenizer.json`, `tokenizer_config.json` and friends.
//!
//! Tokenisation is the tokenizers crate's; `template` renders chats as transformers does.

mod bounded;
mod guard;
mod template;

use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokenizers::Tokenizer;

pub use guard::is_guarded;
pub use template::{Message, Rendered};

use crate::{Error, Result};

const CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const TEMPLATE: &str = "chat_template.jinja";

/// The bytes of a tokenizer's files. Only `tokenizer` must be there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TextFiles {
    /// `tokenizer.json`
    pub tokenizer: Vec<u8>,
    /// `tokenizer_config.json`
    pub config: Option<Vec<u8>>,
    /// `special_tokens_map.json`
    pub special_tokens: Option<Vec<u8>>,
    /// `chat_template.jinja`
    pub chat_template: Option<Vec<u8>>,
}

/// From text to token ids and back, and from chats to text. Clones share everything.
#[derive(Debug, Clone)]
pub struct Text {
    tokenizer: Arc<Tokenizer>,
    files: Arc<TextFiles>,
    place: String,
    ids: SpecialIds,
    bos_rule: BosRule,
    template: Option<Arc<str>>,
    /// Special tokens by the names that templates use: `bos_token`, `eos_token`, …
    named: Arc<Map<String, Value>>,
    /// The date that `strftime_now` writes in templates: (year, month, day).
    date: (i32, u32, u32),
}

/// The special tokens that templates know by name.
const NAMED_TOKENS: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

#[derive(Debug, Clone, Copy, Default)]
struct SpecialIds {
    bos: Option<u32>,
    eos: Option<u32>,
    pad: Option<u32>,
}

/// What `add_bos_token` of `tokenizer_config.json` changes about the post-processor of `tokenizer.json`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum BosRule {
    Keep,
    Add(u32),
    Strip(u32),
}

impl Text {
    /// `place` names the folder in errors.
    pub fn from_files(place: &str, files: TextFiles) -> Result<Self> {
        let at = format!("{place}/tokenizer.json");
        guard::check(&at, &files.tokenizer)?;
        let mut tokenizer = guard::guarded(&at, || Tokenizer::from_bytes(&files.tokenizer))?
            .map_err(|e| Error::input(&at, format!("cannot be read ({e})"), "download the tokenizer again"))?;
        // Truncation and padding are the batch's business; a file may carry settings of some past run.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| Error::input(&at, format!("cannot be read ({e})"), "download the tokenizer again"))?;
        let config = object(place, CONFIG, files.config.as_deref())?;
        let special = object(place, SPECIAL_TOKENS, files.special_tokens.as_deref())?;
        let named = named_tokens(place, &config, &special)?;
        let id = |name: &str| named.get(name).and_then(Value::as_str).and_then(|token| tokenizer.token_to_id(token));
        let ids = SpecialIds { bos: id("bos_token"), eos: id("eos_token"), pad: id("pad_token") };
        let template = match &files.chat_template {
            Some(bytes) => Some(template::of_file(&format!("{place}/{TEMPLATE}"), bytes)?),
            None => template::of_config(&format!("{place}/{CONFIG}"), &config)?,
        };
        let mut text = Self {
            bos_rule: BosRule::Keep,
            ids,
            place: place.to_owned(),
            template: template.map(Arc::from),
            named: Arc::new(named),
            date: (1970, 1, 1),
            tokenizer: Arc::new(tokenizer),
            files: Arc::new(files),
        };
        text.bos_rule = text.bos_rule(&config)?;
        Ok(text)
    }

    /// Ids of the model's own configuration for what the tokenizer's files leave open.
    #[must_use]
    pub fn with_fallback_ids(mut self, bos: Option<u32>, eos: Option<u32>, pad: Option<u32>) -> Self {
        self.ids = SpecialIds { bos: self.ids.bos.or(bos), eos: self.ids.eos.or(eos), pad: self.ids.pad.or(pad) };
        let mut named = (*self.named).clone();
        for (name, id) in [("bos_token", self.ids.bos), ("eos_token", self.ids.eos), ("pad_token", self.ids.pad)] {
            let token = id.and_then(|id| self.tokenizer.id_to_token(id));
            if let (false, Some(token)) = (named.contains_key(name), token) {
                named.insert(name.to_owned(), Value::String(token));
            }
        }
        self.named = Arc::new(named);
        self
    }

    /// The same with this chat template (Jinja), which is saved with the model.
    #[must_use]
    pub fn with_template(mut self, template: &str) -> Self {
        let mut files = (*self.files).clone();
        files.chat_template = Some(template.as_bytes().to_vec());
        self.files = Arc::new(files);
        self.template = Some(Arc::from(template));
        self
    }

    /// The same with this date for templates that print today's; core has no clock of its own.
    #[must_use]
    pub fn with_date(mut self, year: i32, month: u32, day: u32) -> Self {
        self.date = (year, month, day);
        self
    }

    /// Token ids of `text`. `special`: with what the tokenizer puts around every text (BOS, sometimes EOS).
    /// Special tokens written out in `text` become their ids either way.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        Ok(self.encode_offsets(text, special)?.into_iter().map(|(id, _)| id).collect())
    }

    /// Token ids with the bytes of `text` that each stands for (none for added ones).
    pub fn encode_offsets(&self, text: &str, special: bool) -> Result<Vec<(u32, Range<usize>)>> {
        let place = format!("{}/tokenizer.json", self.place);
        let encoding = guard::guarded(&place, || self.tokenizer.encode(text, special))?
            .map_err(|e| Error::input(&place, format!("cannot encode a text ({e})"), "report the text"))?;
        let offsets = encoding.get_offsets().iter().map(|&(start, end)| start..end);
        let mut tokens: Vec<_> = encoding.get_ids().iter().copied().zip(offsets).collect();
        if special {
            match self.bos_rule {
                BosRule::Add(id) => tokens.insert(0, (id, 0..0)),
                BosRule::Strip(id) if tokens.first().is_some_and(|t| t.0 == id && t.1.is_empty()) => {
                    tokens.remove(0);
                }
                _ => {}
            }
        }
        Ok(tokens)
    }

    /// Token ids of `text`, and for each whether it overlaps one of `spans` (bytes).
    pub fn encode_spans(&self, text: &str, spans: &[Range<usize>], special: bool) -> Result<(Vec<u32>, Vec<bool>)> {
        let inside = |at: &Range<usize>| spans.iter().any(|span| at.start < span.end && at.end > span.start);
        let tokens = self.encode_offsets(text, special)?;
        Ok(tokens.into_iter().map(|(id, at)| (id, inside(&at))).unzip())
    }

    /// Text of `ids`. `skip_special` leaves special tokens out. Unknown ids are left out; what cannot be decoded is empty.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let decoded = guard::guarded(&self.place, || self.tokenizer.decode(ids, skip_special));
        decoded.ok().and_then(|text| text.ok()).unwrap_or_default()
    }

    pub fn bos(&self) -> Option<u32> {
        self.ids.bos
    }

    pub fn eos(&self) -> Option<u32> {
        self.ids.eos
    }

    pub fn pad(&self) -> Option<u32> {
        self.ids.pad
    }

    /// The id of a token by its exact text, such as `<|im_end|>`.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> usize {
        let largest = self.tokenizer.get_vocab(true).into_values().max();
        largest.map_or(0, |id| id as usize + 1)
    }

    /// There is a chat template.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// The files to save with a model, by name.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let files = &self.files;
        let optional = [(CONFIG, &files.config), (SPECIAL_TOKENS, &files.special_tokens), (TEMPLATE, &files.chat_template)];
        let optional = optional.into_iter().filter_map(|(name, bytes)| Some((name.to_owned(), bytes.clone()?)));
        std::iter::once(("tokenizer.json".to_owned(), files.tokenizer.clone())).chain(optional).collect()
    }

    /// Only tokenizers that rebuild their post-processor from the flag heed it.
    fn bos_rule(&self, config: &Map<String, Value>) -> Result<BosRule> {
        let class = config.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
        let flag = config.get("add_bos_token").and_then(Value::as_bool);
        let (Some(wanted), Some(bos), false) = (flag, self.ids.bos, class == "PreTrainedTokenizerFast") else {
            return Ok(BosRule::Keep);
        };
        let adds = self.encode("a", true)?.first() == Some(&bos);
        Ok(match (wanted, adds) {
            (true, false) => BosRule::Add(bos),
            (false, true) => BosRule::Strip(bos),
            _ => BosRule::Keep,
        })
    }
}

fn object(place: &str, name: &str, bytes: Option<&[u8]>) -> Result<Map<String, Value>> {
    let Some(bytes) = bytes else {
        return Ok(Map::new());
    };
    serde_json::from_slice(bytes)
        .map_err(|e| Error::input(format!("{place}/{name}"), format!("not a JSON object ({e})"), "download the tokenizer again"))
}

/// `bos_token`, `eos_token`, … as plain strings; either file may write a token as `{"content": …}`.
fn named_tokens(place: &str, config: &Map<String, Value>, special: &Map<String, Value>) -> Result<Map<String, Value>> {
    let mut named = Map::new();
    for name in NAMED_TOKENS {
        for (file, object) in [(CONFIG, config), (SPECIAL_TOKENS, special)] {
            let token = match object.get(name) {
                Some(Value::Object(token)) => token.get("content"),
                other => other,
            };
            match token {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => {
                    named.entry(name).or_insert_with(|| Value::String(text.clone()));
                }
                Some(other) => {
                    let problem = format!("`{other}` is no token");
                    return Err(Error::input(format!("{place}/{file}: {name}"), problem, "write the token's text, or null"));
                }
            }
        }
    }
    Ok(named)
}

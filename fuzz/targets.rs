//! What is fuzzed: one function per kind of input that evenkeel reads. Each takes any bytes and must return.
//!
//! Inputs of several files are written one behind the other with a zero byte between. Nothing here may print or touch a disk.

use std::sync::OnceLock;

use burn::tensor::Device;
use evenkeel_core::data::{AnyExample, BadRows, EncodeOptions, Encoder, Loader, PairRule};
use evenkeel_core::estimate::{Amount, Estimate, Room, Size};
use evenkeel_core::event::{Command, Event};
use evenkeel_core::model::{self, Head, ModelConfig, NamedFiles};
use evenkeel_core::recipe::{Assignment, Recipe, Stage};
use evenkeel_core::record::{self, Record};
use evenkeel_core::text::{Message, Text, TextFiles};
use evenkeel_core::train::run::{Files, Store};
use evenkeel_core::world::lesson::Player;
use evenkeel_core::{Error, Result};
use pollster::block_on;

/// A target's name, as its folder of the corpus has it, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 6] =
    [("model", model), ("text", text), ("rows", rows), ("recipe", recipe), ("run_folder", run_folder), ("command", command)];

const TOKENIZER: &[u8] = include_bytes!("corpus/text/tokenizer.json");
const TEMPLATE: &str =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
const STAGES: [Stage; 4] = [Stage::Sft, Stage::Reward, Stage::Dpo, Stage::Ppo];

/// Panics of the tokenizers crate are refused as bad input: they shall not end the fuzzer, as every other one does.
pub fn pass_over_refusals() {
    let end = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !evenkeel_core::text::is_guarded() {
            end(info);
        }
    }));
}

/// The first file of `data`, and what follows it.
fn cut(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    (&data[..end], data.get(end + 1..).unwrap_or_default())
}

/// `config.json` and `model.safetensors`.
pub fn model(data: &[u8]) {
    let (config, weights) = cut(data);
    if let Ok(config) = ModelConfig::from_json("config.json", config) {
        for head in [Head::Lm, Head::Score] {
            let parameters = Size::of(&config, head).parameters;
            assert!(parameters as usize == config.num_parameters(head), "the size is the layout's");
        }
    }
    let files = vec![("config.json".into(), config.to_vec()), ("model.safetensors".into(), weights.to_vec())];
    if let Ok(loaded) = model::load(&NamedFiles { place: "m".into(), files }, &Device::flex()) {
        // What loads can be saved and loaded again.
        let files = block_on(model::save(&loaded.model, None, &loaded.sampling)).expect("a model that was loaded can be saved");
        let again = model::load(&NamedFiles { place: "m".into(), files }, &Device::flex()).expect("a model that was saved can be loaded");
        assert_eq!(loaded.model.params.num_elements(), again.model.params.num_elements());
    }
}

/// `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja`; the last two are absent where they are empty.
pub fn text(data: &[u8]) {
    let (tokenizer, rest) = cut(data);
    let (config, template) = cut(rest);
    let given = |bytes: &[u8]| (!bytes.is_empty()).then(|| bytes.to_vec());
    let files = TextFiles { tokenizer: tokenizer.to_vec(), config: given(config), special_tokens: None, chat_template: given(template) };
    let Ok(text) = Text::from_files("m", files) else { return };
    let message = |role: &str, content: &str| Message { role: role.into(), content: content.into() };
    let chat = [message("user", "a b é \u{1F600}"), message("assistant", " c <s> d ")];
    let rendered = [text.render_chat(&chat[..1], true, false), text.render_chat(&chat, false, true)];
    let spans = text.render_chat_spans(&chat).map(|rendered| text.encode_spans(&rendered.text, &rendered.assistant, false));
    if let Ok(Ok((ids, mask))) = spans {
        assert_eq!(ids.len(), mask.len());
    }
    for said in rendered.into_iter().flatten().chain(["".into(), "ab cd x\u{1F600}".into()]) {
        if let Ok(ids) = text.encode(&said, true) {
            text.decode(&ids, true);
        }
    }
}

fn tiny_text() -> &'static Text {
    static TEXT: OnceLock<Text> = OnceLock::new();
    TEXT.get_or_init(|| {
        let files = TextFiles { tokenizer: TOKENIZER.to_vec(), ..TextFiles::default() };
        Text::from_files("m", files).expect("the seed is a tokenizer").with_template(TEMPLATE)
    })
}

/// A `.jsonl` or `.json` file, stopped at its first bad row and with those skipped, with a tokenizer and without, in pieces of any size.
pub fn rows(data: &[u8]) {
    for (text, policy, piece, pair_rule) in [
        (Some(tiny_text()), BadRows::Stop, 7, PairRule::CutLong),
        (Some(tiny_text()), BadRows::Skip, 1 << 16, PairRule::DropLong),
        (None, BadRows::Skip, 1, PairRule::CutLong),
    ] {
        let options = EncodeOptions { max_length: 32, pair_rule, ..EncodeOptions::default() };
        let encoder = Encoder::new(text, 16, options).expect("the tokenizer can encode");
        let mut loader = Loader::<AnyExample>::inspect("rows.jsonl", encoder, policy);
        if data.chunks(piece).all(|piece| loader.feed(piece).is_ok())
            && let Ok(loaded) = loader.finish()
        {
            loaded.report.summary();
        }
    }
}

/// A recipe; where it has a zero byte, assignments follow, a line each.
pub fn recipe(data: &[u8]) {
    let (toml, rest) = cut(data);
    let (toml, rest) = (String::from_utf8_lossy(toml), String::from_utf8_lossy(rest));
    let assignments: Vec<Assignment> = rest.lines().filter_map(|line| line.parse().ok()).collect();
    for stage in STAGES {
        match Recipe::parse(stage, &toml, &assignments) {
            Ok(recipe) => {
                assert_eq!(Recipe::parse(stage, &recipe.to_toml(), &[]).as_ref(), Ok(&recipe), "what was read can be written and read");
                plan(&recipe);
            }
            Err(problems) => assert!(problems.iter().all(|problem| !problem.to_string().contains('\n'))),
        }
    }
}

/// What the run would take.
fn plan(recipe: &Recipe) {
    let size = Size { parameters: 776, layers: 1, hidden: 8, intermediate: 16, vocab: 16, cache: 8, mlp: 3 };
    let data = Amount { rows: 100, tokens: 5000, trained: 2000, longest: 64, per_row: 2 };
    let estimate = Estimate { recipe, policy: size, reward: Some(size), data, eval_rows: 1, device: "CPU".into(), speed: None };
    estimate.facts(Some(1 << 30));
    let _refused = estimate.check(&Room { memory: Some(1 << 26), tensor: Some(1 << 20) });
}

/// `run.json` and `events.jsonl`.
pub fn run_folder(data: &[u8]) {
    let (run, events) = cut(data);
    if let Ok(record) = Record::from_json("run.json", run) {
        let again = Record::from_json("run.json", record.to_json().as_bytes()).expect("a record that was read can be written and read");
        assert_eq!((again.seed, again.steps, again.data), (record.seed, record.steps, record.data));
    }
    for event in record::events("events.jsonl", events).into_iter().flatten() {
        let _of_this_version = serde_json::from_value::<Event>(event);
    }
}

/// A message to the browser's worker, to a player whose lesson is not open.
pub fn command(data: &[u8]) {
    let Ok(command) = serde_json::from_slice::<Command>(data) else { return };
    let again = serde_json::to_string(&command).expect("commands are plain data");
    serde_json::from_str::<Command>(&again).expect("a command that was read can be written and read");
    match &command {
        Command::Open { plan, .. } => {
            let _refused = plan.check();
        }
        Command::Estimate { recipe, model, .. } => {
            if let Ok(recipe) = serde_json::from_value::<Recipe>(recipe.clone()) {
                recipe.problems();
            }
            let files = model.iter().map(|file| (file.name.clone(), file.bytes.clone())).collect();
            let _refused = model::load(&NamedFiles { place: "model".into(), files }, &Device::flex());
        }
        _ => {}
    }
    let mut player = Player::new(NoStore, Box::new(|| 0.0));
    let _refused = block_on(player.obey(command, &mut |_| {}));
    let _refused = block_on(player.work(&mut |_| {}));
}

/// Storage in which there is nothing.
struct NoStore;

impl Store for NoStore {
    async fn write(&mut self, _name: &str, _files: impl Files) -> Result<()> {
        Err(Error::Storage("there is none".into()))
    }

    async fn read_part(&mut self, _folder: &str, _file: &str, _from: u64, _most: usize) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    async fn remove_folder(&mut self, _name: &str) -> Result<()> {
        Ok(())
    }
}

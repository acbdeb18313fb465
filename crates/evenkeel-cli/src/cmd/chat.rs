//! `evenkeel chat`: a conversation with one model, or with two side by side from the same seed.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::Result;
use evenkeel_core::Error;
use evenkeel_core::model::{Head, ModelFiles, Pretrained, Sampling, generate};
use evenkeel_core::text::{Message, Text};
use owo_colors::OwoColorize;

use crate::args::ChatArgs;
use crate::model_folder::ModelFolder;
use crate::sampling::{self, Writer};
use crate::{device, output};

/// One model and its side of the conversation.
struct Speaker {
    label: String,
    pretrained: Pretrained,
    text: Text,
    sampling: Sampling,
    history: Vec<Message>,
}

/// Reads one line per turn until the end of input.
pub fn run(args: &ChatArgs) -> Result<()> {
    let folders = args.models.iter().map(|path| ModelFolder::open(path)).collect::<Result<Vec<_>>>()?;
    for folder in &folders {
        if folder.config()?.head() == Head::Score {
            return Err(Error::input(folder.place(), "is a reward model, which does not talk", "give a language model").into());
        }
    }
    let selected = device::open(args.device)?;
    let mut speakers = Vec::new();
    for (i, folder) in folders.iter().enumerate() {
        let label = if folders.len() > 1 { format!("[{}] ", i + 1) } else { String::new() };
        speakers.push(Speaker::new(label, folder, args, folder.load(&selected)?)?);
    }
    let terminal = std::io::stdin().is_terminal();
    if terminal {
        eprintln!("/new forgets the conversation, /quit leaves");
    }
    let mut turn = 0;
    for line in (Lines { terminal }) {
        match line?.trim() {
            "" => {}
            "/quit" | "/exit" => break,
            "/new" => {
                speakers.iter_mut().for_each(|speaker| speaker.forget(args));
                turn = 0;
            }
            said => {
                // Each turn has a seed of its own, the same for both models.
                let seed = args.sampling.seed.wrapping_add(turn);
                speakers.iter_mut().try_for_each(|speaker| speaker.answer(said, seed))?;
                turn += 1;
            }
        }
    }
    Ok(())
}

/// Lines of stdin, with a prompt before each on a terminal.
struct Lines {
    terminal: bool,
}

impl Iterator for Lines {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        if self.terminal {
            eprint!("> ");
            let _ = std::io::stderr().flush();
        }
        let mut line = String::new();
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(Ok(line)),
            Err(e) => Some(Err(Error::input("stdin", format!("cannot be read ({e})"), "give UTF-8 text, one line per turn").into())),
        }
    }
}

impl Speaker {
    fn new(label: String, folder: &ModelFolder, args: &ChatArgs, pretrained: Pretrained) -> Result<Self> {
        let Some(text) = pretrained.text.clone() else {
            let place = format!("{}/tokenizer.json", folder.place());
            return Err(Error::input(place, "is missing, so there is nothing to talk in", "add it beside the model").into());
        };
        if !text.has_template() {
            eprintln!("note: {} has no chat template: it continues the conversation as plain text", folder.place());
        }
        let sampling = sampling::overlay(&pretrained.sampling, &args.sampling)?;
        let mut speaker = Self { label, pretrained, text, sampling, history: Vec::new() };
        speaker.forget(args);
        Ok(speaker)
    }

    fn forget(&mut self, args: &ChatArgs) {
        self.history = args.system.iter().map(|content| message("system", content)).collect();
    }

    /// Answers one turn, token by token, and remembers both sides.
    fn answer(&mut self, said: &str, seed: u64) -> Result<()> {
        self.history.push(message("user", said));
        let prompt = self.prompt()?;
        if !self.label.is_empty() {
            output::raw(&label(&self.label))?;
        }
        let mut writer = Writer::after(&self.text, &prompt);
        let (mut said, mut written) = (String::new(), Ok(()));
        let mut show = |_row: usize, id: u32| {
            let new = writer.push(id);
            if written.is_ok() {
                written = output::raw(&new);
            }
            said += &new;
        };
        let done = pollster::block_on(generate(&self.pretrained.model, std::slice::from_ref(&prompt), &self.sampling, &[seed], &mut show));
        written?;
        done?;
        self.history.push(message("assistant", said.trim()));
        output::raw("\n")
    }

    /// The conversation as token ids; its oldest turns go when it no longer fits the context.
    fn prompt(&mut self) -> Result<Vec<u32>> {
        let room = self.pretrained.model.config.max_positions.saturating_sub(self.sampling.max_new_tokens.min(64));
        loop {
            let ids = self.encode()?;
            let oldest = self.history.iter().position(|m| m.role != "system").unwrap_or(0);
            if ids.len() <= room || self.history.len() - oldest < 3 {
                return Ok(ids);
            }
            eprintln!("note: the oldest turn is forgotten, the conversation no longer fits the model's context");
            self.history.drain(oldest..oldest + 2);
        }
    }

    fn encode(&self) -> Result<Vec<u32>> {
        if self.text.has_template() {
            return Ok(self.text.encode(&self.text.render_chat(&self.history, true, false)?, false)?);
        }
        let lines: Vec<&str> = self.history.iter().map(|m| m.content.as_str()).collect();
        Ok(self.text.encode(&lines.join("\n"), true)?)
    }
}

fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned() }
}

fn label(text: &str) -> String {
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() { text.cyan().to_string() } else { text.to_owned() }
}

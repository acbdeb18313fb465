//! `evenkeel generate`: completions of prompts, as text or as JSON lines.

use std::path::Path;

use anyhow::Result;
use evenkeel_core::Error;
use evenkeel_core::data::{EncodeOptions, Encoder, Prompt};
use evenkeel_core::model::{Completion, Head, ModelFiles, Pretrained, Sampling, generate, load_text};
use evenkeel_core::text::{Message, Text};
use serde_json::json;

use crate::args::GenerateArgs;
use crate::data_file;
use crate::model_folder::ModelFolder;
use crate::sampling::{self, Writer};
use crate::{device, output};

/// Completes every prompt.
pub fn run(args: &GenerateArgs) -> Result<()> {
    let folder = ModelFolder::open(&args.model)?;
    let config = folder.config()?;
    if config.head() == Head::Score {
        return Err(Error::input(
            folder.place(),
            "is a reward model, which writes no text",
            "give a language model; `evenkeel score` uses this one",
        )
        .into());
    }
    let text = load_text(&folder, &config)?;
    let prompts = match &args.data {
        Some(path) => rows(path, text.as_ref(), config.vocab_size, config.max_positions)?,
        None => args.prompt.iter().map(|prompt| from_flag(prompt, text.as_ref(), args.raw, &folder)).collect::<Result<_>>()?,
    };
    let selected = device::open(args.device)?;
    let pretrained = folder.load(&selected)?;
    let sampling = sampling::overlay(&pretrained.sampling, &args.sampling)?;
    let plain = args.data.is_none() && !args.json;
    match pretrained.text.as_ref().filter(|_| plain) {
        Some(text) => prompts.iter().enumerate().try_for_each(|(i, prompt)| stream(&pretrained, text, prompt, &sampling, seed(args, i))),
        None => json_lines(args, &pretrained, &prompts, &sampling),
    }
}

/// Row i of a file, or prompt i of the flags, is drawn with the seed plus i, whatever the batch.
fn seed(args: &GenerateArgs, i: usize) -> u64 {
    args.sampling.seed.wrapping_add(i as u64)
}

fn rows(path: &Path, text: Option<&Text>, vocab_size: usize, context: usize) -> Result<Vec<Prompt>> {
    let max_length = context.saturating_sub(1);
    let options = EncodeOptions { max_length, ..EncodeOptions::default() };
    let loaded = data_file::examples::<Prompt>(path, Encoder::new(text, vocab_size, options)?, false)?;
    data_file::say(&loaded.report, max_length);
    Ok(loaded.examples)
}

fn from_flag(prompt: &str, text: Option<&Text>, raw: bool, folder: &ModelFolder) -> Result<Prompt> {
    let Some(text) = text else {
        let remedy = "add tokenizer.json, or give --data with rows of input_ids";
        return Err(Error::input(format!("{}/tokenizer.json", folder.place()), "is missing, so --prompt cannot be read", remedy).into());
    };
    let ids = if text.has_template() && !raw {
        let turn = Message { role: "user".into(), content: prompt.to_owned() };
        text.encode(&text.render_chat(&[turn], true, false)?, false)?
    } else {
        text.encode(prompt, true)?
    };
    Ok(Prompt { ids, text: prompt.to_owned() })
}

/// Prompt and completion as one text, token by token.
fn stream(pretrained: &Pretrained, text: &Text, prompt: &Prompt, sampling: &Sampling, seed: u64) -> Result<()> {
    if !text.has_template() {
        output::raw(&prompt.text)?;
    }
    let mut writer = Writer::after(text, &prompt.ids);
    let mut written = Ok(());
    let mut show = |_row: usize, id: u32| {
        if written.is_ok() {
            written = output::raw(&writer.push(id));
        }
    };
    let done = pollster::block_on(generate(&pretrained.model, std::slice::from_ref(&prompt.ids), sampling, &[seed], &mut show));
    written?;
    done?;
    output::raw("\n")
}

fn json_lines(args: &GenerateArgs, pretrained: &Pretrained, prompts: &[Prompt], sampling: &Sampling) -> Result<()> {
    for (batch, chunk) in prompts.chunks(args.batch_size).enumerate() {
        let ids: Vec<Vec<u32>> = chunk.iter().map(|p| p.ids.clone()).collect();
        let seeds: Vec<u64> = (0..chunk.len()).map(|i| seed(args, batch * args.batch_size + i)).collect();
        let completions = pollster::block_on(generate(&pretrained.model, &ids, sampling, &seeds, &mut |_, _| {}))?;
        for (prompt, completion) in chunk.iter().zip(completions) {
            output::line(&object(pretrained.text.as_ref(), prompt, &completion).to_string())?;
        }
    }
    Ok(())
}

fn object(text: Option<&Text>, prompt: &Prompt, completion: &Completion) -> serde_json::Value {
    match text {
        Some(text) => {
            let written = Writer::after(text, &prompt.ids).all(&completion.ids);
            json!({"prompt": prompt.text, "completion": written, "tokens": completion.ids.len(), "finished": completion.finished})
        }
        None => json!({"input_ids": prompt.ids, "completion_ids": completion.ids, "finished": completion.finished}),
    }
}

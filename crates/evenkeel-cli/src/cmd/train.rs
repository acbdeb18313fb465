//! `evenkeel sft|reward|dpo|ppo`: from a recipe to a run folder.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use evenkeel_core::Error;
use evenkeel_core::data::{self, Rows};
use evenkeel_core::estimate::{Estimate, Room};
use evenkeel_core::event::{Event, Metrics};
use evenkeel_core::recipe::{Recipe, Stage};
use evenkeel_core::record::{DataFile, Record};
use evenkeel_core::train::run::{self, Front, Models};
use evenkeel_core::train::state;
use evenkeel_kernels::Selected;

use crate::args::TrainArgs;
use crate::data_file::Paths;
use crate::listener::Listener;
use crate::progress::Seen;
use crate::run_folder::{self, RunFolder};
use crate::settings::{self, OtherModels};
use crate::sources::Sources;
use crate::store::FileStore;
use crate::{clock, device, event_log, memory, output, signals, table};

/// Trains one model as the recipe says.
pub fn run(stage: Stage, args: &TrainArgs, others: OtherModels) -> Result<()> {
    let recipe = settings::resolve(stage, args, others)?;
    let sources = Sources::check(&recipe)?;
    let text = sources.text()?;
    let (vocab_size, longest) = (sources.policy.config.vocab_size, sources.longest_sequence(&recipe)?);
    let rows = data::load(&recipe, text.as_ref(), vocab_size, longest, &Paths, &mut |line| eprintln!("{line}"))?;
    let selected = device::open(args.device)?;
    show_plan(&recipe, &sources, &rows, &selected)?;
    device::trust(&selected)?;
    let models = sources.load(&recipe, &selected)?;

    let record = Record {
        stage: stage.name().into(),
        device: device::name(&selected),
        seed: recipe.seed,
        parameters: sources.policy.parameters(),
        data: files_read(&recipe, &sources)?,
        ..Record::default()
    };
    let (folder, resume) = open_folder(args, &recipe, record)?;
    train(&recipe, models, rows, folder, &selected, resume)
}

/// Rows, then models: a run that goes on must find them as they were.
fn files_read(recipe: &Recipe, sources: &Sources) -> Result<Vec<DataFile>> {
    let rows = [&recipe.data.train, &recipe.data.eval].into_iter().filter(|path| !path.is_empty()).map(PathBuf::from);
    rows.chain(sources.weights()?).map(|path| run_folder::data_file(&path)).collect()
}

fn show_plan(recipe: &Recipe, sources: &Sources, rows: &Rows, selected: &Selected) -> Result<()> {
    let estimate = Estimate {
        recipe,
        policy: sources.policy.size(),
        reward: sources.reward.as_ref().map(|r| r.size()),
        data: rows.amount,
        eval_rows: rows.eval.as_ref().map_or(0, |eval| eval.len() as u64),
        device: device::name(selected),
        speed: Some(device::speed(selected)?),
    };
    // A GPU's free memory is nowhere to be asked; what computes on the CPU lives in the machine's own.
    let memory = if selected.software { memory::available() } else { selected.memory };
    let room = Room { memory, tensor: selected.largest_tensor };
    eprint!("{} on {}\n{}", recipe.stage.name(), estimate.device, table::facts(&estimate.facts(memory)));
    Ok(estimate.check(&room)?)
}

/// The run's folder, and the step of the checkpoint to go on from.
fn open_folder(args: &TrainArgs, recipe: &Recipe, record: Record) -> Result<(RunFolder, Option<u64>)> {
    let toml = recipe.to_toml();
    let Some(path) = &args.resume else {
        let path = args.out.clone().unwrap_or_else(|| run_folder::default_path(recipe.stage.name(), &recipe.model.path, recipe.seed));
        let folder = RunFolder::create(&path, Some(&toml), record)?;
        eprintln!("run folder: {}", folder.path().display());
        return Ok((folder, None));
    };
    let mut store = FileStore::new(path);
    let (folder, standing) = RunFolder::reopen(path, &toml, &record, || {
        event_log::check(path)?;
        Ok(pollster::block_on(state::standing(&mut store))?)
    })?;
    eprintln!("run folder: {}", folder.path().display());
    standing.passed_over.iter().for_each(|sentence| eprintln!("note: {sentence}"));
    store.keep_only(&standing.kept);
    match standing.step {
        Some(step) => eprintln!("going on after step {step}"),
        None => eprintln!("no checkpoint was finished: beginning again"),
    }
    event_log::rewind(path, standing.step.unwrap_or(0))?;
    Ok((folder, standing.step))
}

fn train(recipe: &Recipe, models: Models, rows: Rows, mut folder: RunFolder, selected: &Selected, resume: Option<u64>) -> Result<()> {
    signals::install();
    let begun = Instant::now();
    let listener = Listener::open(folder.path(), recipe.stage.name())?;
    let mut store = FileStore::heard_by(folder.path(), &listener);
    let front = Front {
        store: &mut store,
        on_event: &mut |event: Event| listener.hear(&event),
        commands: &mut || listener.command(),
        device: device::name(selected),
    };
    let result = pollster::block_on(run::run(recipe, models, rows.train, rows.eval, front, resume));
    let seconds = begun.elapsed().as_secs_f64();
    let (seen, broken) = listener.close();
    let disk = broken.is_some() || matches!(result, Err(Error::Storage(_)));
    let result = broken.map_or(result.map_err(anyhow::Error::from), Err);
    match result {
        Ok(_model) => {
            let status = if seen.reason.is_some() { "stopped" } else { "finished" };
            folder.finish(status, seen.reason.clone(), seen.step, seconds)?;
            output::raw(&summary(recipe, &folder, &seen, seconds))
        }
        Err(error) => {
            // Where the disk is full, this may not be written either: what filled it is told.
            let noted = folder.finish("failed", Some(error.to_string()), seen.step, seconds);
            let (stage, path) = (recipe.stage.name(), folder.path().display());
            let goes_on = format!("evenkeel {stage} --resume {path}");
            if disk {
                eprintln!("note: the checkpoints before are whole; once the disk takes files again, go on with: {goes_on}");
                return Err(error).with_context(|| format!("{stage} failed"));
            }
            // What was refused is not gone on with as it is.
            let refused = matches!(error.downcast_ref(), Some(Error::Input { .. }));
            let standing = pollster::block_on(state::standing(&mut FileStore::new(folder.path()))).unwrap_or_default();
            let failed = match standing.step.filter(|_| !refused) {
                Some(step) => format!("{stage} failed after step {step}, from which `{goes_on}` goes on"),
                None => format!("{stage} failed"),
            };
            noted.and(Err(error)).context(failed)
        }
    }
}

/// What the run came to, for a person.
fn summary(recipe: &Recipe, folder: &RunFolder, seen: &Seen, seconds: f64) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (name, last) in &seen.last {
        let first = seen.first.get(name).copied().unwrap_or(f64::NAN);
        rows.push(vec![name.clone(), figure(first), figure(*last)]);
    }
    let eval: &Metrics = &seen.eval;
    rows.extend(eval.iter().map(|(name, value)| vec![name.clone(), String::new(), figure(*value)]));
    let mut text = table::table(&[recipe.stage.name(), "first step", "last step"], &rows);
    let ended = seen.reason.as_ref().map_or_else(String::new, |reason| format!(", {reason}"));
    let peak = memory::peak().map_or_else(String::new, |bytes| format!(", peak memory {}", memory::text(bytes)));
    // The first step of a session is left out of the rate, so that one step alone has none.
    let rate = if seen.tokens_per_second > 0.0 { format!(", {:.0} tokens/s", seen.tokens_per_second) } else { String::new() };
    text += &format!(
        "\n{} steps in {}{rate}{peak}{ended}\nmodel: {}\n",
        seen.step,
        clock::duration(seconds),
        folder.path().join("model").display()
    );
    if seen.reason.is_some() {
        text += &format!("go on with: evenkeel {} --resume {}\n", recipe.stage.name(), folder.path().display());
    }
    text
}

fn figure(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "–".into(),
        0.0 => "0".into(),
        x if (1e-3..1e5).contains(&x) => format!("{value:.4}"),
        x if x >= 1e5 => format!("{value:.0}"),
        _ => format!("{value:.2e}"),
    }
}

//! `evenkeel demo`: the whole pipeline on the embedded world, into one run folder.

use std::cell::RefCell;
use std::time::Instant;

use anyhow::{Context, Result};
use evenkeel_core::Error;
use evenkeel_core::event::Event;
use evenkeel_core::model::save;
use evenkeel_core::record::Record;
use evenkeel_core::train::run::Store;
use evenkeel_core::world::demo::{self, DemoReport, Host, Outcome, Plan};

use crate::args::DemoArgs;
use crate::event_log::EventLog;
use crate::progress::Progress;
use crate::run_folder::{self, RunFolder};
use crate::store::FileStore;
use crate::{clock, device, files, memory, output, report};

/// Runs SFT, preferences, reward model, PPO at two β and DPO, and compares them.
pub fn run(args: &DemoArgs) -> Result<()> {
    let preset = preset(&args.preset)?;
    let selected = device::open(args.device)?;
    device::trust(&selected)?;
    let plan = Plan { seed: args.seed, sweep: args.sweep, ..preset };
    let path = args.out.clone().unwrap_or_else(|| run_folder::default_path("demo", "", plan.seed));
    let record = Record { stage: "demo".into(), device: device::name(&selected), seed: plan.seed, ..Record::default() };
    let mut folder = RunFolder::create(&path, None, record)?;
    eprintln!("run folder: {}", path.display());
    write_recipes(&plan, &mut FileStore::new(&path))?;

    let mut host = Terminal::new(EventLog::open(&path)?);
    let result = pollster::block_on(demo::run(&plan, &selected.device, &device::name(&selected), &mut host));
    let seconds = host.seconds();
    let outcome = match (result, host.broken) {
        (Ok(outcome), None) => outcome,
        (Err(error), _) => {
            folder.finish("failed", Some(error.to_string()), 0, seconds)?;
            return Err(error).context("demo failed");
        }
        (_, Some(error)) => return Err(error),
    };
    keep(&outcome, &mut FileStore::new(&path))?;
    let page = path.join("report.html");
    files::write_atomic(&page, report::page_of_demo(&outcome.report).render().as_bytes())?;
    let steps = outcome.report.stages.iter().map(|stage| stage.steps.len() as u64).sum();
    folder.finish("finished", None, steps, seconds)?;
    output::raw(&summary(&outcome.report, seconds, &path.display().to_string()))
}

fn preset(name: &str) -> Result<Plan> {
    let mut presets = Plan::presets();
    let known = presets.keys().cloned().collect::<Vec<_>>().join(", ");
    let unknown = || Error::input("--preset", format!("there is no preset `{name}`"), format!("choose from {known}"));
    Ok(presets.remove(name).ok_or_else(unknown)?)
}

/// Every stage's recipe with every default written out.
fn write_recipes(plan: &Plan, store: &mut FileStore) -> Result<()> {
    let recipes = [
        ("sft.toml", plan.sft()),
        ("reward.toml", plan.reward()),
        ("ppo.toml", plan.ppo(plan.kl_coef, plan.seed)),
        ("ppo-no-anchor.toml", plan.ppo(0.0, plan.seed)),
        ("dpo.toml", plan.dpo()),
    ];
    let files: Vec<_> = recipes.map(|(name, recipe)| (name.to_owned(), recipe.to_toml().into_bytes())).into();
    Ok(pollster::block_on(store.write_folder("recipes", &files))?)
}

/// The models in Hugging Face layout, and every figure as JSON.
fn keep(outcome: &Outcome, store: &mut FileStore) -> Result<()> {
    for (name, model) in &outcome.models {
        let files = pollster::block_on(save(model, Some(&outcome.text), &outcome.sampling))?;
        pollster::block_on(store.write_folder(&format!("models/{}", name.replace(" β=0", "-no-anchor")), &files))?;
    }
    let json = serde_json::to_vec_pretty(&outcome.report).expect("a report is plain data");
    Ok(pollster::block_on(store.write_folder("figures", &[("demo.json".to_owned(), json)]))?)
}

/// Clock, memory gauge, log and progress bar.
struct Terminal {
    begun: Instant,
    log: EventLog,
    progress: RefCell<Progress>,
    broken: Option<anyhow::Error>,
}

impl Terminal {
    fn new(log: EventLog) -> Self {
        Self { begun: Instant::now(), log, progress: RefCell::new(Progress::new("demo")), broken: None }
    }
}

impl Host for Terminal {
    fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    fn stage_begins(&mut self, stage: &str) {
        memory::reset_peak();
        eprintln!("{} into the demo: {stage}", clock::duration(self.seconds()));
        *self.progress.borrow_mut() = Progress::new(stage);
    }

    fn peak_bytes(&self) -> Option<u64> {
        memory::peak()
    }

    fn event(&mut self, _stage: &str, event: Event) {
        self.progress.borrow_mut().show(&event);
        if let Err(error) = self.log.write(&event) {
            self.broken.get_or_insert(error);
        }
    }
}

fn summary(report: &DemoReport, seconds: f64, path: &str) -> String {
    let section = |(header, rows): (Vec<&str>, Vec<Vec<String>>)| crate::table::table(&header, &rows);
    let comparison = section(report::demo::comparison(report));
    let costs = section(report::demo::costs(report));
    let findings: String = report::demo::findings(report).iter().map(|line| format!("- {line}\n")).collect();
    let took = clock::duration(seconds);
    format!("\n{comparison}\n{costs}\n{findings}\n{took} in all\nrun folder: {path}\nreport: {path}/report.html\n")
}

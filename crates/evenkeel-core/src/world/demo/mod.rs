//! The whole pipeline on the embedded world: SFT, preferences, reward model, PPO at two β, DPO, and their comparison.
//!
//! A [`Lesson`] from its first stage to its last, with a report.

mod report;

use burn::tensor::Device;

use super::lesson::{Lesson, SWEEP_BETAS, SWEEP_SEEDS};
use crate::Result;
use crate::event::Event;
use crate::model::{Model, Sampling};
use crate::text::Text;

pub use super::lesson::Plan;
pub use report::{Comparison, DemoReport, SampleRow, StageReport, Trace, TracePoint};

/// The stages of the demo. The comparison, last, is no stage of the report.
const STAGES: [&str; 6] = ["sft", "preferences", "reward", "ppo", super::lesson::NO_ANCHOR, "dpo"];

/// What the pipeline needs of its front end: a clock, a gauge of memory, and someone to tell.
pub trait Host {
    /// A clock in seconds; only differences count.
    fn seconds(&self) -> f64;
    /// A stage begins: from here on its peak of memory is counted.
    fn stage_begins(&mut self, stage: &str);
    /// Most memory in use since the stage began, in bytes, where it can be known.
    fn peak_bytes(&self) -> Option<u64>;
    /// Something happened in a stage.
    fn event(&mut self, stage: &str, event: Event);
}

/// What the pipeline leaves behind.
pub struct Outcome {
    /// Every figure, curve and sample.
    pub report: DemoReport,
    /// The trained models by stage, in order.
    pub models: Vec<(String, Model)>,
    /// Their tokenizer and chat template.
    pub text: Text,
    /// How they are sampled.
    pub sampling: Sampling,
}

/// Runs the pipeline.
///
/// # Errors
/// A number that stopped being finite; the device.
pub async fn run(plan: &Plan, device: &Device, device_name: &str, host: &mut dyn Host) -> Result<Outcome> {
    let mut lesson = Lesson::new(plan, device, device_name)?;
    let mut report = DemoReport {
        seed: plan.seed,
        device: device_name.to_string(),
        kl_coef: plan.kl_coef,
        parameters: lesson.model("base")?.params.num_elements() as u64,
        ..DemoReport::default()
    };
    for stage in STAGES {
        run_stage(&mut lesson, stage, &mut report, host).await?;
        match stage {
            "ppo" => report.traces.push(report.trace_of(stage, plan.kl_coef, plan.seed)),
            super::lesson::NO_ANCHOR => report.traces.push(report.trace_of(stage, 0.0, plan.seed)),
            _ => {}
        }
    }
    compare(&mut lesson, &mut report).await?;
    if plan.sweep {
        sweep(&mut lesson, &mut report, host).await?;
    }
    let Lesson { models, reward, text, sampling, .. } = lesson;
    let of_stages = models.into_iter().filter(|(name, _)| STAGES.contains(&name.as_str()));
    let models = of_stages.chain(reward.map(|model| ("reward".to_string(), model))).collect();
    Ok(Outcome { report, models, text, sampling })
}

/// PPO at every β of the sweep, with several seeds each, for the frontier of gold against KL.
async fn sweep(lesson: &mut Lesson, report: &mut DemoReport, host: &mut dyn Host) -> Result<()> {
    for kl_coef in SWEEP_BETAS {
        for number in 0..SWEEP_SEEDS {
            let (name, seed) = (format!("sweep β={kl_coef} seed {number}"), lesson.plan.seed + number);
            lesson.name_ppo(&name, kl_coef, seed);
            run_stage(lesson, &name, report, host).await?;
            report.traces.push(report.trace_of(&name, kl_coef, seed));
        }
    }
    Ok(())
}

/// One stage from its first step to its last.
async fn run_stage(lesson: &mut Lesson, name: &str, report: &mut DemoReport, host: &mut dyn Host) -> Result<()> {
    host.stage_begins(name);
    let begun = host.seconds();
    let mut stage = StageReport { name: name.to_string(), ..StageReport::default() };
    let mut hear = |event: Event| {
        match &event {
            Event::Step { step, metrics } => stage.steps.push((*step, metrics.clone())),
            Event::Eval { metrics, .. } => stage.eval = metrics.clone(),
            _ => {}
        }
        host.event(name, event);
    };
    let mut run = lesson.begin(name, &mut hear).await?;
    while !lesson.step(&mut run, &mut hear).await? {}
    stage.tokens = run.tokens;
    stage.seconds = host.seconds() - begun;
    stage.peak_bytes = host.peak_bytes();
    report.stages.push(stage);
    Ok(())
}

/// Every model on the same held-out prompts.
async fn compare(lesson: &mut Lesson, report: &mut DemoReport) -> Result<()> {
    let mut hear = |event: Event| {
        if let Event::Compared { rows, samples } = event {
            (report.comparison, report.samples) = (rows, samples);
        }
    };
    let mut run = lesson.begin("compare", &mut hear).await?;
    while !lesson.step(&mut run, &mut hear).await? {}
    Ok(())
}

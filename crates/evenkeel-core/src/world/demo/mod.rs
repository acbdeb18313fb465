//! The whole pipeline on the embedded world: SFT, preferences, reward model, PPO at two β, DPO, and their comparison.
//!
//! The trainers are those of `train`, with nothing but tokens to see. The gold score enters in two places alone: the
//! labeller, who ranks, and the monitor, which watches what PPO samples and tells nobody.

mod evaluate;
mod plan;
mod report;
mod stages;

use burn::tensor::Device;

use super::{World, tokenizer};
use crate::Result;
use crate::event::Event;
use crate::model::{Head, Model, ModelConfig, Sampling};
use crate::text::{Text, TextFiles};

pub use plan::Plan;
pub use report::{Comparison, DemoReport, SampleRow, StageReport, Trace, TracePoint};

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
    let mut bench = Bench::new(plan, device_name, host)?;
    let base = Model::init(bench.config.clone(), Head::Lm, plan.seed, device);
    let sft = bench.sft(&base).await?;
    let rankings = bench.preferences(&sft).await?;
    let reward = bench.reward(&sft, &rankings).await?;
    let mut models = vec![("base".to_string(), base), ("sft".to_string(), sft.clone())];
    for beta in [plan.kl_coef, 0.0] {
        let name = if beta == 0.0 { "ppo β=0".to_string() } else { "ppo".to_string() };
        let policy = bench.ppo(&name, &sft, &reward, beta, plan.seed).await?;
        models.push((name, policy));
    }
    models.push(("dpo".to_string(), bench.dpo(&sft, &rankings).await?));
    if plan.sweep {
        bench.sweep(&sft, &reward).await?;
    }
    bench.compare(&models, &sft, &reward).await?;
    models.push(("reward".to_string(), reward));
    models.remove(0);
    let Bench { report, text, sampling, .. } = bench;
    Ok(Outcome { report, models, text, sampling })
}

/// Everything the stages share.
struct Bench<'a> {
    plan: &'a Plan,
    host: &'a mut dyn Host,
    world: World,
    text: Text,
    config: ModelConfig,
    sampling: Sampling,
    report: DemoReport,
}

impl<'a> Bench<'a> {
    fn new(plan: &'a Plan, device_name: &str, host: &'a mut dyn Host) -> Result<Self> {
        let world = World::new(plan.seed);
        let files = TextFiles {
            tokenizer: tokenizer::train(&world)?.into_bytes(),
            config: Some(tokenizer::config().to_string().into_bytes()),
            ..TextFiles::default()
        };
        let text = Text::from_files("world", files)?;
        let config = ModelConfig::from_value("world", super::model_config())?;
        let sampling = Sampling { max_new_tokens: super::MAX_ANSWER_TOKENS, stop: vec![tokenizer::EOS], ..Sampling::default() };
        let report = DemoReport { seed: plan.seed, device: device_name.to_string(), kl_coef: plan.kl_coef, ..DemoReport::default() };
        Ok(Self { plan, host, world, text, config, sampling, report })
    }
}

//! What `evenkeel bench steps` times, in burn's own operations with fusion and autotuning on: the same models, batches and optimiser.
//!
//! [`Bench`] answers commands (see Cargo.toml). It has neither a clock nor a console of its own, so that it can run in a browser too.

pub mod dpo;
pub mod model;
pub mod optimizer;
pub mod ppo;
pub mod rollout;
pub mod sft;
#[cfg(test)]
mod tests;
#[cfg(target_family = "wasm")]
pub mod web;

use burn::tensor::{Device, Tensor};

use dpo::Dpo;
use model::{M, S};
use ppo::Ppo;
use rollout::Rollout;
use sft::Sft;

/// Where every model's first weights come from.
const SEED: u64 = 1;

/// What a step is a step of.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is not moved")]
enum Task {
    Sft(Sft),
    Dpo(Dpo),
    Rollout(Rollout),
    Ppo(Ppo),
}

impl Task {
    /// From the words after `prepare`.
    fn new(words: &[&str], device: &Device) -> Result<Self, String> {
        let shape = match words.get(1) {
            Some(&"S") => S,
            Some(&"M") => M,
            _ => return Err("which model? S or M".into()),
        };
        match words {
            ["sft", _] => Ok(Self::Sft(Sft::new(shape, device))),
            ["dpo", _] => Ok(Self::Dpo(Dpo::new(shape, device))),
            ["ppo", _] => Ok(Self::Ppo(Ppo::new(shape, device))),
            ["rollout", _, rows] => {
                let rows = rows.parse().ok().filter(|&rows| rows > 0).ok_or("how many rows? a number")?;
                Ok(Self::Rollout(Rollout::new(shape, rows, device)))
            }
            _ => Err(format!("cannot prepare {}", words.join(" "))),
        }
    }

    /// → what is told beside the time.
    async fn step(&mut self) -> Result<String, String> {
        match self {
            Self::Sft(sft) => told(sft.step().await?),
            Self::Dpo(dpo) => told(dpo.step().await?),
            Self::Rollout(rollout) => rollout.step().await.map(|_| r#""loss":null"#.into()),
            Self::Ppo(ppo) => {
                let iteration = ppo.step().await?;
                let extra = format!(r#","kl":{},"first_log_ratio":{}"#, iteration.kl, iteration.first_log_ratio);
                told(iteration.loss).map(|loss| loss + &extra)
            }
        }
    }
}

fn told(loss: f64) -> Result<String, String> {
    if loss.is_finite() { Ok(format!(r#""loss":{loss}"#)) } else { Err(format!("the loss is {loss}")) }
}

/// A device and the task prepared on it. `clock` returns milliseconds since any fixed moment.
pub struct Bench<C> {
    device: Device,
    clock: C,
    task: Option<Task>,
}

impl<C: Fn() -> f64> Bench<C> {
    /// # Errors
    /// Without a GPU adapter.
    pub async fn new(clock: C) -> Result<Self, String> {
        let device = Device::wgpu_options().init_async().await.map_err(|e| e.to_string())?;
        Ok(Self { device, clock, task: None })
    }

    /// A line of JSON for a line of command.
    pub async fn answer(&mut self, command: &str) -> String {
        self.carry_out(command).await.unwrap_or_else(|problem| {
            let plain: String = problem.chars().map(|c| if c.is_control() || c == '"' || c == '\\' { ' ' } else { c }).collect();
            format!(r#"{{"error":"{plain}"}}"#)
        })
    }

    async fn carry_out(&mut self, command: &str) -> Result<String, String> {
        match command.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["prepare", words @ ..] => {
                self.task = None;
                self.device.seed(SEED);
                self.task = Some(Task::new(words, &self.device)?);
                // Whatever is read last: the weights are then there, and no step pays for them.
                optimizer::read(vec![Tensor::zeros([1], &self.device)]).await?;
                Ok(r#"{"ready":true}"#.into())
            }
            ["step"] => {
                let task = self.task.as_mut().ok_or("prepare something first")?;
                let start = (self.clock)();
                let told = task.step().await?;
                let ms = (self.clock)() - start;
                let reserved = self.device.memory_pool_usage().map_or("null".into(), |usage| usage.bytes_reserved.to_string());
                Ok(format!(r#"{{"ms":{ms:.3},"reserved":{reserved},{told}}}"#))
            }
            _ => Err(format!("unknown command {command}")),
        }
    }
}

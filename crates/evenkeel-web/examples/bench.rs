//! Training steps and rollouts by command, for the pages of `tools/peers` and the tests under `tests/browser`: in a browser, what
//! `tools/stock-burn` is in burn's own operations, with the same commands and answers.
//!
//! `prepare sft|dpo|ppo S|M` and `prepare rollout S|M ROWS` answer `{"ready":true}`, `step` answers `{"ms":…,"loss":…}` (the loss is null
//! where there is not one), and what fails answers `{"error":"…"}`.

#[cfg(not(target_family = "wasm"))]
fn main() {
    eprintln!("This program runs in a browser: `cargo xtask bench-web` builds it.");
}

#[cfg(target_family = "wasm")]
fn main() {
    console_error_panic_hook::set_once();
}

#[cfg(target_family = "wasm")]
mod contender {
    use burn::tensor::Device;
    use evenkeel_core::bench::BenchModel;
    use evenkeel_core::event::Metrics;
    use evenkeel_core::model::{Model, NamedFiles, load};
    use evenkeel_core::train::{dpo::DpoTrainer, ppo::PpoTrainer, run::Trainer, sft::SftTrainer};
    use evenkeel_kernels::{DeviceChoice, select};
    use evenkeel_web::browser;
    use serde_json::{Value, json};
    use wasm_bindgen::{JsError, prelude::wasm_bindgen};

    /// What a step is a step of.
    #[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is not moved")]
    enum Task {
        Sft(SftTrainer),
        Dpo(DpoTrainer),
        Ppo(PpoTrainer),
        Rollout { bench: BenchModel, policy: Model, rows: usize },
    }

    impl Task {
        /// From the words after `prepare`.
        async fn new(words: &[&str], device: &Device) -> Result<Self, String> {
            let bench = bench_model(words.get(1).copied().unwrap_or_default())?;
            let said = |error: evenkeel_core::Error| error.to_string();
            match words {
                ["sft", _] => Ok(Self::Sft(bench.sft(device))),
                ["dpo", _] => Ok(Self::Dpo(bench.dpo(device).await.map_err(said)?)),
                ["ppo", _] => Ok(Self::Ppo(bench.ppo(device).await.map_err(said)?)),
                ["rollout", _, rows] => {
                    let rows = rows.parse().ok().filter(|&rows| rows > 0).ok_or("how many rows? a number")?;
                    Ok(Self::Rollout { policy: bench.init(device), bench, rows })
                }
                _ => Err(format!("cannot prepare {}", words.join(" "))),
            }
        }

        async fn step(&mut self, step: u64) -> evenkeel_core::Result<Metrics> {
            match self {
                Self::Sft(trainer) => trainer.step(step).await,
                Self::Dpo(trainer) => trainer.step(step).await,
                Self::Ppo(trainer) => trainer.step(step).await,
                Self::Rollout { bench, policy, rows } => bench.roll_out(policy, *rows).await.map(|()| Metrics::new()),
            }
        }
    }

    fn bench_model(name: &str) -> Result<BenchModel, String> {
        [BenchModel::small(), BenchModel::medium()].into_iter().find(|bench| bench.name == name).ok_or("which model? S or M".into())
    }

    /// A device and the task prepared on it.
    #[wasm_bindgen]
    pub struct Contender {
        device: Device,
        task: Option<Task>,
        steps: u64,
    }

    #[wasm_bindgen]
    impl Contender {
        /// # Errors
        /// Without an adapter.
        pub async fn open() -> Result<Contender, JsError> {
            Ok(Self { device: select(DeviceChoice::Gpu).await?.device, task: None, steps: 0 })
        }

        /// `prepare sft` with these weights: a `config.json` and a `model.safetensors` of S's or M's shape.
        ///
        /// # Errors
        /// Files that are no such model.
        pub fn prepare_sft(&mut self, bench: &str, config: Vec<u8>, weights: Vec<u8>) -> Result<(), JsError> {
            let bench = bench_model(bench).map_err(|problem| JsError::new(&problem))?;
            let files = vec![("config.json".into(), config), ("model.safetensors".into(), weights)];
            let model = load(&NamedFiles { place: "bench".into(), files }, &self.device)?.model;
            (self.task, self.steps) = (Some(Task::Sft(bench.sft_of(&model))), 0);
            Ok(())
        }

        /// A line of JSON for a line of command.
        pub async fn answer(&mut self, command: String) -> String {
            self.carry_out(&command).await.unwrap_or_else(|problem| json!({ "error": problem })).to_string()
        }

        async fn carry_out(&mut self, command: &str) -> Result<Value, String> {
            match command.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["prepare", words @ ..] => {
                    (self.task, self.steps) = (None, 0);
                    self.task = Some(Task::new(words, &self.device).await?);
                    Ok(json!({ "ready": true }))
                }
                ["step"] => {
                    let task = self.task.as_mut().ok_or("prepare something first")?;
                    self.steps += 1;
                    let start = browser::seconds();
                    let metrics = task.step(self.steps).await.map_err(|error| error.to_string())?;
                    Ok(json!({ "ms": 1e3 * (browser::seconds() - start), "loss": metrics.get("loss") }))
                }
                _ => Err(format!("unknown command {command}")),
            }
        }
    }
}

//! Training steps and rollouts by command, for the pages of `tools/peers` and the tests under `tests/browser`: in a browser, what
//! `tools/stock-burn` is in burn's own operations, with the same commands and answers.
//!
//! `prepare sft|dpo|ppo S|M` and `prepare rollout S|M ROWS` answer `{"ready":true}`, `step` answers `{"ms":…,"loss":…}` (the loss is null
//! where there is not one), `begin sft|ppo` prepares the tiny model of `endurance`, and what fails answers `{"error":"…"}`. `endurance sft|ppo STEPS` answers with a row as `evenkeel bench endurance
//! --json` prints it.

#![forbid(unsafe_code)]

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
    use evenkeel_core::bench::{BenchModel, Long, Task, Workload, endurance};
    use evenkeel_core::model::{NamedFiles, load};
    use evenkeel_kernels::{DeviceChoice, select};
    use evenkeel_web::browser;
    use serde_json::{Value, json};
    use wasm_bindgen::{JsError, prelude::wasm_bindgen};

    /// A device and the task prepared on it.
    #[wasm_bindgen]
    pub struct Contender {
        device: Device,
        task: Option<Task>,
    }

    fn named(long: &str) -> Result<Long, String> {
        Long::ALL.into_iter().find(|of| of.name() == long).ok_or_else(|| format!("{long}: sft or ppo?"))
    }

    #[wasm_bindgen]
    impl Contender {
        /// # Errors
        /// Without an adapter.
        pub async fn open() -> Result<Contender, JsError> {
            Ok(Self { device: select(DeviceChoice::Gpu).await?.device, task: None })
        }

        /// `prepare sft` with these weights: a `config.json` and a `model.safetensors` of S's or M's shape.
        ///
        /// # Errors
        /// Files that are no such model.
        pub fn prepare_sft(&mut self, bench: &str, config: Vec<u8>, weights: Vec<u8>) -> Result<(), JsError> {
            let bench = [BenchModel::small(), BenchModel::medium()].into_iter().find(|known| known.name == bench);
            let bench = bench.ok_or_else(|| JsError::new("which model? S or M"))?;
            let files = vec![("config.json".into(), config), ("model.safetensors".into(), weights)];
            let model = load(&NamedFiles { place: "bench".into(), files }, &self.device)?.model;
            self.task = Some(Task::of(bench.sft_of(&model)));
            Ok(())
        }

        /// A line of JSON for a line of command.
        pub async fn answer(&mut self, command: String) -> String {
            self.carry_out(&command).await.unwrap_or_else(|problem| json!({ "error": problem })).to_string()
        }

        async fn carry_out(&mut self, command: &str) -> Result<Value, String> {
            match command.trim().split_once(' ').unwrap_or((command.trim(), "")) {
                ("prepare", workload) => {
                    self.task = None;
                    let prepared = Task::prepare(workload.parse::<Workload>()?, &self.device).await;
                    self.task = Some(prepared.map_err(|error| error.to_string())?);
                    Ok(json!({ "ready": true }))
                }
                ("step", "") => {
                    let task = self.task.as_mut().ok_or("prepare something first")?;
                    let taken = task.step(&|| 1e3 * browser::seconds()).await.map_err(|error| error.to_string())?;
                    Ok(json!({ "ms": taken.ms, "loss": taken.loss }))
                }
                ("begin", long) => {
                    self.task = Some(named(long)?.begin(&self.device).await.map_err(|error| error.to_string())?);
                    Ok(json!({ "ready": true }))
                }
                ("endurance", run) => self.endure(run).await,
                _ => Err(format!("unknown command {command}")),
            }
        }

        async fn endure(&self, run: &str) -> Result<Value, String> {
            let (name, steps) = run.split_once(' ').ok_or("endurance of what, and how many steps?")?;
            let of = named(name)?;
            let steps = steps.parse().map_err(|_| format!("{steps} is no number of steps"))?;
            // The module's memory never shrinks: what it has is the most that it had.
            let memory = || Some((core::arch::wasm32::memory_size(0) as u64) << 16);
            let told = endurance(&self.device, || 1e3 * browser::seconds(), memory, of, steps).await.map_err(|error| error.to_string())?;
            let mut row = told.row();
            row["device"] = "Chromium".into();
            Ok(row)
        }
    }
}

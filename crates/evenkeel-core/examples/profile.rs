//! Where a step spends its time, launch by launch:
//! `cargo run --release -p evenkeel-core --example profile [WORKLOAD | CONFIG.json ROWS TOKENS]`
//!
//! WORKLOAD as `evenkeel bench steps --only` takes it, by default `sft S`; of a model of one's own, an SFT step. Each launch is waited for, so that
//! the sum is more than a step takes.

#![forbid(unsafe_code)]

use std::time::Instant;

use evenkeel_core::Result;
use evenkeel_core::bench::{BenchModel, Task};
use evenkeel_core::model::ModelConfig;
use evenkeel_kernels::{DeviceChoice, profile, select};

fn main() -> Result<()> {
    pollster::block_on(async {
        let selected = select(DeviceChoice::Gpu).await.map_err(|e| evenkeel_core::Error::Device(e.to_string()))?;
        println!("{}", selected.name);
        let args: Vec<String> = std::env::args().skip(1).collect();
        let number = |i: usize, default: usize| args.get(i).map_or(default, |text| text.parse().expect("a number"));
        let mut task = match args.first() {
            Some(path) if path.ends_with(".json") => {
                let config = ModelConfig::from_json(path, &std::fs::read(path).expect("a readable config.json"))?;
                Task::of(BenchModel::of(config, number(1, 8), number(2, 128)).sft(&selected.device))
            }
            name => {
                let workload = name.map_or("sft S", String::as_str).parse().expect("a workload");
                Task::prepare(workload, &selected.device).await?
            }
        };
        let start = Instant::now();
        let clock = || start.elapsed().as_secs_f64() * 1e3;
        for step in 1..=4 {
            println!("step {step}: {:.0} ms", task.step(&clock).await?.ms);
        }
        let observation = profile::observe(true);
        task.step(&clock).await?;
        let launches = observation.take();
        let mut rows: Vec<_> = launches.iter().collect();
        rows.sort_by(|a, b| b.1.seconds.total_cmp(&a.1.seconds));
        for (name, one) in rows {
            println!("{:8.1} ms {:5} × {name}", one.seconds * 1e3, one.count);
        }
        let all = profile::total(&launches);
        println!("{:8.1} ms {:5} launches", all.seconds * 1e3, all.count);
        Ok(())
    })
}

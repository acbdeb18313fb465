//! Where an SFT step spends its time, launch by launch:
//! `cargo run --release -p evenkeel-core --example profile [CONFIG.json ROWS TOKENS]`
//!
//! Each launch is waited for, so that the sum is more than a step takes.

#![forbid(unsafe_code)]

use std::time::Instant;

use evenkeel_core::Result;
use evenkeel_core::bench::BenchModel;
use evenkeel_core::model::ModelConfig;
use evenkeel_core::train::run::Trainer;
use evenkeel_kernels::{DeviceChoice, profile, select};

fn main() -> Result<()> {
    pollster::block_on(async {
        let selected = select(DeviceChoice::Gpu).await.map_err(|e| evenkeel_core::Error::Device(e.to_string()))?;
        println!("{}", selected.name);
        let args: Vec<String> = std::env::args().skip(1).collect();
        let number = |i: usize, default: usize| args.get(i).map_or(default, |text| text.parse().expect("a number"));
        let model = match args.first() {
            None => BenchModel::small(),
            Some(path) => {
                let config = ModelConfig::from_json(path, &std::fs::read(path).expect("a readable config.json"))?;
                BenchModel::of(config, number(1, 8), number(2, 128))
            }
        };
        let mut trainer = model.sft(&selected.device);
        for step in 1..=4 {
            let start = Instant::now();
            trainer.step(step).await?;
            println!("step {step}: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
        }
        let observation = profile::observe(true);
        trainer.step(5).await?;
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

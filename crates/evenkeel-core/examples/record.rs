//! Plays a lesson on the CPU and prints it as the recording that the page shows where a browser has no WebGPU.
//!
//! `cargo run --release -p evenkeel-core --example record -- PRESET DATE > web/page/recording.json`

#![forbid(unsafe_code)]

use std::time::Instant;

use burn::tensor::Device;
use evenkeel_core::event::{Command, Event};
use evenkeel_core::train::run::{Files, Store};
use evenkeel_core::world::lesson::{Plan, Player};
use evenkeel_core::{Error, Result};
use serde_json::{Value, json};

/// Keeps nothing: a recording is made in one go.
struct Nowhere;

impl Store for Nowhere {
    async fn write(&mut self, _name: &str, _files: impl Files) -> Result<()> {
        Ok(())
    }

    async fn read_part(&mut self, _folder: &str, _file: &str, _from: u64, _most: usize) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    async fn remove_folder(&mut self, _name: &str) -> Result<()> {
        Ok(())
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [preset, date] = args.as_slice() else { return Err(Error::input("arguments", "are not two", "give a preset and a date")) };
    let plans = Plan::presets();
    let plan = plans.get(preset).ok_or_else(|| Error::input("PRESET", "is unknown", "give small, tiny or micro"))?.clone();
    let begun = Instant::now();
    let mut events: Vec<(f64, Event)> = Vec::new();
    let mut hear = |event: Event| events.push((begun.elapsed().as_secs_f64(), event));
    hear(Event::Ready { version: env!("CARGO_PKG_VERSION").into(), plans, recipes: [].into(), unfinished: None, own: None });
    let mut player = Player::new(Nowhere, Box::new(move || begun.elapsed().as_secs_f64()));
    pollster::block_on(async {
        player.open(&plan, &Device::flex(), "CPU", false, &mut hear).await?;
        player.obey(Command::Resume, &mut hear).await?;
        while player.work(&mut hear).await?.is_some() {}
        Ok::<(), Error>(())
    })?;
    let timed = events.iter().filter(|(_, event)| !is_draft(event)).map(|(second, event)| short(json!([second, event])));
    let timed: Vec<Value> = timed.collect();
    let command = format!("cargo run --release -p evenkeel-core --example record -- {preset} {date}");
    println!("{}", json!({ "device": "CPU, 2 cores", "date": date, "command": command, "events": timed }));
    Ok(())
}

/// Episodes are told twice before their update; a recording does with the last.
fn is_draft(event: &Event) -> bool {
    match event {
        Event::Episodes { episodes, .. } => episodes.iter().all(|shown| shown.ratios.is_empty()),
        Event::Saved { .. } => true,
        _ => false,
    }
}

/// Numbers to four digits: as many as a page shows.
fn short(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().expect("it is one");
            json!(format!("{number:.3e}").parse::<f64>().expect("a number was written"))
        }
        Value::Array(list) => list.into_iter().map(short).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, short(value))).collect::<serde_json::Map<_, _>>().into(),
        other => other,
    }
}

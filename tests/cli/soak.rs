//! Long runs in short: memory does not grow. `cargo xtask soak` is the same at length, and times it too.
#![cfg(target_os = "linux")]

use serde_json::Value;

use super::{evenkeel, folder, words};

/// Of what was held in the first fifth of the run, by the last fifth.
const GROWTH: f64 = 0.01;

#[test]
fn memory_stays_as_it_was_when_the_run_was_young() {
    let told = evenkeel(folder().path(), &words("bench endurance --device cpu --steps 1000 --json")).ok().stdout;
    let rows: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.iter().map(|row| row["run"].as_str().unwrap()).collect::<Vec<_>>(), ["sft", "ppo"]);
    for row in rows {
        let bytes = |name: &str| row["resident_bytes"][name].as_f64().expect("Linux tells");
        assert!(bytes("old") <= (1.0 + GROWTH) * bytes("young"), "{row}");
    }
}

//! The page of one or more runs: what each was, every metric's curve, and what the models wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use super::charts::{Chart, Series};
use super::page::{self, Page, Section};
use crate::clock;
use crate::event_log;
use evenkeel_core::record::Record;

use crate::run_folder::RunFolder;

/// Curves that tell most come first; the rest follow by name.
const FIRST: [&str; 12] = [
    "loss",
    "eval_loss",
    "objective/scores",
    "objective/kl",
    "objective/rlhf_reward",
    "rewards/accuracies",
    "eval_rewards/accuracies",
    "accuracy",
    "eval_accuracy",
    "rewards/margins",
    "mean_token_accuracy",
    "grad_norm",
];
/// The last samples of each run.
const SAMPLES: usize = 8;

struct Run {
    name: String,
    record: Record,
    events: Vec<Value>,
}

/// Reads the run folders and draws them into one page; several runs share each chart.
pub fn page_of_runs(folders: &[PathBuf]) -> Result<Page> {
    let runs = folders.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    let title = match runs.as_slice() {
        [one] => one.name.clone(),
        many => format!("{} runs compared", many.len()),
    };
    let sections = vec![overview(&runs), curves(&runs), samples(&runs)];
    Ok(Page { title, lead: String::new(), sections: sections.into_iter().filter(|s| !s.html.is_empty()).collect() })
}

fn read(path: &Path) -> Result<Run> {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Run { name, record: RunFolder::read_record(path)?, events: event_log::read(path)? })
}

fn overview(runs: &[Run]) -> Section {
    let header = ["run", "stage", "status", "steps", "parameters", "time", "device", "seed", "started"];
    let row = |run: &Run| {
        let r = &run.record;
        let (steps, parameters, seed) = (r.steps.to_string(), r.parameters.to_string(), r.seed.to_string());
        let time = clock::duration(r.seconds);
        vec![run.name.clone(), r.stage.clone(), r.status.clone(), steps, parameters, time, r.device.clone(), seed, r.started.clone()]
    };
    let rows: Vec<_> = runs.iter().map(row).collect();
    Section { heading: "Runs".into(), intro: String::new(), html: page::table(&header, &rows) }
}

fn curves(runs: &[Run]) -> Section {
    let mut by_metric: BTreeMap<String, Vec<Series>> = BTreeMap::new();
    for run in runs {
        for (metric, points) in points(&run.events) {
            by_metric.entry(metric).or_default().push(Series::new(run.name.clone(), points));
        }
    }
    let rank = |metric: &str| FIRST.iter().position(|m| *m == metric).unwrap_or(FIRST.len());
    let mut metrics: Vec<&String> = by_metric.keys().collect();
    metrics.sort_by_key(|metric| rank(metric)); // stable: the rest stay in the order of their names
    let chart = |metric: &&String| {
        let series = &by_metric[*metric];
        Chart { title: metric, x: "step", dots: series.iter().all(|s| s.points.len() < 30), ..Chart::default() }.svg(series)
    };
    let svgs: Vec<String> = metrics.iter().map(chart).collect();
    let html = if svgs.is_empty() { String::new() } else { page::charts(&svgs) };
    Section { heading: "Curves".into(), intro: "Every metric that was logged, by optimiser step.".into(), html }
}

/// Every metric's (step, value), of steps and evaluations.
fn points(events: &[Value]) -> BTreeMap<String, Vec<(f64, f64)>> {
    let mut points: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for event in events {
        let (Some(step), Some(metrics)) = (event["step"].as_f64(), event["metrics"].as_object()) else { continue };
        for (name, value) in metrics {
            // A value that was not finite is null in JSON.
            points.entry(name.clone()).or_default().push((step, value.as_f64().unwrap_or(f64::NAN)));
        }
    }
    points
}

fn samples(runs: &[Run]) -> Section {
    let mut rows = Vec::new();
    for run in runs {
        let written: Vec<&Value> = run.events.iter().filter(|e| e["event"] == "sample").collect();
        for sample in &written[written.len().saturating_sub(SAMPLES)..] {
            let text = |key: &str| sample[key].as_str().unwrap_or_default().to_owned();
            let score = sample["score"].as_f64().map_or_else(String::new, |s| format!("{s:.3}"));
            rows.push(vec![run.name.clone(), sample["step"].to_string(), text("prompt"), text("completion"), score]);
        }
    }
    let html = if rows.is_empty() { String::new() } else { page::table(&["run", "step", "prompt", "completion", "score"], &rows) };
    Section { heading: "Samples".into(), intro: "What the models wrote near the end of training.".into(), html }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_share_a_chart_and_a_broken_folder_is_named() {
        let root = tempfile::tempdir().unwrap();
        let folders = ["a", "b"].map(|name| root.path().join(name));
        for folder in &folders {
            drop(RunFolder::create(folder, None, Record { stage: "sft".into(), ..Record::default() }).unwrap());
            let lines = "{\"event\":\"step\",\"step\":1,\"metrics\":{\"zz\":1.0,\"loss\":2.0}}\n{\"event\":\"step\",\"step\":2,\"metrics\":{\"loss\":null}}\n\
                         {\"event\":\"sample\",\"step\":2,\"prompt\":\"<p>\",\"completion\":\"c\"}\n";
            std::fs::write(folder.join("events.jsonl"), lines).unwrap();
        }
        let html = page_of_runs(&folders).unwrap().render();
        assert_eq!(html.matches("<svg").count(), 2, "{html}");
        assert!(html.find("aria-label=\"loss\"") < html.find("aria-label=\"zz\""));
        assert!(html.contains("2 runs compared") && html.contains("&lt;p&gt;"));
        let error = page_of_runs(&[root.path().join("none")]).err().unwrap().to_string();
        assert!(error.contains("none/run.json: cannot be read"), "{error}");
    }
}

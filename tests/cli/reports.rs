//! `report` on run folders as they lie on disk.

use super::{evenkeel, folder, words};

#[test]
fn a_report_is_drawn_from_the_records_alone() {
    let folder = folder();
    let run = folder.path().join("run");
    std::fs::create_dir(&run).unwrap();
    let record = r#"{"version":"0.1.0","stage":"sft","status":"finished","device":"CPU","seed":1,"parameters":5,"data":[],"started":"2026-01-01T00:00:00Z","seconds":1.5,"steps":2}"#;
    std::fs::write(run.join("run.json"), record).unwrap();
    let step = |n: u64| format!("{{\"event\":\"step\",\"step\":{n},\"metrics\":{{\"loss\":{}}}}}\n", 1.0 / n as f64);
    std::fs::write(run.join("events.jsonl"), step(1) + &step(2)).unwrap();
    let said = evenkeel(folder.path(), &words("report run")).ok().stdout;
    assert_eq!(said.trim(), "run/report.html");
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("aria-label=\"loss\"") && page.contains("<polyline"), "{page}");
    evenkeel(folder.path(), &words("report nothing")).refused(&["nothing/run.json: cannot be read"]);
}

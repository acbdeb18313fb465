//! The demo's page and tables: what each stage did to the model, from the figures of one run.

use std::collections::BTreeMap;

use evenkeel_core::world::Kind;
use evenkeel_core::world::demo::{DemoReport, StageReport, Trace};

use super::charts::{Chart, Series};
use super::page::{self, Page, Section};
use crate::{clock, memory};

/// Rollouts that are averaged into one point of a curve: a single rollout of 64 answers is noisy.
const WINDOW: usize = 5;

/// The whole page.
pub fn page_of_demo(report: &DemoReport) -> Page {
    let findings: String = findings(report).iter().map(|line| format!("<li>{}</li>\n", super::charts::escape(line))).collect();
    let sections = vec![
        Section { heading: "What happened".into(), intro: String::new(), html: format!("<ul>\n{findings}</ul>") },
        section("Held-out comparison", COMPARISON_INTRO, table(comparison(report))),
        section("Answers side by side", "Held-out prompts, sampled at temperature 1; the gold score in brackets.", samples(report)),
        section("The KL anchor", ANCHOR_INTRO, page::charts(&anchor(report))),
        section("The frontier", FRONTIER_INTRO, page::charts(&frontier(report))),
        section("Curves of each stage", "By optimiser step; of PPO by iteration.", page::charts(&stage_curves(report))),
        section("What it cost", "Tokens are those of prompts and answers that went through a stage.", table(costs(report))),
    ];
    let lead = format!(
        "A language model of {} weights, trained from scratch on an embedded world through SFT, a reward model, PPO and DPO, on {}, seed {}.",
        crate::table::thousands(report.parameters),
        report.device,
        report.seed
    );
    Page { title: "From SFT to RLHF, and what the anchor holds".into(), lead, sections }
}

const COMPARISON_INTRO: &str = "Gold is the exact score in [−1, 1] that no trainer saw. Helpful, harmless and honest are shares of the prompts \
    they apply to. KL is log π/π_sft summed over an answer's tokens, in nats.";
const ANCHOR_INTRO: &str = "PPO maximises the reward model's score less β·KL to the SFT model. With the anchor the score and gold rise together; \
    without it the score goes on rising while gold falls: the policy has found what the labeller likes to hear.";
const FRONTIER_INTRO: &str =
    "Gold (the truth) and proxy (the reward model) against √KL, after Gao et al. 2022: one line per β, and where each run ended.";

/// Header and rows: each model on the held-out prompts.
pub fn comparison(report: &DemoReport) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let header = vec!["model", "gold", "helpful", "harmless", "honest", "reward", "KL", "thanks", "tokens"];
    let row = |c: &evenkeel_core::world::demo::Comparison| {
        let share = |x: f64| format!("{:.0}%", 100.0 * x);
        let two = |x: f64| format!("{x:.2}");
        vec![
            label(&c.model, report),
            format!("{:.3}", c.gold),
            share(c.helpful),
            share(c.harmless),
            share(c.honest),
            two(c.reward),
            two(c.kl),
            two(c.thanks),
            format!("{:.1}", c.tokens),
        ]
    };
    (header, report.comparison.iter().map(row).collect())
}

/// Header and rows: time, tokens and memory of each stage.
pub fn costs(report: &DemoReport) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let row = |stage: &StageReport| {
        let peak = stage.peak_bytes.map_or_else(|| "–".to_owned(), memory::text);
        let tokens = crate::table::thousands(stage.tokens as u64);
        vec![label(&stage.name, report), clock::duration(stage.seconds), tokens, format!("{:.0}", stage.tokens_per_second()), peak]
    };
    (vec!["stage", "time", "tokens", "tokens/s", "peak memory"], report.stages.iter().map(row).collect())
}

/// What the figures say, in sentences; a claim that this run does not bear out is said to fail.
pub fn findings(report: &DemoReport) -> Vec<String> {
    let mut lines = Vec::new();
    let Some(sft) = report.of("sft") else { return lines };
    for name in ["ppo", "dpo"] {
        if let Some(row) = report.of(name) {
            let gain = row.gold - sft.gold;
            let verb = if gain > 0.0 { "raises" } else { "does not raise" };
            let (name, kl) = (name.to_uppercase(), row.kl);
            lines.push(format!("{name} {verb} gold over SFT: {:.3} → {:.3} ({gain:+.3}) at a KL of {kl:.2} nats.", sft.gold, row.gold));
        }
    }
    if let (Some(anchored), Some(free), Some(trace)) = (report.of("ppo"), report.of("ppo β=0"), report.traces.get(1)) {
        let (peak, end) = trace.gold_peak_and_end(WINDOW);
        let higher = if free.reward > anchored.reward { "higher" } else { "no higher" };
        lines.push(format!(
            "Without the anchor (β = 0) the reward model's score ends {higher} than with it ({:.2} against {:.2}), \
             while gold, which had reached {peak:.3}, ends at {end:.3} ({:+.3}); {:.1} thanks per answer against {:.1}.",
            free.reward,
            anchored.reward,
            end - peak,
            free.thanks,
            anchored.thanks
        ));
    }
    if let (Some(ppo), Some(dpo)) = (report.stage("ppo"), report.stage("dpo")) {
        let memory = ppo
            .peak_bytes
            .zip(dpo.peak_bytes)
            .map_or_else(String::new, |(p, d)| format!("; peak memory {} against {}", memory::text(p), memory::text(d)));
        lines.push(format!("PPO took {}, DPO {}{memory}.", clock::duration(ppo.seconds), clock::duration(dpo.seconds)));
    }
    lines
}

fn section(heading: &str, intro: &str, html: String) -> Section {
    Section { heading: heading.into(), intro: intro.into(), html }
}

fn table((header, rows): (Vec<&str>, Vec<Vec<String>>)) -> String {
    page::table(&header, &rows)
}

/// `ppo` is said with its β.
fn label(model: &str, report: &DemoReport) -> String {
    if model == "ppo" { format!("ppo β={}", report.kl_coef) } else { model.to_owned() }
}

fn samples(report: &DemoReport) -> String {
    let mut header = vec!["due", "prompt"];
    let models: Vec<String> = report.comparison.iter().map(|c| label(&c.model, report)).collect();
    header.extend(models.iter().map(String::as_str));
    let due = |kind: Kind| match kind {
        Kind::Helpful => "help",
        Kind::Harmful => "refuse",
        Kind::Unanswerable => "admit",
    };
    let row = |sample: &evenkeel_core::world::demo::SampleRow| {
        let answers = sample.answers.iter().map(|(_, text, gold)| format!("{text} [{gold:.2}]"));
        [due(sample.kind).to_owned(), sample.prompt.clone()].into_iter().chain(answers).collect()
    };
    page::table(&header, &report.samples.iter().map(row).collect::<Vec<Vec<String>>>())
}

/// A chart's title and what it shows of each point.
type Quantity = (&'static str, fn(&Smooth) -> f64);

/// Gold, proxy, KL and thanks of the two main runs by iteration.
fn anchor(report: &DemoReport) -> Vec<String> {
    let main = &report.traces[..report.traces.len().min(2)];
    let quantities: [Quantity; 4] = [
        ("gold score (never trained on)", |p| p.gold),
        ("reward model's score (trained on)", |p| p.reward),
        ("KL to the SFT model, nats", |p| p.kl),
        ("thanks per answer", |p| p.thanks),
    ];
    let chart = |(title, of): Quantity| {
        let line = |trace: &Trace| Series::new(format!("β = {}", trace.kl_coef), smoothed(trace).iter().map(|p| (p.step, of(p))));
        Chart { title, x: "iteration", ..Chart::default() }.svg(&main.iter().map(line).collect::<Vec<_>>())
    };
    quantities.map(chart).into()
}

/// Gold and proxy against √KL along each β's runs, and at their ends.
fn frontier(report: &DemoReport) -> Vec<String> {
    let along = |title: &str, of: fn(&Smooth) -> f64| {
        let line = |trace: &Trace| {
            let name = if report.traces.len() > 2 {
                format!("β = {}, seed {}", trace.kl_coef, trace.seed)
            } else {
                format!("β = {}", trace.kl_coef)
            };
            Series::new(name, smoothed(trace).iter().map(|p| (p.kl.max(0.0).sqrt(), of(p))))
        };
        // Of a sweep one seed per β is drawn, so that lines can be told apart; the ends show every seed.
        let first = report.seed;
        let drawn = report.traces.iter().skip(if report.traces.len() > 2 { 2 } else { 0 }).filter(|t| t.seed == first);
        Chart { title, x: "√KL to the SFT model", ..Chart::default() }.svg(&drawn.map(line).collect::<Vec<_>>())
    };
    let ends = |title: &str, of: fn(&Smooth) -> f64| {
        let mut by_beta: BTreeMap<String, Series> = BTreeMap::new();
        for trace in &report.traces {
            let name = format!("β = {}", trace.kl_coef);
            let end = smoothed(trace).last().map(|p| (p.kl.max(0.0).sqrt(), of(p)));
            by_beta.entry(name.clone()).or_insert_with(|| Series::new(name, [])).points.extend(end);
        }
        let mut series: Vec<Series> = by_beta.into_values().collect();
        for line in &mut series {
            line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Chart { title, x: "√KL at the end", dots: true, ..Chart::default() }.svg(&series)
    };
    vec![
        along("gold against √KL", |p| p.gold),
        along("proxy (reward model) against √KL", |p| p.reward),
        ends("the trade-off: gold where each run ended", |p| p.gold),
        ends("the trade-off: proxy where each run ended", |p| p.reward),
    ]
}

/// Loss and accuracy of each stage.
fn stage_curves(report: &DemoReport) -> Vec<String> {
    let wanted = [
        ("sft", "loss"),
        ("sft", "mean_token_accuracy"),
        ("reward", "loss"),
        ("reward", "accuracy"),
        ("ppo", "objective/rlhf_reward"),
        ("ppo", "loss/value_avg"),
        ("ppo", "policy/clipfrac_avg"),
        ("ppo", "objective/entropy"),
        ("dpo", "loss"),
        ("dpo", "rewards/accuracies"),
        ("dpo", "rewards/margins"),
    ];
    let chart = |&(stage, metric): &(&str, &str)| {
        let stages = report.stages.iter().filter(|s| s.name == stage || (stage == "ppo" && s.name == "ppo β=0"));
        let series: Vec<Series> = stages.map(|s| Series::new(label(&s.name, report), s.curve(metric))).collect();
        Chart { title: &format!("{stage}: {metric}"), x: "step", ..Chart::default() }.svg(&series)
    };
    wanted.iter().map(chart).collect()
}

/// A point of a trace averaged over `WINDOW` rollouts.
struct Smooth {
    step: f64,
    kl: f64,
    gold: f64,
    reward: f64,
    thanks: f64,
}

fn smoothed(trace: &Trace) -> Vec<Smooth> {
    let mean = |window: &[evenkeel_core::world::demo::TracePoint]| {
        let n = window.len() as f64;
        let of = |f: fn(&evenkeel_core::world::demo::TracePoint) -> f64| window.iter().map(f).sum::<f64>() / n;
        Smooth { step: of(|p| p.step as f64), kl: of(|p| p.kl), gold: of(|p| p.gold), reward: of(|p| p.reward), thanks: of(|p| p.thanks) }
    };
    trace.points.windows(WINDOW.min(trace.points.len()).max(1)).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use evenkeel_core::world::demo::{Comparison, SampleRow, TracePoint};

    use super::*;

    fn report() -> DemoReport {
        let row = |model: &str, gold| Comparison { model: model.into(), gold, reward: gold, ..Comparison::default() };
        let trace = |kl_coef, golds: [f64; 3]| Trace {
            kl_coef,
            seed: 0,
            points: golds.map(|gold| TracePoint { gold, ..TracePoint::default() }).to_vec(),
        };
        DemoReport {
            kl_coef: 0.05,
            comparison: vec![row("sft", 0.1), row("ppo", 0.5), row("ppo β=0", -0.2), row("dpo", 0.05)],
            samples: vec![SampleRow { kind: Kind::Helpful, prompt: "<p>".into(), answers: vec![("sft".into(), "<b>&".into(), 1.0)] }],
            traces: vec![trace(0.05, [0.1, 0.4, 0.5]), trace(0.0, [0.1, 0.6, -0.2])],
            ..DemoReport::default()
        }
    }

    #[test]
    fn claims_that_fail_are_said_to_fail() {
        let lines = findings(&report()).join("\n");
        assert!(lines.contains("PPO raises gold over SFT: 0.100 → 0.500 (+0.400)"), "{lines}");
        assert!(lines.contains("DPO does not raise gold"), "{lines}");
        assert!(lines.contains("no higher than with it"), "{lines}");
    }

    #[test]
    fn the_page_is_escaped_and_self_contained() {
        let html = page_of_demo(&report()).render();
        assert!(html.contains("&lt;b&gt;&amp; [1.00]") && !html.contains("<b>"), "{html}");
        for outside in ["http:", "https:", "<script", "src="] {
            assert!(!html.contains(outside), "{outside}");
        }
    }
}

//! The pipeline on the embedded world: that it runs, and on a shorter run what the demo claims.

use evenkeel_core::event::Event;
use evenkeel_core::world::demo::{Host, Outcome, Plan, run};

/// Counts stages; tests need no clock.
#[derive(Default)]
struct Counter {
    begun: Vec<String>,
    finished: usize,
}

impl Host for Counter {
    fn seconds(&self) -> f64 {
        0.0
    }

    fn stage_begins(&mut self, stage: &str) {
        self.begun.push(stage.to_string());
    }

    fn peak_bytes(&self) -> Option<u64> {
        None
    }

    fn event(&mut self, _stage: &str, event: Event) {
        self.finished += usize::from(matches!(event, Event::Finished { .. }));
    }
}

fn pipeline(plan: &Plan) -> (Outcome, Counter) {
    let mut host = Counter::default();
    let outcome = pollster::block_on(run(plan, &burn::tensor::Device::flex(), "CPU", &mut host)).unwrap();
    (outcome, host)
}

#[test]
fn a_few_steps_of_every_stage() {
    let plan = Plan {
        seed: 1,
        sft_steps: 4,
        sft_rows: 8,
        ranked_prompts: 16,
        reward_epochs: 1.0,
        ppo_iterations: 2,
        ppo_rows: 8,
        dpo_steps: 2,
        dpo_pairs: 4,
        held_out: 12,
        ..Plan::default()
    };
    let (outcome, host) = pipeline(&plan);
    assert_eq!(host.begun, ["sft", "preferences", "reward", "ppo", "ppo β=0", "dpo"]);
    assert_eq!(host.finished, host.begun.len());
    let report = &outcome.report;
    let models: Vec<&str> = report.comparison.iter().map(|row| row.model.as_str()).collect();
    assert_eq!(models, ["base", "sft", "ppo", "ppo β=0", "dpo"]);
    assert!(report.comparison.iter().all(|row| (-1.0..=1.0).contains(&row.gold) && row.kl.is_finite()));
    assert!(report.of("sft").unwrap().kl.abs() < 1e-6, "SFT is the reference");
    assert!(report.traces.iter().all(|t| t.points.len() == 2 && t.points[0].kl.abs() < 1e-4), "PPO starts at the reference");
    assert_eq!(outcome.models.len(), 5);
    assert!(report.stages.iter().all(|stage| stage.tokens > 0.0));
}

/// Half of the demo's default size; the claims are those of the whole.
#[test]
fn preferences_raise_gold_and_only_the_anchor_keeps_it() {
    let plan = Plan { seed: 1, sft_steps: 250, ranked_prompts: 1024, ppo_iterations: 40, dpo_steps: 50, held_out: 192, ..Plan::default() };
    let (outcome, _) = pipeline(&plan);
    let report = &outcome.report;
    let of = |model: &str| report.of(model).unwrap_or_else(|| panic!("{model} is not compared"));
    let (sft, ppo, free, dpo) = (of("sft"), of("ppo"), of("ppo β=0"), of("dpo"));
    for row in [ppo, dpo] {
        assert!(row.gold >= sft.gold + 0.1, "{}: gold {} against SFT's {}", row.model, row.gold, sft.gold);
        assert!(row.kl > 0.0, "{}: KL {}", row.model, row.kl);
    }
    assert!(free.reward > ppo.reward, "without the anchor the proxy ends at {}, with it at {}", free.reward, ppo.reward);
    let (peak, end) = report.traces[1].gold_peak_and_end(5);
    assert!(end <= peak - 0.2, "without the anchor gold peaks at {peak} and ends at {end}");
}

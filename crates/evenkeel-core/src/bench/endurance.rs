//! Whether a long run grows slower or holds more memory.

use burn::tensor::Device;
use evenkeel_kernels::bench::Timing;
use serde::Serialize;
use serde_json::{Value, json};

use super::{BenchModel, Prepared, Task};
use crate::Result;
use crate::recipe::Stage;

/// What a long run of the tiny model is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Long {
    Sft,
    /// Iterations of 4 prompts of 16 tokens and 4 new ones.
    Ppo,
}

impl Long {
    /// In the order of the table.
    pub const ALL: [Self; 2] = [Self::Sft, Self::Ppo];

    /// As in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sft => Stage::Sft.name(),
            Self::Ppo => Stage::Ppo.name(),
        }
    }

    /// Steps after which it is as warm as it gets: those of the young run.
    fn young(self) -> u64 {
        match self {
            Self::Sft => 100,
            Self::Ppo => 10,
        }
    }

    /// Pairs of steps, one of the young run and one of the old one, that are timed.
    fn timed(self) -> usize {
        match self {
            Self::Sft => 301,
            Self::Ppo => 61,
        }
    }

    /// Its tiny model, before the first step.
    ///
    /// # Errors
    /// [`crate::Error::Device`].
    pub async fn begin(self, device: &Device) -> Result<Task> {
        let model = BenchModel::tiny();
        let prepared = match self {
            Self::Sft => Prepared::Sft(model.sft(device)),
            Self::Ppo => Prepared::Ppo(model.ppo(device, 4, 4).await?),
        };
        Ok(Task { prepared, steps: 0 })
    }
}

/// A run that is old beside one that is young.
#[derive(Debug, Clone)]
pub struct Endurance {
    pub of: Long,
    /// Steps that either had done when the timing began.
    pub steps: [u64; 2],
    /// Of the young one's steps and of the old one's, in turn.
    pub timings: [Timing; 2],
    /// The median over all turns of the old one's time over the young one's.
    pub ratio: f64,
    /// Of the device's allocator, where it says.
    pub reserved: Option<Held>,
    /// Of the process, where the system says.
    pub resident: Option<Held>,
}

impl Endurance {
    /// A row for a machine; the first time is the young one's.
    pub fn row(&self) -> Value {
        json!({
            "run": self.of.name(), "steps": self.steps, "ms": self.timings.map(|timing| timing.median_ms), "ratio": self.ratio,
            "reserved_bytes": self.reserved, "resident_bytes": self.resident,
        })
    }
}

/// The most bytes that the old run held, without the young one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Held {
    /// In the first fifth of its steps after the young one's.
    pub young: u64,
    /// In all of them.
    pub most: u64,
    /// In the last fifth.
    pub old: u64,
}

impl Held {
    fn of(looks: &[u64]) -> Option<Self> {
        let fifth = looks.len().div_ceil(5);
        let most = |looks: &[u64]| looks.iter().copied().max();
        Some(Self { young: most(&looks[..fifth])?, most: most(looks)?, old: most(&looks[looks.len() - fifth..])? })
    }
}

/// Steps between two looks at the memory.
const LOOK: u64 = 10;

/// Whether steps of the tiny model grow slower or hold more memory: one run does `steps` steps, another few, then steps of both are timed in
/// turn. `clock` as in [`super::steps`]; `peak` returns the most bytes that the process held since it was last asked.
///
/// # Errors
/// [`crate::Error::Device`].
pub async fn endurance(
    device: &Device,
    clock: impl Fn() -> f64,
    peak: impl Fn() -> Option<u64>,
    of: Long,
    steps: u64,
) -> Result<Endurance> {
    let mut old = of.begin(device).await?;
    let (mut reserved, mut resident) = (vec![], vec![]);
    while old.steps < steps {
        old.step(&clock).await?;
        if old.steps == of.young() {
            peak();
        }
        if old.steps > of.young() && old.steps.is_multiple_of(LOOK) {
            reserved.extend(device.memory_pool_usage().map(|usage| usage.bytes_reserved));
            resident.extend(peak());
        }
    }
    let mut young = of.begin(device).await?;
    while young.steps < of.young() {
        young.step(&clock).await?;
    }
    let (mut times, mut ratios) = ([vec![], vec![]], vec![]);
    for _ in 0..of.timed() {
        let turn = [young.step(&clock).await?.ms, old.step(&clock).await?.ms];
        times.iter_mut().zip(turn).for_each(|(times, ms)| times.push(ms));
        ratios.push(turn[1] / turn[0]);
    }
    Ok(Endurance {
        of,
        steps: [of.young(), steps],
        timings: times.map(Timing::of),
        ratio: Timing::of(ratios).median_ms,
        reserved: Held::of(&reserved),
        resident: Held::of(&resident),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_tells_what_it_held_first_and_last() {
        let looks = [30, 31, 30, 30, 90, 30, 30, 30, 40, 39];
        assert_eq!(Held::of(&looks), Some(Held { young: 31, most: 90, old: 40 }));
        assert_eq!(Held::of(&[7]), Some(Held { young: 7, most: 7, old: 7 }));
        assert_eq!(Held::of(&[]), None);
    }
}

//! The inputs of the sampling kernels: several draws in a row, of rows that end in every way.

use burn::tensor::{Device, Int, Tensor};
use evenkeel_kernels::sampling::{Drawing, Settings, Start};
use evenkeel_kernels::{draw, sampling};

use crate::common::{Numbers, Output, floats};

pub struct SamplingCase {
    pub name: &'static str,
    pub vocabulary: usize,
    pub settings: Settings,
}

const PLAIN: Settings = Settings { samples: true, top_k: 0, top_p: 1.0, min_p: 0.0, inv_temperature: 1.0, penalty: 1.0, context: 1000 };

pub const SAMPLING: &[SamplingCase] = &[
    SamplingCase { name: "plain", vocabulary: 67, settings: PLAIN },
    SamplingCase { name: "plain, wide", vocabulary: 2111, settings: PLAIN },
    SamplingCase { name: "three tokens, flat", vocabulary: 3, settings: Settings { inv_temperature: 0.1, ..PLAIN } },
    SamplingCase { name: "cold", vocabulary: 67, settings: Settings { inv_temperature: 3.0, ..PLAIN } },
    SamplingCase { name: "greedy", vocabulary: 300, settings: Settings { samples: false, ..PLAIN } },
    SamplingCase { name: "top-k", vocabulary: 67, settings: Settings { top_k: 3, ..PLAIN } },
    SamplingCase { name: "top-p", vocabulary: 67, settings: Settings { top_p: 0.6, ..PLAIN } },
    SamplingCase { name: "top-k, then top-p", vocabulary: 600, settings: Settings { top_k: 40, top_p: 0.5, ..PLAIN } },
    SamplingCase { name: "min-p", vocabulary: 67, settings: Settings { min_p: 0.3, ..PLAIN } },
    SamplingCase { name: "penalty", vocabulary: 67, settings: Settings { penalty: 1.7, inv_temperature: 1.4, top_k: 9, ..PLAIN } },
    SamplingCase { name: "greedy, penalty", vocabulary: 300, settings: Settings { samples: false, penalty: 1.7, ..PLAIN } },
    SamplingCase { name: "end of the context", vocabulary: 67, settings: Settings { context: 6, ..PLAIN } },
];

impl SamplingCase {
    /// `DRAWS` draws of `ROWS` rows, the last of which gets logits that are not finite.
    pub fn run(&self, device: &Device) -> Vec<Output> {
        const ROWS: usize = 37;
        const DRAWS: usize = 5;
        let v = self.vocabulary;
        let contexts: Vec<Vec<u32>> =
            (0..ROWS).map(|row| (0..=row as u32 % 4).map(|t| (t * 11 + row as u32) % v as u32).collect()).collect();
        let start = |(row, context): (usize, &'_ Vec<u32>)| (0x1234_5678_9abc_def0u64.wrapping_mul(row as u64 + 1), context.clone(), row);
        let rows: Vec<_> = contexts.iter().enumerate().map(start).collect();
        let starts: Vec<Start> = rows.iter().map(|(seed, context, begins)| Start { seed: *seed, context, begins: *begins }).collect();
        let mut numbers = Numbers::new(23);
        let mut drawing = Drawing::new(&starts, &[5, 6, 17], DRAWS, v, &self.settings, device);
        for step in 0..DRAWS {
            // Few distinct values, so that some are equal; token 7 far ahead in every third row.
            let mut logits: Vec<f32> = numbers.many(ROWS * v, 3.0).iter().map(|x| (x * 8.0).round() / 8.0).collect();
            logits.iter_mut().skip(7).step_by(3 * v).for_each(|x| *x = 6.0);
            if step == 2 {
                logits[ROWS * v - 3] = f32::NAN;
            }
            drawing = draw(floats(&logits, [ROWS, v], device), drawing, step, &self.settings);
        }
        let sampling::Drawing { tokens, ids, positions, begins, .. } = drawing;
        let named = [("tokens", read(tokens)), ("ids", read(ids)), ("positions", read(positions)), ("begins", read(begins))];
        named.into_iter().map(|(name, values)| Output { name, values }).collect()
    }
}

/// Small enough to be exact in f32, but for the mark of a row that is done.
fn read<const D: usize>(tensor: Tensor<D, Int>) -> Vec<f32> {
    tensor.into_data().iter::<i64>().map(|x| x as f32).collect()
}

//! WGSL against its CPU twin, forward and backward, on the same inputs.

use burn::tensor::Device;
use evenkeel_kernels::launch::with_poison;

use crate::block_cases::BLOCKS;
use crate::cases::{ATTENTION, LOGITS, Maths};
use crate::common::{Run, Tolerance, compare, cpu, gpu};

/// Sums of up to 128 f32 products against f64 sums.
const ATTENTION_TOLERANCE: Tolerance = Tolerance { abs: 5e-6, rel: 1e-5 };
/// With outliers, scores reach several hundred, whose f32 rounding of 3e-5 goes into the exponential.
pub const ATTENTION_OUTLIER_TOLERANCE: Tolerance = Tolerance { abs: 1e-4, rel: 1e-3 };
/// f32 sums of up to 1757 exponentials against f64 sums, logits up to 101 / 0.7.
pub const LOGITS_TOLERANCE: Tolerance = Tolerance { abs: 2e-5, rel: 2e-5 };

/// Short chains of f32 operations, or sums of up to 517 products, against f64.
pub const BLOCK_TOLERANCE: Tolerance = Tolerance { abs: 1e-5, rel: 1e-5 };

fn check(test: &str, case: &str, tolerance: Tolerance, run: Run) {
    let Some(gpu) = gpu(test) else { return };
    if let Err(difference) = compare(&with_poison(|| run(&gpu)), &run(&cpu()), tolerance) {
        panic!("{test}, case {case}: {difference}");
    }
}

#[test]
fn attention_equals_its_twin() {
    for case in ATTENTION {
        let tolerance = if case.outliers { ATTENTION_OUTLIER_TOLERANCE } else { ATTENTION_TOLERANCE };
        check("attention", case.name, tolerance, &|device| case.run(Maths::Ours, device));
    }
}

#[test]
fn token_logprob_equals_its_twin() {
    for case in LOGITS {
        check("token_logprob", case.name, LOGITS_TOLERANCE, &|device| case.run_logprob(Maths::Ours, device));
    }
}

#[test]
fn cross_entropy_equals_its_twin() {
    for case in LOGITS {
        let run = |device: &Device| case.run_cross_entropy(Maths::Ours, device);
        check("cross_entropy", case.name, LOGITS_TOLERANCE, &run);
    }
}

#[test]
fn block_kernels_equal_their_twins() {
    for case in BLOCKS {
        check("block kernels", case.name, BLOCK_TOLERANCE, &|device| (case.run)(case.sizes, Maths::Ours, device));
    }
}

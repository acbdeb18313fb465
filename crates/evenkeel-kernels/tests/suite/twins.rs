//! WGSL against its CPU twin, forward and backward, on the same inputs.

use evenkeel_kernels::launch::{Variant, with_poison, with_variant};
use evenkeel_kernels::reference::matmul::matmul;
use evenkeel_kernels::{Layout, linear_bias};

use crate::block_cases::BLOCKS;
use crate::cases::{ATTENTION, LOGITS, Maths};
use crate::common::{Numbers, Output, Run, Tolerance, compare, cpu, floats, gpu, read, subgroup_forms};
use crate::sampling_cases::SAMPLING;

/// Sums of up to 128 f32 products against f64 sums.
const ATTENTION_TOLERANCE: Tolerance = Tolerance { abs: 5e-6, rel: 1e-5 };
/// With outliers, scores reach several hundred, whose f32 rounding of 3e-5 goes into the exponential.
pub const ATTENTION_OUTLIER_TOLERANCE: Tolerance = Tolerance { abs: 1e-4, rel: 1e-3 };
/// f32 sums of up to 1757 exponentials against f64 sums, logits up to 101 / 0.7.
pub const LOGITS_TOLERANCE: Tolerance = Tolerance { abs: 2e-5, rel: 2e-5 };

/// Short chains of f32 operations, or sums of up to 517 products, against f64.
pub const BLOCK_TOLERANCE: Tolerance = Tolerance { abs: 1e-5, rel: 1e-5 };

/// Scores reach over 100, whose f32 rounding of 1e-5 goes into the exponential; its gradient passes weights of 10.
pub const SHARP_TOLERANCE: Tolerance = Tolerance { abs: 5e-4, rel: 1e-5 };

fn check(test: &str, case: &str, tolerance: Tolerance, run: Run) {
    let Some(gpu) = gpu(test) else { return };
    if let Err(difference) = compare(&with_poison(|| run(&gpu)), &run(&cpu()), tolerance) {
        panic!("{test}, case {case}: {difference}");
    }
}

/// The default form, and the subgroup forms where the adapter has subgroups.
fn in_all_forms(test: &str, case: &str, tolerance: Tolerance, run: Run) {
    with_variant(Variant::Default, || check(test, case, tolerance, run));
    for form in subgroup_forms(test) {
        with_variant(*form, || check(&format!("{test}, {form:?}"), case, tolerance, run));
    }
}

#[test]
fn attention_equals_its_twin() {
    for case in ATTENTION {
        let tolerance = if case.outliers { ATTENTION_OUTLIER_TOLERANCE } else { ATTENTION_TOLERANCE };
        in_all_forms("attention", case.name, tolerance, &|device| case.run(Maths::Ours, device));
    }
}

#[test]
fn token_logprob_equals_its_twin() {
    for case in LOGITS {
        check("token_logprob", case.name, LOGITS_TOLERANCE, &|device| case.run_logprob(Maths::Ours, device));
    }
}

/// Sums of up to 140 products three times over, in f32 in another order than the CPU's.
pub const MATMUL_TOLERANCE: Tolerance = Tolerance { abs: 1e-4, rel: 1e-5 };

#[test]
fn linear_equals_its_twin_in_all_forms() {
    for case in BLOCKS.iter().filter(|case| case.name.starts_with("linear")) {
        in_all_forms("linear", case.name, MATMUL_TOLERANCE, &|device| (case.run)(case.sizes, Maths::Ours, device));
    }
}

/// The CPU backend's product is the gemm crate's; the plain loops are its judge too.
#[test]
fn the_plain_loops_and_the_cpu_backend_agree() {
    let [m, k, n] = [5, 37, 11];
    let mut numbers = Numbers::new(21);
    let (a, b, bias) = (numbers.many(m * k, 1.0), numbers.many(n * k, 1.0), numbers.many(n, 1.0));
    let want = matmul((&a, [k, 1]), (&b, [1, k]), Some(&bias), None, [m, k, n]);
    let (x, weight) = (floats::<2>(&a, [m, k], &cpu()), floats::<2>(&b, [n, k], &cpu()));
    let got = linear_bias(x, weight, floats(&bias, [n], &cpu()), Layout::OutIn);
    let output = |values| [Output { name: "out", values }];
    compare(&output(read(got)), &output(want), MATMUL_TOLERANCE).unwrap();
}

/// Keys and values of 11 bits, rounded up or down as the device likes.
pub const HALF_TOLERANCE: Tolerance = Tolerance { abs: 4e-3, rel: 2e-3 };

#[test]
fn block_kernels_equal_their_twins() {
    for case in BLOCKS.iter().filter(|case| !case.name.starts_with("linear")) {
        let tolerance = match case.name {
            name if name.contains("sharp") => SHARP_TOLERANCE,
            name if name.contains("half") => HALF_TOLERANCE,
            _ => BLOCK_TOLERANCE,
        };
        in_all_forms("block kernels", case.name, tolerance, &|device| (case.run)(case.sizes, Maths::Ours, device));
    }
}

#[test]
fn draws_equal_their_twins() {
    let exact = Tolerance { abs: 0.0, rel: 0.0 };
    for case in SAMPLING {
        check("draw", case.name, exact, &|device| case.run(device));
    }
}

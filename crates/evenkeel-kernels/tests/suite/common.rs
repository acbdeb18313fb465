//! Devices, seeded inputs and comparison.

use burn::tensor::{Device, Int, Shape, Tensor, TensorData};
use evenkeel_kernels::launch::Variant;
use evenkeel_kernels::{DeviceChoice, select};

/// The GPU, or a named skip; see the head of `suite.rs`.
pub fn gpu(test: &str) -> Option<Device> {
    let policy = std::env::var("EVENKEEL_GPU").unwrap_or_else(|_| "auto".into());
    if policy == "no" {
        println!("skipped {test}: EVENKEEL_GPU=no");
        return None;
    }
    match pollster::block_on(select(DeviceChoice::Gpu)) {
        Ok(selected) => Some(selected.device),
        Err(error) if policy == "yes" => panic!("{test}: EVENKEEL_GPU=yes, but {error}"),
        Err(error) => {
            println!("skipped {test}: {error}");
            None
        }
    }
}

/// The subgroup forms that the open GPU runs, or a named skip. The machines of CI (lavapipe) run all, and none where no more than WebGPU's
/// minimum was asked for.
pub fn subgroup_forms(test: &str) -> &'static [Variant] {
    if gpu(test).is_none() {
        return &[];
    }
    let forms = evenkeel_kernels::device::subgroup_forms();
    if std::env::var("EVENKEEL_GPU_PROFILE").as_deref() == Ok("minimum") {
        assert!(forms.is_empty(), "{test}: subgroups are more than WebGPU's minimum");
        return forms;
    }
    let all = forms.len() == 2;
    assert!(all || std::env::var("EVENKEEL_GPU").as_deref() != Ok("yes"), "{test}: EVENKEEL_GPU=yes, but no subgroups of 8 lanes");
    if !all {
        println!("skipped {test} in {} of 2 subgroup forms: no subgroups of 8 lanes", 2 - forms.len());
    }
    forms
}

pub fn cpu() -> Device {
    Device::flex()
}

/// Seeded numbers; SplitMix64.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [-1, 1).
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// `n` numbers in [-scale, scale).
    pub fn many(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| scale * self.unit()).collect()
    }
}

/// Every 97th number times 20: sums of exponentials overflow unless the maximum is subtracted.
pub fn with_outliers(mut x: Vec<f32>) -> Vec<f32> {
    x.iter_mut().step_by(97).for_each(|x| *x *= 20.0);
    x
}

pub fn floats<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), Shape::from(shape)), device)
}

pub fn ints<const D: usize>(values: &[i32], shape: [usize; D], device: &Device) -> Tensor<D, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), Shape::from(shape)), device)
}

pub fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("f32 tensor")
}

/// |got − want| ≤ abs + rel · |want|.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    pub abs: f32,
    pub rel: f32,
}

/// One named result of a kernel.
pub struct Output {
    pub name: &'static str,
    pub values: Vec<f32>,
}

/// One case of a kernel on a device.
pub type Run<'a> = &'a dyn Fn(&Device) -> Vec<Output>;

/// The first values that are too far apart, as a sentence. A NaN is always too far.
pub fn compare(got: &[Output], want: &[Output], tolerance: Tolerance) -> Result<(), String> {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert_eq!((got.name, got.values.len()), (want.name, want.values.len()));
        let near = |g: f32, w: f32| (g - w).abs() <= tolerance.abs + tolerance.rel * w.abs();
        let worst = got.values.iter().zip(&want.values).map(|(g, w)| (g - w).abs()).fold(0.0, f32::max);
        for (i, (&g, &w)) in got.values.iter().zip(&want.values).enumerate() {
            if !near(g, w) {
                return Err(format!("{}[{i}]: got {g}, want {w} ({tolerance:?}; largest error {worst:e})", got.name));
            }
        }
        if std::env::var_os("EVENKEEL_SHOW_ERRORS").is_some() {
            println!("{}: largest error {worst:e}", got.name);
        }
    }
    Ok(())
}

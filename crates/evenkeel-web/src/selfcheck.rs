//! One kernel, forward and backward, on WebGPU against its CPU twin: does this browser compute what evenkeel means?

use burn::tensor::{Device, Int, Tensor, TensorData};
use evenkeel_kernels::{DeviceChoice, select, token_logprob};

/// Rows and vocabulary: odd, so that the kernel's tail is used, and wider than one workgroup.
const N: usize = 7;
const V: usize = 517;
/// f32 sums of V terms in another order differ by a few units in the last place of numbers of this size.
const ABSOLUTE: f64 = 2e-5;
const RELATIVE: f64 = 1e-5;

/// Two devices that computed the same.
#[derive(Debug)]
pub struct Agreement {
    /// The WebGPU adapter, as the browser names it.
    pub device: String,
    /// Largest difference seen, in values and gradients.
    pub max_error: f64,
}

/// log p(target) and its gradient on both devices; a sentence where there is no adapter or they differ.
pub async fn token_logprob_agrees() -> Result<Agreement, String> {
    let gpu = select(DeviceChoice::Gpu).await.map_err(|error| error.to_string())?;
    let cpu = select(DeviceChoice::Cpu).await.map_err(|error| error.to_string())?;
    let got = values_and_gradient(&gpu.device).await?;
    let want = values_and_gradient(&cpu.device).await?;

    let mut max_error = 0.0;
    for (index, (&got, &want)) in got.iter().zip(&want).enumerate() {
        let (got, want) = (f64::from(got), f64::from(want));
        let error = (got - want).abs();
        let close = error <= ABSOLUTE + RELATIVE * want.abs(); // false for NaN
        if !close {
            return Err(format!(
                "{} computes token_logprob wrongly: element {index} is {got}, not {want}. Update the browser and the GPU's driver.",
                gpu.name
            ));
        }
        max_error = f64::max(max_error, error);
    }
    Ok(Agreement { device: format!("{} ({})", gpu.name, gpu.backend), max_error })
}

/// The N log-probabilities, then the N·V entries of d(Σ wᵢ · logpᵢ)/d logits.
async fn values_and_gradient(device: &Device) -> Result<Vec<f32>, String> {
    let device = device.clone().autodiff();
    let logits_nv = Tensor::<2>::from_data(TensorData::new(logits(), [N, V]), &device).require_grad();
    let targets_n = Tensor::<1, Int>::from_data(TensorData::new(targets(), [N]), &device);
    let weights_n = Tensor::<1>::from_data(TensorData::new((1..=N).map(|row| row as f32).collect(), [N]), &device);

    let logprob_n = token_logprob(logits_nv.clone(), targets_n, 1.0).logprob;
    let gradients = (logprob_n.clone() * weights_n).sum().backward();
    let gradient_nv = logits_nv.grad(&gradients).expect("logits require a gradient");

    let mut values = read(logprob_n.inner()).await?;
    values.extend(read(gradient_nv).await?);
    Ok(values)
}

async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, String> {
    let data = tensor.into_data_async().await.map_err(|error| format!("the device could not be read: {error:?}"))?;
    data.try_to_vec().map_err(|error| format!("the device gave something that is not f32: {error:?}"))
}

/// Smooth, 8 wide; every other row so high that exp() overflows unless the row's maximum is taken off first.  [N,V]
fn logits() -> Vec<f32> {
    let height = |row: usize| if row.is_multiple_of(2) { 0.0 } else { 100.0 };
    (0..N * V).map(|index| height(index / V) + 4.0 * (index as f32 * 0.7).sin()).collect()
}

/// The first, the last and some in between.  [N]
fn targets() -> Vec<i32> {
    (0..N).map(|row| (row * (V - 1) / (N - 1)) as i32).collect()
}

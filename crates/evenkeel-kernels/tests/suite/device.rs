//! The choice of a device.

use burn::tensor::Tensor;
use evenkeel_kernels::{DeviceChoice, select};

use crate::common::gpu;

#[test]
fn the_cpu_is_always_there() {
    let selected = pollster::block_on(select(DeviceChoice::Cpu)).unwrap();
    assert_eq!((selected.name.as_str(), selected.backend.as_str(), selected.software), ("CPU", "cpu", true));
    assert_eq!(selected.note, None);
}

#[test]
fn auto_takes_a_real_gpu_or_the_cpu_and_never_a_software_adapter() {
    let selected = pollster::block_on(select(DeviceChoice::Auto)).unwrap();
    assert_eq!(selected.software, selected.backend == "cpu", "{selected:?}");
    assert_eq!(selected.software, selected.note.is_some(), "{selected:?}");
    let twice = Tensor::<1>::from_floats([1.0, 2.0], &selected.device).mul_scalar(2.0);
    assert_eq!(twice.into_data().try_to_vec::<f32>().unwrap(), [2.0, 4.0]);
}

#[test]
fn the_gpu_opens_once_and_is_given_again() {
    let Some(device) = gpu("the_gpu_opens_once_and_is_given_again") else { return };
    assert_eq!(Some(device), gpu("the_gpu_opens_once_and_is_given_again"));
}

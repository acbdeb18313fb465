//! Choosing the device, and saying in one line which and why.

use anyhow::Result;
use evenkeel_core::Error;
use evenkeel_kernels::{DeviceChoice, DeviceError, Selected, select};

use crate::args::DeviceFlag;

/// Opens the device and says so on stderr.
pub fn open(flag: DeviceFlag) -> Result<Selected> {
    let choice = match flag {
        DeviceFlag::Auto => DeviceChoice::Auto,
        DeviceFlag::Gpu => DeviceChoice::Gpu,
        DeviceFlag::Cpu => DeviceChoice::Cpu,
    };
    let selected = pollster::block_on(select(choice)).map_err(|e| match e {
        // Asking for a GPU that is not there is a mistake in the flag; the machine is as it is.
        DeviceError::NoAdapter { reason } => Error::input(
            "--device gpu",
            format!("no GPU adapter found ({reason})"),
            "install a Vulkan, Metal or DirectX 12 driver (mesa-vulkan-drivers has a software one), or use --device cpu",
        ),
        other => Error::Device(other.to_string()),
    })?;
    let note = selected.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
    eprintln!("device: {}{note}", name(&selected));
    Ok(selected)
}

/// `CPU`, or the adapter and its API.
pub fn name(selected: &Selected) -> String {
    if selected.backend == "cpu" { selected.name.clone() } else { format!("{} ({})", selected.name, selected.backend) }
}

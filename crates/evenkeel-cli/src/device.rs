//! Choosing the device, and saying in one line which and why.

use anyhow::Result;
use std::time::Instant;

use evenkeel_core::{Error, bench};
use evenkeel_kernels::selfcheck::{Verdict, selfcheck};
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

/// Floating-point operations per second of a training step, roughly.
pub fn speed(selected: &Selected) -> Result<f64> {
    let begun = Instant::now();
    Ok(pollster::block_on(bench::speed(&selected.device, || 1e3 * begun.elapsed().as_secs_f64()))?)
}

/// Every kernel on the device against its CPU twin.
pub fn verdicts(selected: &Selected) -> Result<Vec<Verdict>> {
    Ok(pollster::block_on(selfcheck(&selected.device, &mut |_, _| {})).map_err(Error::Device)?)
}

/// An error where a kernel is wrong: what would come of it is garbage.
pub fn judge(selected: &Selected, verdicts: &[Verdict]) -> Result<()> {
    let wrong: Vec<&str> = verdicts.iter().filter(|v| !v.passed()).map(|v| v.of).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let problem = format!("{} computes wrongly: {}", name(selected), wrong.join(", "));
    Err(Error::Device(format!("{problem}. Update its driver, or use --device cpu")).into())
}

/// Before a run: whether a GPU computes what the CPU does.
pub fn trust(selected: &Selected) -> Result<()> {
    if selected.backend == "cpu" { Ok(()) } else { judge(selected, &verdicts(selected)?) }
}

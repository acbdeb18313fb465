//! Choosing the device: a probe of the adapters first, so that a machine without a GPU gets a sentence, not a panic.
//!
//! burn's wgpu runtime is set up at most once per process; its own lazy start panics on the device thread when there is
//! no adapter (burn 0.22.1), which is why nothing here creates a tensor before an adapter is known.

use std::sync::{Mutex, OnceLock};

use burn::tensor::Device;
use burn::tensor::wgpu::{WgpuInitError, wgpu};

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A real GPU, else the CPU backend.
    #[default]
    Auto,
    /// Any adapter, software ones included.
    Gpu,
    /// burn's CPU backend.
    Cpu,
}

/// The device that was chosen, and how to name it to a person.
#[derive(Clone, Debug)]
pub struct Selected {
    /// Without autodiff; call `.autodiff()` on it to train.
    pub device: Device,
    /// The adapter's name, or "CPU".
    pub name: String,
    /// "vulkan", "metal", "dx12", "gl", "browser webgpu" or "cpu".
    pub backend: String,
    /// Computes on the CPU: the CPU backend, or a software adapter such as lavapipe.
    pub software: bool,
    /// The adapter's own memory in bytes, where its driver tells. A software adapter has none: it takes the system's.
    pub memory: Option<u64>,
    /// What the adapter has beyond WebGPU's minimum, by WebGPU's names.
    pub features: Vec<String>,
    /// One line for the user, where the choice needs a word.
    pub note: Option<String>,
}

/// Why no device could be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The GPU was asked for by name and there is none.
    #[error(
        "no GPU adapter found ({reason}). Install a Vulkan, Metal or DirectX 12 driver (mesa-vulkan-drivers has a \
         software one), open the page in a browser with WebGPU, or use the CPU backend (--device cpu)"
    )]
    NoAdapter { reason: String },
    /// There is an adapter, but it gave no device.
    #[error("the GPU could not be opened ({reason}). Update its driver, or use the CPU backend (--device cpu)")]
    Unusable { reason: String },
}

/// Launches that go to the queue in one submission: few enough that a driver never works on one for long.
const LAUNCHES_PER_SUBMISSION: usize = 128;
/// The GPU of this process once it is open.
static GPU: OnceLock<Selected> = OnceLock::new();
/// Lanes of its smallest subgroup; 0 where shaders cannot use subgroups.
static SUBGROUP_LANES: OnceLock<u32> = OnceLock::new();

/// Why the driver or the browser took the device away.
static LOST: Mutex<Option<String>> = Mutex::new(None);

/// Why the open device was lost, if it was: nothing can be computed on it any more, and what waits for it may wait for ever.
pub fn lost() -> Option<String> {
    LOST.lock().expect("nobody panics while holding it").clone()
}

/// Whether the open adapter runs the kernels' subgroup forms, which need 8 lanes.
pub fn has_subgroups() -> bool {
    // In a browser a shader must ask for subgroups by a directive that native compilers refuse; there the default forms run.
    !cfg!(target_family = "wasm") && SUBGROUP_LANES.get().is_some_and(|&lanes| lanes >= 8)
}

/// Whether they are the faster ones: on an adapter that computes on the CPU, where a load costs as much as many products
/// (`docs/performance.md`).
pub(crate) fn prefers_subgroups() -> bool {
    has_subgroups() && GPU.get().is_some_and(|selected| selected.software)
}

/// Opens the device of that choice; asked again it gives the same device.
pub async fn select(choice: DeviceChoice) -> Result<Selected, DeviceError> {
    match choice {
        DeviceChoice::Cpu => Ok(cpu(None)),
        DeviceChoice::Gpu => gpu().await,
        DeviceChoice::Auto if !has_real_gpu().await => Ok(cpu(Some("no GPU found: using the CPU backend".into()))),
        DeviceChoice::Auto => match gpu().await {
            Ok(selected) => Ok(selected),
            Err(error) => Ok(cpu(Some(format!("using the CPU backend: {error}")))),
        },
    }
}

fn cpu(note: Option<String>) -> Selected {
    Selected { device: Device::flex(), name: "CPU".into(), backend: "cpu".into(), software: true, memory: None, features: vec![], note }
}

/// The adapter that burn prefers, opened at the first call.
async fn gpu() -> Result<Selected, DeviceError> {
    if let Some(selected) = GPU.get() {
        return Ok(selected.clone());
    }
    let selected = match Device::wgpu_options().tasks_max(LAUNCHES_PER_SUBMISSION).init_with_setup_async().await {
        Ok((device, setup)) => {
            let lanes = setup.adapter.features().contains(wgpu::Features::SUBGROUP).then(|| setup.adapter.get_info().subgroup_min_size);
            SUBGROUP_LANES.get_or_init(|| lanes.unwrap_or(0));
            setup.device.set_device_lost_callback(|_, reason| {
                LOST.lock().expect("nobody panics while holding it").get_or_insert(reason);
            });
            let features = features(setup.adapter.features());
            Selected { memory: own_memory(&setup.adapter), features, ..describe(device, &setup.adapter.get_info()) }
        }
        // Another caller was quicker, or burn's lazy start was: the runtime is there and stays.
        Err(WgpuInitError::Registration { .. }) => running(),
        Err(error @ WgpuInitError::AdapterUnavailable { .. }) => {
            return Err(DeviceError::NoAdapter { reason: error.to_string() });
        }
        Err(error) => return Err(DeviceError::Unusable { reason: error.to_string() }),
    };
    Ok(GPU.get_or_init(|| selected).clone())
}

/// WebGPU's names of the optional features that matter to training.
fn features(has: wgpu::Features) -> Vec<String> {
    let known = [
        ("shader-f16", wgpu::Features::SHADER_F16),
        ("subgroups", wgpu::Features::SUBGROUP),
        ("timestamp-query", wgpu::Features::TIMESTAMP_QUERY),
    ];
    known.iter().filter(|(_, feature)| has.contains(*feature)).map(|(name, _)| (*name).to_string()).collect()
}

fn describe(device: Device, info: &wgpu::AdapterInfo) -> Selected {
    let software = info.device_type == wgpu::DeviceType::Cpu;
    Selected {
        device,
        name: if info.name.is_empty() { "WebGPU adapter".into() } else { info.name.clone() },
        backend: match info.backend {
            wgpu::Backend::BrowserWebGpu => "browser webgpu".into(),
            other => format!("{other:?}").to_lowercase(),
        },
        software,
        memory: None,
        features: vec![],
        note: software.then(|| format!("{} is a software adapter: it computes on the CPU", info.name)),
    }
}

fn running() -> Selected {
    Selected {
        device: Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
        name: "GPU".into(),
        backend: "wgpu".into(),
        software: false,
        memory: None,
        features: vec![],
        note: None,
    }
}

/// Bytes of the adapter's device-local heaps. wgpu does not tell; under it Vulkan does, so that a model that cannot fit is
/// refused before anything is allocated.
#[cfg(any(target_os = "linux", target_os = "windows"))]
fn own_memory(adapter: &wgpu::Adapter) -> Option<u64> {
    const DEVICE_LOCAL: u32 = 1;
    if adapter.get_info().device_type == wgpu::DeviceType::Cpu {
        return None;
    }
    // SAFETY: nothing is created, changed or kept: two handles that outlive this call are asked for a table.
    #[expect(unsafe_code, reason = "wgpu's native handles are only to be had through it; the one place in the project")]
    let properties = unsafe {
        let vulkan = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        vulkan.shared_instance().raw_instance().get_physical_device_memory_properties(vulkan.raw_physical_device())
    };
    let heaps = properties.memory_heaps_as_slice().iter();
    Some(heaps.filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0).map(|heap| heap.size).sum()).filter(|bytes| *bytes > 0)
}

/// Elsewhere nobody asks the driver.
#[cfg(not(any(target_os = "linux", target_os = "windows")))]
fn own_memory(_adapter: &wgpu::Adapter) -> Option<u64> {
    None
}

/// Whether some adapter is not a CPU in disguise. A browser shows one adapter and does not say: it counts.
async fn has_real_gpu() -> bool {
    if cfg!(target_family = "wasm") {
        return true;
    }
    adapters().await.iter().any(|info| info.device_type != wgpu::DeviceType::Cpu)
}

/// Every adapter of this machine, as its driver describes it.
async fn adapters() -> Vec<wgpu::AdapterInfo> {
    // OpenGL lists GPUs a second time, under names that do not tell a software renderer from a GPU, and complains aloud where
    // there is no desktop: it is not even started.
    let backends = wgpu::Backends::PRIMARY;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() });
    instance.enumerate_adapters(backends).await.iter().map(wgpu::Adapter::get_info).collect()
}

//! Choosing the device: a probe of the adapters first, so that a machine without a GPU gets a sentence, not a panic.
//!
//! burn's wgpu runtime is set up at most once per process; its own lazy start panics on the device thread when there is
//! no adapter (burn 0.22.1), which is why nothing here creates a tensor before an adapter is known.

use std::sync::{Mutex, OnceLock};

use burn::tensor::Device;
use burn::tensor::wgpu::{WgpuInitError, WgpuSetup, wgpu};

use crate::launch::Variant;
use crate::platform;

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

/// How much is asked of a GPU when it is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Everything that it has.
    #[default]
    Whole,
    /// WebGPU's default limits, without subgroups and f16: the least that a browser must give.
    Minimum,
    /// No GPU at all but wgpu's stub, which takes all calls and computes nothing: what is left is the host's own work.
    Noop,
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
    /// Bytes of the largest tensor that a kernel can be given; `None`: no such limit.
    pub largest_tensor: Option<u64>,
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

/// The GPU of this process once it is open, and how it is to be opened.
static GPU: OnceLock<Selected> = OnceLock::new();
static PROFILE: OnceLock<Profile> = OnceLock::new();
/// Lanes of its smallest subgroup; 0 where shaders cannot use subgroups.
static SUBGROUP_LANES: OnceLock<u32> = OnceLock::new();

/// Why the browser took the device away.
static LOST: Mutex<Option<String>> = Mutex::new(None);

/// Why the browser's device was lost, if it was: nothing can be computed on it any more, and what waits for it may wait for ever.
/// Natively reads fail then, and nobody has to ask.
pub fn lost() -> Option<String> {
    LOST.lock().expect("nobody panics while holding it").clone()
}

#[cfg(target_family = "wasm")]
pub(crate) fn note_lost(reason: String) {
    LOST.lock().expect("nobody panics while holding it").get_or_insert(reason);
}

/// Opens the GPU in this way from now on; too late once it is open.
pub fn limit_to(profile: Profile) {
    PROFILE.get_or_init(|| profile);
}

/// The subgroup forms of the kernels that the open adapter runs, the widest last.
pub fn subgroup_forms() -> &'static [Variant] {
    match SUBGROUP_LANES.get() {
        None | Some(0..4) => &[],
        Some(4..8) => &[Variant::Subgroup4],
        Some(8..) => &[Variant::Subgroup4, Variant::Subgroup8],
    }
}

/// The faster form on the open adapter: with subgroups where it computes on the CPU and a load costs as much as many products
/// (`docs/performance.md`).
pub(crate) fn preferred_form() -> Variant {
    let is_software = GPU.get().is_some_and(|selected| selected.software);
    subgroup_forms().last().copied().filter(|_| is_software).unwrap_or(Variant::Default)
}

/// Opens the device of that choice; asked again it gives the same device.
pub async fn select(choice: DeviceChoice) -> Result<Selected, DeviceError> {
    platform::construct();
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
    Selected {
        device: Device::flex(),
        name: "CPU".into(),
        backend: "cpu".into(),
        software: true,
        memory: None,
        largest_tensor: None,
        features: vec![],
        note,
    }
}

/// The adapter that burn prefers, opened at the first call.
async fn gpu() -> Result<Selected, DeviceError> {
    if let Some(selected) = GPU.get() {
        return Ok(selected.clone());
    }
    let options = Device::wgpu_options().tasks_max(crate::pace::MOST);
    let opened = match PROFILE.get().copied().unwrap_or_else(platform::profile) {
        Profile::Whole => {
            #[cfg(target_family = "wasm")]
            crate::browser::request_subgroups();
            options.init_with_setup_async().await
        }
        least => {
            let setup = least_setup(least).await?;
            options.setup(setup.clone()).init().map(|device| (device, setup))
        }
    };
    let selected = match opened {
        Ok((device, setup)) => {
            let lanes = has_subgroups(&setup.device).then(|| setup.adapter.get_info().subgroup_min_size);
            SUBGROUP_LANES.get_or_init(|| lanes.unwrap_or(0));
            platform::watch(&setup.device);
            crate::pace::watch(&setup);
            let limits = setup.device.limits();
            Selected {
                memory: platform::own_memory(&setup.adapter),
                largest_tensor: Some(limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)),
                features: features(&setup.device),
                ..describe(device, &setup.adapter.get_info())
            }
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

/// A device with no more than WebGPU guarantees, or the stub.
async fn least_setup(profile: Profile) -> Result<WgpuSetup, DeviceError> {
    let backends = if profile == Profile::Noop { wgpu::Backends::NOOP } else { wgpu::Backends::PRIMARY };
    let mut descriptor = wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    let noop = &mut descriptor.backend_options.noop;
    noop.enable = profile == Profile::Noop;
    (noop.features, noop.limits) = (Some(wgpu::Features::empty()), Some(wgpu::Limits::default()));
    let instance = wgpu::Instance::new(descriptor);
    let wanted = wgpu::RequestAdapterOptions { power_preference: wgpu::PowerPreference::HighPerformance, ..Default::default() };
    let adapter = instance.request_adapter(&wanted).await.map_err(|error| DeviceError::NoAdapter { reason: error.to_string() })?;
    // What burn's own kernels are made for is read off the adapter, not off the device: what they may use beyond that stays.
    let beyond = wgpu::Features::SUBGROUP | wgpu::Features::SUBGROUP_BARRIER | wgpu::Features::SHADER_F16;
    let required_features =
        adapter.features() - beyond - wgpu::Features::all_experimental_mask() - wgpu::Features::MAPPABLE_PRIMARY_BUFFERS;
    let least = wgpu::DeviceDescriptor { required_features, required_limits: wgpu::Limits::default(), ..Default::default() };
    let (device, queue) = adapter.request_device(&least).await.map_err(|error| DeviceError::Unusable { reason: error.to_string() })?;
    let backend = adapter.get_info().backend;
    Ok(WgpuSetup { instance, adapter, device, queue, backend })
}

/// WebGPU's names of the optional features that matter to training.
fn features(device: &wgpu::Device) -> Vec<String> {
    let has = |feature| device.features().contains(feature);
    let known = [
        ("shader-f16", has(wgpu::Features::SHADER_F16)),
        ("subgroups", has_subgroups(device)),
        ("timestamp-query", has(wgpu::Features::TIMESTAMP_QUERY)),
    ];
    known.iter().filter(|(_, there)| *there).map(|(name, _)| (*name).to_string()).collect()
}

/// Whether shaders may use subgroups on the device that was opened.
fn has_subgroups(device: &wgpu::Device) -> bool {
    #[cfg(target_family = "wasm")]
    let requested = crate::browser::subgroups_were_requested();
    #[cfg(not(target_family = "wasm"))]
    let requested = false;
    requested || device.features().contains(wgpu::Features::SUBGROUP)
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
        largest_tensor: None,
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
        largest_tensor: None,
        features: vec![],
        note: None,
    }
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

//! What no library below does for us. The one module of the project with unsafe code.

use burn::cubecl::client::Client;
use burn::tensor::wgpu::wgpu;

use crate::device::Profile;

/// How the environment wants the GPU to be opened: `EVENKEEL_GPU_PROFILE=minimum` for what every browser grants, `noop` for wgpu's stub.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn profile() -> Profile {
    match std::env::var("EVENKEEL_GPU_PROFILE").as_deref() {
        Ok("minimum") => Profile::Minimum,
        Ok("noop") => Profile::Noop,
        _ => Profile::Whole,
    }
}

/// A browser's worker has no environment.
#[cfg(target_family = "wasm")]
pub(crate) fn profile() -> Profile {
    Profile::Whole
}

/// Has [`crate::device::lost`] know when the browser takes the device away.
#[cfg(target_family = "wasm")]
pub(crate) fn watch(device: &wgpu::Device) {
    device.set_device_lost_callback(|_, reason| crate::device::note_lost(reason));
}

/// Natively cubecl watches. `EVENKEEL_GPU_LOSE_WHEN=FILE` has the device lost once there is such a file, so that tests see what a run leaves.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn watch(device: &wgpu::Device) {
    let Some(file) = std::env::var_os("EVENKEEL_GPU_LOSE_WHEN").map(std::path::PathBuf::from) else { return };
    let device = device.clone();
    std::thread::spawn(move || {
        while !file.exists() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        device.destroy();
    });
}

/// Submits what was launched. A device that is lost says so to whoever reads from it: here cubecl panics.
pub(crate) fn flush(client: &Client) {
    let _told_later = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client.flush()));
}

/// Has a device call back those who asked to be told what it has done: natively nobody hears before somebody looks.
#[cfg(not(target_family = "wasm"))]
pub(crate) struct Waker(std::thread::Thread);

#[cfg(not(target_family = "wasm"))]
impl Waker {
    pub(crate) fn new(device: &wgpu::Device) -> Self {
        const BETWEEN_LOOKS: std::time::Duration = std::time::Duration::from_millis(2);
        let device = device.clone();
        let looking = std::thread::spawn(move || {
            loop {
                std::thread::park();
                while device.poll(wgpu::PollType::Poll).is_ok_and(|status| !status.is_queue_empty()) {
                    std::thread::sleep(BETWEEN_LOOKS);
                }
            }
        });
        Self(looking.thread().clone())
    }

    /// Looks until the device is done with everything.
    pub(crate) fn wake(&self) {
        self.0.unpark();
    }
}

/// A browser calls by itself.
#[cfg(target_family = "wasm")]
pub(crate) struct Waker;

#[cfg(target_family = "wasm")]
impl Waker {
    pub(crate) fn new(_device: &wgpu::Device) -> Self {
        Self
    }

    pub(crate) fn wake(&self) {}
}

/// Runs the constructors that burn's crates register themselves with; the second call does nothing.
///
/// Naming the linker's function is what matters: in a module where nobody calls it, the linker has every exported function call it,
/// and each call from JavaScript, a tensor's every allocation, would run thousands of constructors (`inventory` 0.3, "WebAssembly and
/// constructors").
#[cfg(target_family = "wasm")]
pub(crate) fn construct() {
    #[expect(unsafe_code, reason = "the linker's function has no safe name")]
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    static ONCE: std::sync::Once = std::sync::Once::new();
    // SAFETY: it takes nothing, and constructors of `inventory` may run at any time and more than once.
    #[expect(unsafe_code, reason = "a function of the linker")]
    ONCE.call_once(|| unsafe { __wasm_call_ctors() });
}

/// Elsewhere the loader has run them.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn construct() {}

/// Bytes of the adapter's device-local heaps. wgpu does not tell; under it Vulkan does, so that a model that cannot fit is
/// refused before anything is allocated.
#[cfg(any(target_os = "linux", target_os = "windows"))]
pub(crate) fn own_memory(adapter: &wgpu::Adapter) -> Option<u64> {
    const DEVICE_LOCAL: u32 = 1;
    if adapter.get_info().device_type == wgpu::DeviceType::Cpu {
        return None;
    }
    // SAFETY: nothing is created, changed or kept: two handles that outlive this call are asked for a table.
    #[expect(unsafe_code, reason = "wgpu's native handles are only to be had through it")]
    let properties = unsafe {
        let vulkan = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        vulkan.shared_instance().raw_instance().get_physical_device_memory_properties(vulkan.raw_physical_device())
    };
    let heaps = properties.memory_heaps_as_slice().iter();
    Some(heaps.filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0).map(|heap| heap.size).sum()).filter(|bytes| *bytes > 0)
}

/// Elsewhere nobody asks the driver.
#[cfg(not(any(target_os = "linux", target_os = "windows")))]
pub(crate) fn own_memory(_adapter: &wgpu::Adapter) -> Option<u64> {
    None
}

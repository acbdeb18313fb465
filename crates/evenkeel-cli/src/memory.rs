//! What the system tells about memory: Linux's /proc; elsewhere nothing, and nothing is refused for it.

pub use evenkeel_core::figures::bytes as text;

/// Bytes that can be had without swapping.
pub fn available() -> Option<u64> {
    field("/proc/meminfo", "MemAvailable:")
}

/// Largest resident memory of this process so far.
pub fn peak() -> Option<u64> {
    field("/proc/self/status", "VmHWM:")
}

/// From here on [`peak`] counts anew, where the system allows it (Linux: writing 5 to clear_refs).
pub fn reset_peak() {
    // Elsewhere the peak stays that of the whole process, which is still true of every stage.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// [`peak`] of the time since this was last asked.
pub fn peak_since_last() -> Option<u64> {
    let bytes = peak();
    reset_peak();
    bytes
}

/// A line `NAME   123 kB` of a file of /proc, in bytes.
fn field(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells() {
        assert!(available().unwrap() > 1 << 20 && peak().unwrap() > 1 << 16);
    }
}

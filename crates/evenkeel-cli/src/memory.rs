//! What the system tells about memory: Linux's /proc; elsewhere nothing, and nothing is refused for it.

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

/// `1.5 GiB`, `12 MiB`.
pub fn text(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib >= 1024.0 { format!("{:.1} GiB", mib / 1024.0) } else { format!("{mib:.0} MiB") }
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
    fn sizes_are_said_in_binary_units() {
        assert_eq!([text(3 << 20), text(3 << 29)], ["3 MiB", "1.5 GiB"]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells() {
        assert!(available().unwrap() > 1 << 20 && peak().unwrap() > 1 << 16);
    }
}

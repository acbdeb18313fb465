//! Numbers as people read them.

/// `1.5 GiB`, `12 MiB`.
pub fn bytes(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib >= 1024.0 { format!("{:.1} GiB", mib / 1024.0) } else { format!("{mib:.0} MiB") }
}

/// `950`, `12.3k`, `4.56M`.
pub fn count(n: f64) -> String {
    match n {
        _ if n < 1e3 => format!("{n:.0}"),
        _ if n < 1e6 => format!("{:.1}k", n / 1e3),
        _ if n < 1e9 => format!("{:.2}M", n / 1e6),
        _ => format!("{:.2}B", n / 1e9),
    }
}

/// `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let (head, tail) = digits.split_at(digits.len() % 3);
    let mut groups: Vec<&str> = (0..tail.len() / 3).map(|i| &tail[3 * i..3 * i + 3]).collect();
    if !head.is_empty() {
        groups.insert(0, head);
    }
    groups.join(",")
}

/// `0.4 s`, `42 s`, `3 min 20 s`, `2 h 05 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        assert_eq!([duration(0.04), duration(42.2), duration(200.0), duration(7500.0)], ["0.0 s", "42 s", "3 min 20 s", "2 h 05 min"]);
    }

    #[test]
    fn sizes_are_said_in_binary_units() {
        assert_eq!([bytes(3 << 20), bytes(3 << 29)], ["3 MiB", "1.5 GiB"]);
    }
}

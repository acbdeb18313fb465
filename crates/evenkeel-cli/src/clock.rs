//! Calendar time for names and records; the rest of evenkeel has no clock.

use std::time::{SystemTime, UNIX_EPOCH};

pub use evenkeel_core::figures::duration;

/// `20261122-153000`, UTC: sorts by time, fit for a folder's name.
pub fn stamp() -> String {
    let (y, m, d, h, min, s) = parts(now());
    format!("{y:04}{m:02}{d:02}-{h:02}{min:02}{s:02}")
}

/// `2026-11-22T15:30:00Z` (RFC 3339).
pub fn timestamp() -> String {
    let (y, m, d, h, min, s) = parts(now());
    format!("{y:04}-{m:02}-{d:02}T{h:02}:{min:02}:{s:02}Z")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Year, month, day, hour, minute, second of a Unix time. Source: Hinnant, `civil_from_days`.
fn parts(unix: u64) -> (u64, u64, u64, u64, u64, u64) {
    let (days, rest) = (unix / 86_400 + 719_468, unix % 86_400);
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153; // months from March
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day, rest / 3600, rest % 3600 / 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_times_become_dates() {
        assert_eq!(parts(0), (1970, 1, 1, 0, 0, 0));
        assert_eq!(parts(951_782_400), (2000, 2, 29, 0, 0, 0));
        assert_eq!(parts(1_795_361_400), (2026, 11, 22, 15, 30, 0));
    }
}

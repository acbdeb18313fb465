//! Ctrl-C and SIGTERM: the first asks the run to finish its step and checkpoint, the second ends the process at once.

use std::sync::atomic::{AtomicU32, Ordering};

static SEEN: AtomicU32 = AtomicU32::new(0);

/// 128 + SIGINT, as shells count.
const INTERRUPTED: i32 = 130;

/// From now on the first signal is only noted. Call once per process.
pub fn install() {
    let handler = || {
        if SEEN.fetch_add(1, Ordering::SeqCst) > 0 {
            std::process::exit(INTERRUPTED);
        }
        eprintln!("stopping after this step; once more to stop at once (the last checkpoint stays)");
    };
    // Without a handler the first signal ends the process, which loses no more than the steps since the last checkpoint.
    if let Err(e) = ctrlc::set_handler(handler) {
        eprintln!("note: Ctrl-C will not checkpoint ({e})");
    }
}

/// Whether the user asked to stop.
pub fn stop_requested() -> bool {
    SEEN.load(Ordering::SeqCst) > 0
}

//! Submissions short enough for watchdogs and for whoever else uses the GPU.
//!
//! How long a launch takes differs between adapters by a factor of a thousand, so it is measured: whenever as many launches were made
//! as a submission may hold, the queue is asked to say when it is done with what it has. The next submissions hold as many launches
//! as the slowest of the last ones allow. In a browser the answer is heard when the host next waits, and so may have been there for
//! a while; then it bounds what the launches took.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock};

use burn::cubecl::client::Client;
use burn::cubecl::dry_run::dry_run;
use burn::cubecl::profile::{Duration, Instant};
use burn::tensor::wgpu::{WgpuSetup, wgpu};

use crate::platform::{self, Waker};

/// What a submission shall take: half of what a frame may be late without anybody minding, since launches are not all alike.
const AIM: Duration = Duration::from_millis(50);
/// Launches of a submission, however fast they are: cubecl submits that many by itself.
pub(crate) const MOST: usize = 128;
/// The same before anything is known of the adapter.
const FIRST: usize = 8;
/// Measurements that count.
const REMEMBERED: usize = 16;
/// An answer that comes this soon after the host's last launch may have waited for the host.
const WAITED: Duration = if cfg!(target_family = "wasm") { Duration::from_millis(4) } else { Duration::ZERO };

static PACE: OnceLock<Pace> = OnceLock::new();

/// Measures the launches on this device from now on.
pub(crate) fn watch(setup: &WgpuSetup) {
    PACE.get_or_init(|| Pace { queue: setup.queue.clone(), waker: Waker::new(&setup.device), state: Mutex::default() });
}

/// A launch was made through `client`: submits it and those before it where no more fit into a submission.
pub(crate) fn launched(client: &Client) {
    let Some(pace) = PACE.get().filter(|_| !dry_run()) else { return };
    let sent = Instant::now();
    let Some(launches) = pace.state.lock().expect("nobody panics while holding it").launched(sent) else { return };
    if launches < MOST {
        platform::flush(client);
    }
    pace.queue.on_submitted_work_done(move || {
        pace.state.lock().expect("nobody panics while holding it").done(launches, sent, Instant::now());
    });
    pace.waker.wake();
}

/// A pipeline is being compiled: nothing that is measured meanwhile says how fast the device is.
pub(crate) fn compiles() {
    if let Some(pace) = PACE.get() {
        pace.state.lock().expect("nobody panics while holding it").compiled = Some(Instant::now());
    }
}

struct Pace {
    queue: wgpu::Queue,
    waker: Waker,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Launches since the last measurement was asked for.
    launches: usize,
    /// Time per launch in the last submissions.
    each: VecDeque<Duration>,
    /// When the device was last done.
    idle_since: Option<Instant>,
    /// When the host last launched.
    busy: Option<Instant>,
    /// When it last compiled.
    compiled: Option<Instant>,
    /// The last measurement is a bound, and nothing was launched since.
    bounded: bool,
}

impl State {
    /// Launches that the next submission may hold.
    fn most(&self) -> usize {
        let Some(slowest) = self.each.iter().max() else { return FIRST };
        (AIM.as_nanos() / slowest.as_nanos().max(1)).clamp(1, MOST as u128) as usize
    }

    /// Counts a launch. → the launches to be submitted, where these are as many as may be
    fn launched(&mut self, now: Instant) -> Option<usize> {
        (self.busy, self.bounded) = (Some(now), false);
        self.launches += 1;
        (self.launches >= self.most()).then(|| std::mem::take(&mut self.launches))
    }

    /// The device is done with what was sent at `sent`, and with everything before.
    fn done(&mut self, launches: usize, sent: Instant, now: Instant) {
        // It began then, or when it was done with what came before.
        let began = self.idle_since.map_or(sent, |idle| idle.max(sent));
        self.idle_since = Some(now);
        if self.compiled.is_some_and(|compiled| compiled >= sent) {
            return;
        }
        let has_waited = self.busy.is_some_and(|busy| now.saturating_duration_since(busy) < WAITED);
        let mut each = now.saturating_duration_since(if has_waited { sent } else { began }) / launches as u32;
        if has_waited && self.bounded {
            // Of several that have waited the last one was sent last, and is the tightest bound.
            each = each.min(self.each.pop_back().unwrap_or(each));
        }
        self.bounded = has_waited;
        if self.each.len() == REMEMBERED {
            self.each.pop_front();
        }
        self.each.push_back(each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of submissions to a device that takes `each` per launch, the host never waiting.
    fn sizes(count: usize, each: impl Fn(usize) -> Duration) -> Vec<usize> {
        let (mut state, start) = (State::default(), Instant::now());
        let (mut done, mut launched, mut sizes) = (start, 0, Vec::new());
        while sizes.len() < count {
            done += each(launched);
            launched += 1;
            if let Some(launches) = state.launched(start) {
                state.done(launches, start, done);
                sizes.push(launches);
            }
        }
        sizes
    }

    #[test]
    fn a_submission_holds_what_the_device_does_in_its_time() {
        assert_eq!(sizes(3, |_| Duration::from_micros(10)), [FIRST, MOST, MOST]);
        assert_eq!(sizes(3, |_| Duration::from_millis(5)), [FIRST, 10, 10]);
        assert_eq!(sizes(3, |_| Duration::from_secs(2)), [FIRST, 1, 1], "a launch is not split");
    }

    #[test]
    fn a_device_that_gets_slower_gets_less_at_once_and_one_that_recovers_gets_more_again() {
        let slow_for_a_while = |launch: usize| Duration::from_millis(if (136..150).contains(&launch) { 25 } else { 0 });
        let sizes = sizes(40, slow_for_a_while);
        assert_eq!(sizes[..2], [FIRST, MOST]);
        assert!(sizes[3..10].iter().all(|&size| size <= 20), "{sizes:?}");
        assert_eq!(sizes[39], MOST, "{sizes:?}");
    }

    #[test]
    fn what_was_measured_while_a_pipeline_was_compiled_does_not_count() {
        let (mut state, start) = (State::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        state.compiled = Some(after(5));
        state.done(1, after(0), after(1000));
        assert_eq!(state.most(), FIRST);
        state.done(1, after(1000), after(1001));
        assert_eq!(state.most(), 50);
    }

    #[test]
    fn time_in_which_the_device_had_nothing_to_do_does_not_count() {
        let (mut state, start) = (State::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        state.done(1, after(0), after(10));
        state.done(1, after(1000), after(1010));
        assert_eq!(state.each, [Duration::from_millis(10); 2]);
        state.done(2, after(1001), after(1030));
        assert_eq!(state.each[2], Duration::from_millis(10), "it was busy until 1010");
    }
}

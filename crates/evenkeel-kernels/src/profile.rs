//! Which kernels a piece of work launches, how often, and how long each took.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use burn::cubecl::logging::{Duration, LaunchObservation, LaunchObserver, TimingMethod, TimingRequest};

/// All launches of one kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Launches {
    pub count: usize,
    /// Together, in seconds; 0 where only the count was asked for.
    pub seconds: f64,
}

/// Launches by kernel: ours by the name of their shader, burn's by the name of their type.
pub type Profile = BTreeMap<String, Launches>;

thread_local! {
    /// The shader being launched: cubecl knows ours by one type.
    static OURS: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Names the launches that `f` makes.
pub(crate) fn named<T>(name: &'static str, f: impl FnOnce() -> T) -> T {
    OURS.set(Some(name));
    let result = f();
    OURS.set(None);
    result
}

struct Tally {
    timed: bool,
    /// Launches are made on the thread that asks for them: this one's count.
    thread: ThreadId,
    kernels: Mutex<Profile>,
}

impl Tally {
    fn add(&self, kernel: &'static str, count: usize, seconds: f64) {
        let name = OURS.get().map_or_else(|| short(kernel), str::to_owned);
        let mut kernels = self.kernels.lock().expect("no thread panics while it holds the tally");
        let launches = kernels.entry(name).or_default();
        launches.count += count;
        launches.seconds += seconds;
    }
}

impl LaunchObserver for Tally {
    fn launched(&self, kernel: &'static str) {
        if std::thread::current().id() == self.thread {
            self.add(kernel, 1, 0.0);
        }
    }

    fn timing(&self) -> TimingRequest {
        if self.timed { TimingRequest::Resolved } else { TimingRequest::None }
    }

    fn timed(&self, kernel: &'static str, duration: Duration, _: TimingMethod) {
        self.add(kernel, 0, duration.as_secs_f64());
    }
}

/// A type's name without its modules and its generics.
fn short(kernel: &str) -> String {
    let name = kernel.split('<').next().unwrap_or(kernel);
    name.rsplit("::").next().unwrap_or(name).to_owned()
}

/// Counts this thread's launches until the returned guard is dropped; with `timed` each is waited for and timed, which takes
/// away all overlap.
pub fn observe(timed: bool) -> Observation {
    let tally = Arc::new(Tally { timed, thread: std::thread::current().id(), kernels: Mutex::default() });
    Observation { _guard: LaunchObservation::new(tally.clone()), tally }
}

/// A running observation.
pub struct Observation {
    tally: Arc<Tally>,
    _guard: LaunchObservation,
}

impl Observation {
    /// What was launched since the beginning or since the last call.
    pub fn take(&self) -> Profile {
        std::mem::take(&mut self.tally.kernels.lock().expect("no thread panics while it holds the tally"))
    }
}

/// All launches together.
pub fn total(profile: &Profile) -> Launches {
    profile.values().fold(Launches::default(), |sum, one| Launches { count: sum.count + one.count, seconds: sum.seconds + one.seconds })
}

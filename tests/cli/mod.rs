//! What every test needs: running the binary, and the shared files that a checkout may lack.

mod arguments;
mod checkpoints;
mod crash;
mod inputs;
mod malformed;
mod memory;
mod recipes;
mod reports;
mod runs;
mod signals;
mod soak;
mod trajectories;
mod world;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs `evenkeel` in `folder` with these arguments.
pub fn evenkeel<S: AsRef<std::ffi::OsStr>>(folder: &Path, arguments: &[S]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.current_dir(folder).args(arguments).env_remove("RUST_BACKTRACE").env("NO_COLOR", "1");
    Outcome::of(command.output().expect("the binary starts"))
}

/// Words of a command line without quotes.
pub fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// It worked.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// It refused its input: code 2, `error: ` lines that contain `parts`, nothing on stdout.
    #[track_caller]
    pub fn refused(self, parts: &[&str]) -> Self {
        assert_eq!(self.code, 2, "{}\n{}", self.stdout, self.stderr);
        assert!(self.stderr.contains("error: ") && self.stdout.is_empty(), "{}\n{}", self.stdout, self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is not in: {}", self.stderr);
        }
        self
    }
}

/// The files that are not part of the repository (`EVENKEEL_SHARED`, or `../shared` beside it), or a said skip.
pub fn shared(test: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("EVENKEEL_SHARED").map_or(beside, PathBuf::from);
    if let Ok(folder) = folder.canonicalize() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{test}: no ../shared, and CI must not skip");
    eprintln!("skipped {test}: no ../shared");
    None
}

/// `events.jsonl` of a run folder.
pub fn events(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("events.jsonl")).expect("a run has events");
    text.lines().map(|line| serde_json::from_str(line).expect("an event is JSON")).collect()
}

/// A new empty folder, removed at the end of the test.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

//! Runs cases, each in a folder and a process of its own, and says what is wrong with how they ended.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Case;
use crate::cli::{folder, words};

/// Address space of a refusing process, in KiB: room for the program and its threads, not for what a lying file asks for.
const ADDRESS_SPACE: u64 = 3 << 20;
/// A process that still runs then hangs, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest line that somebody reads.
const LONGEST: usize = 1600;
/// Files that a refused command may leave: the lock of a folder that is there.
const HARMLESS: &str = ".lock";

/// What is wrong with each case that is not refused as it should be.
pub fn judge_all(cases: &[Case]) -> Vec<String> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let objections = judge(case);
                    if !objections.is_empty() {
                        failed.lock().expect("no thread panics").push(format!("{}\n  {}", case.name, objections.join("\n  ")));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().expect("no thread panics");
    failed.sort();
    failed
}

/// Everything that is wrong with how one case ended; empty where it was refused as it should be.
pub fn judge(case: &Case) -> Vec<String> {
    let temp = folder();
    let at = temp.path();
    (case.make)(at);
    let before = paths(at);
    let ended = run(at, case);
    let mut objections = Vec::new();
    let mut object = |holds: bool, what: String| {
        if !holds {
            objections.push(what);
        }
    };
    let Ended { code, stdout, stderr } = &ended;
    object(*code == Some(2), format!("ended with {}:\n{stderr}", code.map_or("a signal".into(), |code| format!("code {code}"))));
    object(stdout.is_empty(), format!("wrote on stdout: {stdout}"));
    for part in &case.says {
        object(stderr.contains(part.as_str()), format!("`{part}` is not said: {stderr}"));
    }
    let problems = stderr.lines().filter(|line| line.starts_with("error: ")).count();
    object(problems == case.problems, format!("{problems} problems are told, not {}: {stderr}", case.problems));
    for sign in ["panicked", "has a defect", "backtrace"] {
        object(!stderr.contains(sign), format!("`{sign}`: {stderr}"));
    }
    let readable = |line: &str| line.chars().count() <= LONGEST && !line.chars().any(char::is_control);
    object(stderr.lines().all(readable), format!("a line that nobody can read: {stderr:.400}"));
    let left: Vec<PathBuf> = paths(at).difference(&before).filter(|path| !path.ends_with(HARMLESS)).cloned().collect();
    object(left.is_empty(), format!("{left:?} are left behind"));
    objections
}

struct Ended {
    /// None: by a signal, or it had to be killed.
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(at: &Path, case: &Case) -> Ended {
    let outside = folder();
    let [stdin, stdout, stderr] = ["in", "out", "err"].map(|name| outside.path().join(name));
    fs::write(&stdin, case.stdin).unwrap();
    let mut child = bounded(&words(&case.line))
        .current_dir(at)
        .env_remove("RUST_BACKTRACE")
        .env("NO_COLOR", "1")
        .env("RAYON_NUM_THREADS", "2") // threads reserve address space
        .stdin(File::open(&stdin).unwrap())
        .stdout(Stdio::from(File::create(&stdout).unwrap()))
        .stderr(Stdio::from(File::create(&stderr).unwrap()))
        .spawn()
        .expect("the binary starts");
    let begun = Instant::now();
    let mut said_late = String::new();
    let code = loop {
        match child.try_wait().expect("the child can be asked") {
            Some(status) => break status.code(),
            None if begun.elapsed() > PATIENCE => {
                child.kill().expect("the child can be killed");
                child.wait().expect("it ends");
                said_late = format!("still running after {PATIENCE:?}; ");
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    Ended { code, stdout: text(&stdout), stderr: said_late + &text(&stderr) }
}

/// `evenkeel` with these arguments and so much address space.
fn bounded(arguments: &[&str]) -> Command {
    let program = env!("CARGO_BIN_EXE_evenkeel");
    if cfg!(not(target_os = "linux")) {
        let mut command = Command::new(program);
        command.args(arguments);
        return command;
    }
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -v {ADDRESS_SPACE} && exec \"$0\" \"$@\"")).arg(program).args(arguments);
    command.env("MALLOC_ARENA_MAX", "2");
    command
}

/// Every file and folder below `at`.
fn paths(at: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![at.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
            found.insert(entry.path().strip_prefix(at).expect("it lies there").to_owned());
        }
    }
    found
}

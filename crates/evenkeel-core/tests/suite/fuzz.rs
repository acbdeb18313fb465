//! Fuzzing on a stable toolchain: seeded mutations of the corpus of `fuzz/` through the functions that cargo-fuzz calls.
//!
//! A process of its own takes them, with so much address space and no more, so that an allocation that a file lied about ends it. The
//! test watches it: a panic, an abort and a hang all fail, and the input is kept. `EVENKEEL_FUZZ_ROUNDS` mutations of each target
//! (default [`ROUNDS`]), drawn from `EVENKEEL_FUZZ_SEED` (default 1); `EVENKEEL_FUZZ_TARGET` names one of them.

#[path = "../../../../fuzz/targets.rs"]
mod targets;
#[path = "../../../../tests/cli/malformed/tiny.rs"]
#[expect(dead_code, reason = "the catalogue of the command line uses the rest")]
mod tiny;

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use targets::TARGETS;

const ROUNDS: u64 = 10_000;
/// KiB; the suite's own program and its threads take half of it.
const ADDRESS_SPACE: u64 = 4 << 20;
/// No input takes so long, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest mutation: what is larger is slower, not stranger.
const LONGEST: usize = 1 << 14;
const CHILD: &str = "EVENKEEL_FUZZ_INPUT";

/// What other fuzzers have learnt to try, and words that mean something here.
const TOKENS: [&[u8]; 40] = [
    b"null",
    b"true",
    b"false",
    b"0",
    b"-1",
    b"1",
    b"-0.0",
    b"1e308",
    b"-1e308",
    b"1e400",
    b"5e-324",
    b"nan",
    b"inf",
    b"16777216",
    b"2147483648",
    b"4294967295",
    b"4294967296",
    b"9223372036854775807",
    b"18446744073709551615",
    b"\"\"",
    b"[]",
    b"{}",
    b"{",
    b"[",
    b"]",
    b"}",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xEF\xBB\xBF",
    b"\xFF",
    b"\xF0\x9F\x98\x80",
    b"{% for i in range(9999) %}",
    b"{{ x * 9 }}",
];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// The seeds of one target, in the order of their names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).expect("each target has seeds").map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Draws inputs; the same ones from the same seed. SplitMix64.
struct Mutator {
    state: u64,
}

impl Mutator {
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [0, end); 0 where that is empty.
    fn below(&mut self, end: usize) -> usize {
        (self.draw() % end.max(1) as u64) as usize
    }

    /// A short stretch of `bytes`.
    fn stretch(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let start = self.below(bytes.len());
        let longest = if self.below(4) == 0 { 256 } else { 8 };
        start..bytes.len().min(start + 1 + self.below(longest))
    }

    /// One of the seeds, changed in a few places.
    fn mutation(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = corpus[self.below(corpus.len())].clone();
        for _ in 0..1 + self.below(6) {
            self.change(&mut bytes, corpus);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        let token = TOKENS[self.below(TOKENS.len())];
        match self.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 if at < bytes.len() => bytes[at] = self.draw() as u8,
            2 => bytes.insert(at, self.draw() as u8),
            3 => drop(bytes.drain(self.stretch(bytes))),
            4 => {
                let copied = bytes[self.stretch(bytes)].to_vec();
                drop(bytes.splice(at..at, copied));
            }
            5 => {
                let other = &corpus[self.below(corpus.len())];
                let stretch = self.stretch(other);
                drop(bytes.splice(at..at, other[stretch].iter().copied()));
            }
            6 => drop(bytes.splice(at..at, token.iter().copied())),
            // A whole number, word or text gives way to a token.
            7 => {
                let same = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
                let start = bytes[at..].iter().position(same).map_or(bytes.len(), |skipped| at + skipped);
                let end = bytes[start..].iter().position(|byte| !same(byte)).map_or(bytes.len(), |length| start + length);
                drop(bytes.splice(start..end, token.iter().copied()));
            }
            _ => bytes.truncate(at),
        }
    }
}

/// Takes every seed and every mutation; where it stands is written down before each.
fn take_all(kept: &Path) {
    let (rounds, seed) = (number("EVENKEEL_FUZZ_ROUNDS", ROUNDS), number("EVENKEEL_FUZZ_SEED", 1));
    let mut file = File::create(kept).expect("the input can be kept");
    let only = std::env::var("EVENKEEL_FUZZ_TARGET").ok();
    for (i, (name, target)) in TARGETS.into_iter().enumerate().filter(|(_, target)| only.as_deref().is_none_or(|only| only == target.0)) {
        let begun = Instant::now();
        let corpus = corpus(name);
        let mut mutator = Mutator { state: seed ^ (i as u64) << 32 };
        for round in 0..corpus.len() as u64 + rounds {
            let input = corpus.get(round as usize).cloned().unwrap_or_else(|| mutator.mutation(&corpus));
            keep(&mut file, &input).expect("the input can be kept");
            target(&input);
        }
        eprintln!("{name}: {} seeds and {rounds} mutations in {:.1} s", corpus.len(), begun.elapsed().as_secs_f64());
    }
}

/// One open file: opening it anew for each input takes longer than most inputs.
fn keep(file: &mut File, input: &[u8]) -> std::io::Result<()> {
    file.rewind()?;
    file.write_all(input)?;
    file.set_len(input.len() as u64)
}

#[test]
fn mutated_inputs_are_survived() {
    if let Some(kept) = std::env::var_os(CHILD) {
        targets::pass_over_refusals();
        return take_all(Path::new(&kept));
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("evenkeel-fuzz-input");
    std::fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let this = std::env::current_exe().unwrap();
    let name = "fuzz::mutated_inputs_are_survived";
    let mut command = if cfg!(target_os = "linux") { Command::new("sh") } else { Command::new(&this) };
    if cfg!(target_os = "linux") {
        command.arg("-c").arg(format!("ulimit -v {ADDRESS_SPACE} && exec \"$0\" \"$@\"")).arg(&this).env("MALLOC_ARENA_MAX", "2");
    }
    let mut child = command
        .args([name, "--exact", "--nocapture"])
        .env(CHILD, &kept)
        .env("RAYON_NUM_THREADS", "2")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut seen = (Vec::new(), Instant::now());
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status} over the input that is kept in {}", kept.display());
            return;
        }
        let now = std::fs::read(&kept).unwrap_or_default();
        if now != seen.0 {
            seen = (now, Instant::now());
        }
        if seen.1.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("no end within {PATIENCE:?} over the input that is kept in {}", kept.display());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_mutator_draws_the_same_inputs_again_and_no_two_alike() {
    let corpus = corpus("rows");
    let draw = |seed| {
        let mut mutator = Mutator { state: seed };
        (0..1000).map(|_| mutator.mutation(&corpus)).collect::<Vec<_>>()
    };
    assert_eq!(draw(1), draw(1));
    let mut inputs = draw(1);
    inputs.sort();
    inputs.dedup();
    assert!(inputs.len() > 950, "{} of 1000 differ", inputs.len());
    assert!(inputs.iter().any(|input| std::str::from_utf8(input).is_err()), "broken UTF-8 is among them");
}

/// The seed of the weights is no text: it is the tiny model of the catalogue of malformed inputs. Written where there is none.
#[test]
fn the_models_seed_is_the_tiny_model() {
    let seed = [tiny::config().to_string().as_bytes(), b"\0", &tiny::weights().file()].concat();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/model/tiny");
    if !path.exists() {
        std::fs::write(&path, &seed).unwrap();
    }
    assert!(std::fs::read(&path).unwrap() == seed, "remove {} to have it written anew", path.display());
}

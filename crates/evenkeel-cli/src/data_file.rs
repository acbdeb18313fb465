//! Data files as bytes: `.jsonl` and `.json`, gzipped or not, streamed in pieces.

use std::io::{BufReader, Read, Seek};
use std::path::Path;

use evenkeel_core::data::{self, BadRows, DataFiles, DataReport, Encoder, Example, Loaded};
use evenkeel_core::{Error, Result};
use flate2::read::MultiGzDecoder;

use crate::files;

/// Bytes handed on at a time.
const PIECE: usize = 1 << 16;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Text packs ten times, rows that repeat each other some fifty; gzip itself can pack a thousand times, by which a small file would
/// fill the memory. So many bytes are taken whatever the ratio.
const MOST_RATIO: u64 = 100;
const ALWAYS: u64 = 64 << 20;

/// Data files by their paths.
pub struct Paths;

impl DataFiles for Paths {
    fn for_each_piece(&self, name: &str, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        for_each_piece(Path::new(name), each)
    }
}

/// Reads one file into examples.
pub fn examples<E: Example>(path: &Path, encoder: Encoder, skip_bad_rows: bool) -> Result<Loaded<E>> {
    data::read(&Paths, &path.display().to_string(), encoder, policy(skip_bad_rows))
}

/// Prints what a person should know of a file.
pub fn say(report: &DataReport, max_length: usize) {
    data::notes(report, max_length).iter().for_each(|line| eprintln!("{line}"));
}

/// `--skip-bad-rows` as core calls it.
pub fn policy(skip_bad_rows: bool) -> BadRows {
    if skip_bad_rows { BadRows::Skip } else { BadRows::Stop }
}

/// Hands the decompressed bytes of `path` to `each`, piece by piece.
///
/// # Errors
/// A file that cannot be read or is no JSON by its name, and whatever `each` says.
pub fn for_each_piece<E: From<Error>>(
    path: &Path,
    mut each: impl FnMut(&[u8]) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let place = path.display().to_string();
    let refuse = |problem: String, remedy: &str| Err(E::from(Error::input(&place, problem, remedy)));
    let name = place.to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    if !(name.ends_with(".jsonl") || name.ends_with(".json")) {
        return refuse("is not called .jsonl, .jsonl.gz or .json".into(), "convert it to one JSON object a line");
    }
    let (mut source, most) = match open(path) {
        Ok(opened) => opened,
        Err(e) => return refuse(format!("cannot be read ({e})"), "check the path"),
    };
    let mut buffer = vec![0; PIECE];
    let mut total = 0;
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                total += n as u64;
                if total > most {
                    let problem = format!("holds more than {MOST_RATIO} times its size, which no rows do");
                    return refuse(problem, "if it is meant, decompress it and give the .jsonl");
                }
                each(&buffer[..n])?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return refuse(format!("cannot be read to its end ({e})"), "fetch or compress the file again"),
        }
    }
}

/// The file, decompressed where its first bytes say gzip, whatever its name says, and the most bytes that it may give.
fn open(path: &Path) -> std::io::Result<(Box<dyn Read>, u64)> {
    let mut file = files::open(path)?;
    let mut start = Vec::new();
    file.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut start)?;
    file.rewind()?;
    let size = file.metadata()?.len();
    let file = BufReader::new(file);
    Ok(match start == GZIP_MAGIC {
        true => (Box::new(MultiGzDecoder::new(file)), size.saturating_mul(MOST_RATIO).max(ALWAYS)),
        false => (Box::new(file), u64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(path: &Path) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        for_each_piece(path, |piece| {
            all.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn gzip_is_told_by_content_and_a_cut_file_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let text = "{\"text\": \"a\"}\n".repeat(10_000);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        let path = root.path().join("rows.jsonl.gz");
        std::fs::write(&path, &packed).unwrap();
        assert_eq!(read(&path).unwrap(), text.as_bytes());
        std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("cannot be read to its end"));
        std::fs::write(&path, &text).unwrap(); // a plain file that is called .gz
        assert_eq!(read(&path).unwrap(), text.as_bytes());
    }

    #[test]
    fn other_formats_and_missing_files_are_named() {
        for (name, problem) in [("rows.parquet", "is not called"), ("none.jsonl", "cannot be read (")] {
            let error = read(Path::new(name)).unwrap_err().to_string();
            assert!(error.starts_with(name) && error.contains(problem), "{error}");
        }
    }
}

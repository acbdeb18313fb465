//! Bytes of a `.jsonl` or `.json` file, in pieces of any size → checked [`Row`]s with their line numbers.
//!
//! The front end opens and decompresses the file; memory stays at one row and the rows of the piece at hand.

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::lines::{DEFAULT_ROW_CAP, Piece, Splitter};
use super::rows::{IDENTICAL, Row, parse_row};
use super::shape::Shape;
use crate::{Error, Result};

/// What to do with a row that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadRows {
    /// End with an error that names it.
    #[default]
    Stop,
    /// Leave it out, count it and list it.
    Skip,
}

/// The bad rows met under [`BadRows::Skip`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BadRowList {
    /// All of them.
    pub count: u64,
    /// Pairs among them whose two sides are the same.
    pub identical_pairs: u64,
    /// `FILE:LINE: field: problem; remedy` of the first [`BadRowList::LISTED`].
    pub messages: Vec<String>,
}

impl BadRowList {
    /// How many messages are kept; the rest is only counted, so that a broken file cannot fill the memory.
    pub const LISTED: usize = 100;
}

/// A row and the line where it begins, counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberedRow {
    /// Line in the file.
    pub line: u64,
    /// Shape, the same for every row of a file.
    pub shape: Shape,
    /// What it says.
    pub row: Row,
    /// Hash of the row's bytes, to count repeated rows.
    pub digest: u64,
}

/// Reads one file; feed it with [`RowReader::feed`], then call [`RowReader::finish`] once.
pub struct RowReader {
    file: String,
    policy: BadRows,
    splitter: Splitter,
    /// Shape of the file and the line that set it.
    shape: Option<(Shape, u64)>,
    rows: u64,
    bad: BadRowList,
}

impl RowReader {
    /// A reader for `file`, the name that messages show.
    pub fn new(file: impl Into<String>, policy: BadRows) -> Self {
        Self::with_row_cap(file, policy, DEFAULT_ROW_CAP)
    }

    /// As [`RowReader::new`], refusing rows of more than `row_cap` bytes.
    pub fn with_row_cap(file: impl Into<String>, policy: BadRows, row_cap: usize) -> Self {
        Self { file: file.into(), policy, splitter: Splitter::new(row_cap), shape: None, rows: 0, bad: BadRowList::default() }
    }

    /// Takes the next bytes and returns the rows that they complete.
    ///
    /// # Errors
    /// Under [`BadRows::Stop`], the first row that cannot be used.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<NumberedRow>> {
        let pieces = self.splitter.push(bytes);
        self.read_all(pieces)
    }

    /// The last row, if the file does not end in a newline.
    ///
    /// # Errors
    /// As [`RowReader::feed`], and when the file held no usable row.
    pub fn finish(&mut self) -> Result<Vec<NumberedRow>> {
        let splitter = std::mem::replace(&mut self.splitter, Splitter::new(0));
        let last = self.read_all(splitter.finish().into_iter().collect())?;
        if self.rows > 0 {
            return Ok(last);
        }
        Err(match self.bad.messages.first() {
            Some(first) => Error::input(&self.file, format!("none of its {} rows can be used ({first})", self.bad.count), "mend the rows"),
            None => Error::input(&self.file, "has no rows", "give a file with at least one row"),
        })
    }

    /// Leaves out a row for a reason found later (a token id outside the vocabulary), under the same policy.
    pub fn reject(&mut self, line: u64, fault: Fault) -> Result<()> {
        let identical = fault.problem == IDENTICAL;
        let error = fault.at(&self.file, line);
        if self.policy == BadRows::Stop {
            return Err(error);
        }
        self.bad.count += 1;
        self.bad.identical_pairs += u64::from(identical);
        if self.bad.messages.len() < BadRowList::LISTED {
            self.bad.messages.push(error.to_string());
        }
        Ok(())
    }

    /// The name that messages show.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The file's shape, known after the first row.
    pub fn shape(&self) -> Option<Shape> {
        self.shape.map(|(shape, _)| shape)
    }

    /// Rows left out so far.
    pub fn bad_rows(&self) -> &BadRowList {
        &self.bad
    }

    fn read_all(&mut self, pieces: Vec<Piece>) -> Result<Vec<NumberedRow>> {
        let mut rows = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match self.read(piece.line, piece.content) {
                Ok(row) => rows.push(row),
                Err(fault) => self.reject(piece.line, fault)?,
            }
        }
        self.rows += rows.len() as u64;
        Ok(rows)
    }

    fn read(&mut self, line: u64, content: std::result::Result<Vec<u8>, Fault>) -> std::result::Result<NumberedRow, Fault> {
        let bytes = content?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            Fault::new("", format!("not valid UTF-8 at byte {} of the row", error.valid_up_to() + 1), "save the file as UTF-8")
        })?;
        let (shape, row) = parse_row(text)?;
        let (expected, first_line) = *self.shape.get_or_insert((shape, line));
        if shape != expected {
            return Err(Fault::new(
                "",
                format!("the row is {shape}, but the file's rows are {expected} since line {first_line}"),
                "put rows of different shapes into different files",
            ));
        }
        Ok(NumberedRow { line, shape, row, digest: digest(text.trim()) })
    }
}

/// FNV-1a: only to count repeated rows, where 64 bits are ample for any file that fits the memory.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

//! Cuts a byte stream into rows: lines of JSONL, or the elements of one JSON array. Knows no JSON beyond that.
//!
//! Memory: one unfinished row, at most [`Splitter::cap`] bytes, plus the rows completed by the chunk at hand.

use super::fault::Fault;

/// Longest row accepted, in bytes, unless set otherwise: room for a book, yet no accident fills the memory.
pub const DEFAULT_ROW_CAP: usize = 16 << 20;

/// One row's bytes, or why it cannot be had, and the line on which it begins (counted from 1).
pub(crate) struct Piece {
    pub line: u64,
    pub content: Result<Vec<u8>, Fault>,
}

/// Incremental cutter; feed it with [`Splitter::push`], then call [`Splitter::finish`] once.
pub(crate) struct Splitter {
    mode: Mode,
    row: Vec<u8>,
    row_line: u64,
    line: u64,
    overflow: bool,
    cap: usize,
    /// Bytes of a byte-order mark seen at the very start.
    bom_seen: usize,
    /// Nothing was read yet.
    untouched: bool,
}

enum Mode {
    /// Nothing but blank bytes so far.
    Start,
    Lines,
    Array(Scan),
    /// The array is closed; only blanks may follow.
    Closed,
}

/// Where the scan stands inside a JSON array.
#[derive(Default)]
struct Scan {
    depth: u32,
    in_string: bool,
    escaped: bool,
    after_comma: bool,
}

const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];

impl Splitter {
    pub fn new(cap: usize) -> Self {
        Self { mode: Mode::Start, row: Vec::new(), row_line: 1, line: 1, overflow: false, cap, bom_seen: 0, untouched: true }
    }

    /// Takes the next bytes of the file and returns the rows that they complete, and a fault for each that grows too long, at once.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<Piece> {
        let mut out = Vec::new();
        while let Some(&byte) = bytes.first() {
            match &self.mode {
                Mode::Start => {
                    self.start(byte);
                    if matches!(self.mode, Mode::Start | Mode::Array(_)) {
                        bytes = &bytes[1..];
                    }
                }
                Mode::Lines => bytes = self.take_line(bytes, &mut out),
                Mode::Array(_) => {
                    self.array_byte(byte, &mut out);
                    bytes = &bytes[1..];
                }
                Mode::Closed => {
                    self.closed_byte(byte, &mut out);
                    bytes = &bytes[1..];
                }
            }
        }
        out
    }

    /// The last row, when the file does not end in a newline, or why the array is incomplete.
    pub fn finish(mut self) -> Option<Piece> {
        match self.mode {
            Mode::Start | Mode::Closed => None,
            Mode::Lines => self.flush(),
            Mode::Array(_) => Some(Piece {
                line: self.row_line,
                content: Err(Fault::new(
                    "",
                    "the file ends before its JSON array is closed by `]`",
                    "restore the end of the file; it was probably cut off",
                )),
            }),
        }
    }

    /// Decides between JSONL and an array by the first byte that is neither blank nor part of a byte-order mark.
    fn start(&mut self, byte: u8) {
        if self.bom_seen < BOM.len() && byte == BOM[self.bom_seen] && (self.bom_seen > 0 || self.untouched) {
            self.bom_seen += 1;
            return;
        }
        self.untouched = false;
        if (1..BOM.len()).contains(&self.bom_seen) {
            // It was none: the row begins with these bytes, and is no UTF-8.
            self.row.extend_from_slice(&BOM[..self.bom_seen]);
            self.mode = Mode::Lines;
            return;
        }
        match byte {
            b'\n' => self.line += 1,
            b' ' | b'\t' | b'\r' => {}
            b'[' => {
                self.mode = Mode::Array(Scan::default());
                self.row_line = self.line;
            }
            _ => {
                self.mode = Mode::Lines;
                self.row_line = self.line;
            }
        }
    }

    fn take_line<'b>(&mut self, bytes: &'b [u8], out: &mut Vec<Piece>) -> &'b [u8] {
        let Some(end) = bytes.iter().position(|&b| b == b'\n') else {
            self.append(bytes, out);
            return &[];
        };
        self.append(&bytes[..end], out);
        out.extend(self.flush());
        self.line += 1;
        self.row_line = self.line;
        &bytes[end + 1..]
    }

    fn array_byte(&mut self, byte: u8, out: &mut Vec<Piece>) {
        let Mode::Array(scan) = &mut self.mode else {
            return;
        };
        if byte == b'\n' {
            self.line += 1;
        }
        let between = scan.depth == 0 && !scan.in_string;
        if between && self.row.is_empty() && !self.overflow {
            if byte.is_ascii_whitespace() {
                return;
            }
            self.row_line = self.line;
        }
        if between && (byte == b',' || byte == b']') {
            let closing = byte == b']';
            let empty = self.row.is_empty() && !self.overflow;
            let stray_comma = empty && (!closing || scan.after_comma);
            scan.after_comma = !closing;
            if closing {
                self.mode = Mode::Closed;
            }
            if stray_comma {
                out.push(self.fault("a comma with no row beside it", "remove the comma"));
            }
            out.extend(self.flush());
            return;
        }
        scan.step(byte);
        self.append(&[byte], out);
    }

    fn closed_byte(&mut self, byte: u8, out: &mut Vec<Piece>) {
        if byte == b'\n' {
            self.line += 1;
        } else if !byte.is_ascii_whitespace() && !self.overflow {
            self.row_line = self.line;
            self.overflow = true; // say it once
            out.push(self.fault(
                "text after the `]` that ends the JSON array",
                "keep one array in the file, or write one object a line without brackets",
            ));
        }
    }

    fn fault(&self, problem: &str, remedy: &str) -> Piece {
        Piece { line: self.row_line, content: Err(Fault::new("", problem, remedy)) }
    }

    /// A row that grows too long is said once; what is left of it is passed over.
    fn append(&mut self, bytes: &[u8], out: &mut Vec<Piece>) {
        if self.overflow {
            return;
        }
        if self.row.len() + bytes.len() > self.cap {
            self.overflow = true;
            self.row = Vec::new();
            out.push(self.fault(&format!("the row is longer than {} bytes", self.cap), "write one row a line (or split this one)"));
        } else {
            self.row.extend_from_slice(bytes);
        }
    }

    /// The row gathered so far; `None` for a blank one.
    fn flush(&mut self) -> Option<Piece> {
        self.overflow = false; // it was said
        let row = std::mem::take(&mut self.row);
        let blank = row.iter().all(u8::is_ascii_whitespace);
        (!blank).then_some(Piece { line: self.row_line, content: Ok(row) })
    }
}

impl Scan {
    fn step(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows as text with their lines, fed `step` bytes at a time; faults as `!problem`.
    fn split(file: &[u8], step: usize, cap: usize) -> Vec<(u64, String)> {
        let mut splitter = Splitter::new(cap);
        let mut pieces = Vec::new();
        for chunk in file.chunks(step) {
            pieces.extend(splitter.push(chunk));
        }
        pieces.extend(splitter.finish());
        let show = |piece: Piece| {
            let text = match piece.content {
                Ok(bytes) => String::from_utf8(bytes).unwrap().trim().to_owned(),
                Err(fault) => format!("!{}", fault.problem),
            };
            (piece.line, text)
        };
        pieces.into_iter().map(show).collect()
    }

    #[test]
    fn chunk_size_never_matters() {
        let jsonl = "\u{feff}{\"a\":1}\r\n\r\n  \n{\"b\":\"x\"}\n{\"c\":2}".as_bytes();
        let want = vec![(1, "{\"a\":1}".to_owned()), (4, "{\"b\":\"x\"}".to_owned()), (5, "{\"c\":2}".to_owned())];
        for step in [1, 2, 3, 7, 1000] {
            assert_eq!(split(jsonl, step, 100), want, "step {step}");
        }
    }

    #[test]
    fn array_elements_keep_their_lines() {
        let array = b"\n [ {\"a\": [1, 2], \"s\": \"],}\\\"\"},\n\n{\"b\": {}}\n ,{}\n]\n";
        let want = vec![(2, "{\"a\": [1, 2], \"s\": \"],}\\\"\"}".to_owned()), (4, "{\"b\": {}}".to_owned()), (5, "{}".to_owned())];
        for step in [1, 2, 5, 1000] {
            assert_eq!(split(array, step, 100), want, "step {step}");
        }
        assert!(split(b"[]", 1, 9).is_empty());
    }

    #[test]
    fn broken_arrays_and_long_rows_are_named() {
        let problems = |file: &str| -> Vec<(u64, String)> {
            let mut rows = split(file.as_bytes(), 3, 12);
            rows.retain(|(_, text)| text.starts_with('!'));
            rows
        };
        assert!(problems("[{},\n]")[0].1.contains("comma"));
        assert!(problems("[{}")[0].1.contains("closed"));
        assert!(problems("[{}]\nx y")[0].1.contains("after"));
        assert_eq!(problems("[{}]\nx y").len(), 1);
        let long = problems("{}\n{\"a\":\"0123456789\"}\n{}\n");
        assert_eq!((long.len(), long[0].0), (1, 2));
        assert!(long[0].1.contains("longer than 12 bytes"));
        assert_eq!(problems("[{},{\"a\":\"0123456789\"}]").len(), 1);
    }

    #[test]
    fn a_row_that_grows_too_long_is_said_before_it_ends() {
        let mut splitter = Splitter::new(12);
        assert!(splitter.push(b"{\"a\":\"01234").is_empty());
        assert_eq!(splitter.push(b"56789").len(), 1);
        assert_eq!(splitter.push(&[b'x'; 1 << 16]).len(), 0);
        let after = splitter.push(b"\n{}\n");
        assert!(matches!(&after[..], [Piece { line: 2, content: Ok(row) }] if row == b"{}"));
    }

    #[test]
    fn half_a_byte_order_mark_is_no_mark() {
        for file in [&b"\xEF\xBB{}\n"[..], b"\xEF\n{}", b" \xEF\xBB\xBF{}\n"] {
            let mut splitter = Splitter::new(100);
            let first = splitter.push(file).remove(0).content.unwrap();
            assert!(String::from_utf8(first.clone()).is_err() || first.starts_with(&BOM), "{first:?}");
        }
    }
}

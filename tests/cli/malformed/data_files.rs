//! Data files: bytes that are no rows, files that are none, and files that are larger than they look.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::rows::{rows, second};
use super::{Case, SFT, both, tiny};

pub fn cases() -> Vec<Case> {
    let mut cases = bytes();
    cases.extend(files());
    cases.extend(packed());
    cases.extend(sizes());
    cases
}

fn bytes() -> Vec<Case> {
    let utf8 = ["not valid UTF-8", "save the file as UTF-8"];
    let json = ["not valid JSON at column", "one JSON object with double quotes"];
    let cut = ["the row ends inside its JSON", "one JSON array"];
    let array = |name: &str, says: &[&str], text: &str| rows(name, SFT, &both(&["rows.jsonl:"], says), text);
    let utf16: Vec<u8> = "\u{feff}{\"text\": \"a\"}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        rows("an empty file", SFT, &["rows.jsonl: has no rows", "at least one row"], ""),
        rows("blanks alone", SFT, &["rows.jsonl: has no rows"], " \n\t\r\n\n"),
        rows("a byte-order mark alone", SFT, &["rows.jsonl: has no rows"], b"\xEF\xBB\xBF".to_vec()),
        rows("an empty array", SFT, &["rows.jsonl: has no rows"], "[]\n"),
        rows("UTF-16", SFT, &["rows.jsonl:1: not valid UTF-8 at byte 1"], utf16),
        rows("half a byte-order mark", SFT, &["rows.jsonl:1: not valid UTF-8"], b"\xEF\xBB{\"text\": \"a\"}\n".to_vec()),
        rows("a mark behind a blank", SFT, &["rows.jsonl:1: not valid JSON"], " \u{feff}{\"text\": \"a\"}\n"),
        rows("zeros", SFT, &["rows.jsonl:1: not valid JSON"], vec![0; 4096]),
        rows("a table of commas", SFT, &["rows.jsonl:1: not valid JSON"], "prompt,completion\na,b\n"),
        second("a Latin-1 letter", &utf8, b"{\"text\": \"caf\xE9\"}"),
        second("a surrogate as UTF-8", &utf8, b"{\"text\": \"\xED\xA0\x80\"}"),
        second("an overlong slash", &utf8, b"{\"text\": \"\xC0\xAF\"}"),
        second("a letter that is cut off", &utf8, b"{\"text\": \"\xE2\x82"),
        second("a row that is cut off", &cut, "{\"text\": \"a"),
        second("a row over two lines", &cut, "{\"text\":\n\"a\"}"),
        second("two objects on a line", &json, "{\"text\": \"a\"} {\"text\": \"b\"}"),
        second("a comma too many", &json, "{\"text\": \"a\",}"),
        second("single quotes", &json, "{'text': 'a'}"),
        second("a key without quotes", &json, "{text: \"a\"}"),
        second("a comment", &json, "// a comment"),
        second("Python's None", &json, "{\"text\": None}"),
        second("not a number", &json, "{\"text\": NaN}"),
        second("a tab within text", &json, "{\"text\": \"a\tb\"}"),
        second("a zero byte within text", &json, "{\"text\": \"a\0b\"}"),
        second("half a surrogate pair", &json, r#"{"text": "\ud800"}"#),
        second("an escape that there is not", &json, r#"{"text": "\x41"}"#),
        second("a number of a thousand digits", &json, format!("{{\"text\": \"a\", \"n\": {}e{}}}", "9".repeat(1000), "9".repeat(9))),
        second("lists deeper than anybody writes", &["recursion limit"], "[".repeat(100_000)),
        second("objects deeper than anybody writes", &["recursion limit"], "{\"text\":".repeat(100_000)),
        second("a key twice", &["text: stands twice in this row", "keep one of the two"], r#"{"text": "a", "text": "b"}"#),
        second("a key twice, written differently", &["text: stands twice"], r#"{"text": "a", "\u0074ext": "b"}"#),
        second("an inner key twice", &["role: stands twice"], r#"{"messages": [{"role": "user", "role": "system", "content": "a"}]}"#),
        second("a list", &["the row is a list, not a JSON object"], "[\"a\"]"),
        second("text", &["the row is text, not a JSON object"], "\"a\""),
        second("null", &["the row is null, not a JSON object"], "null"),
        second("a number", &["the row is a number"], "7"),
        array(
            "an array that does not close",
            &["the file ends before its JSON array is closed", "cut off"],
            "[{\"text\": \"a\"},\n{\"text\": \"b\"}",
        ),
        array("text behind an array", &["2: text after the `]`"], "[{\"text\": \"a\"}]\n{\"text\": \"b\"}"),
        array("an array with two commas", &["1: a comma with no row beside it"], "[{\"text\": \"a\"},,{\"text\": \"b\"}]"),
        array("an array with a comma at its end", &["2: a comma with no row beside it"], "[{\"text\": \"a\"},\n]"),
        array("an array that closes as an object", &["1: not valid JSON"], "[{\"text\": \"a\"]}\n]"),
        array("an array of text", &["1: the row is text"], "[\"a\", \"b\"]"),
    ]
}

fn files() -> Vec<Case> {
    let named = |name: &str, file: &'static str, says: &[&str]| {
        let line = SFT.replace("rows.jsonl", file);
        Case::new(name, line, &both(&[format!("{file}: ").as_str()], says), move |at| {
            tiny::all(at);
            fs::copy(at.join("rows.jsonl"), at.join(file)).unwrap();
        })
    };
    let convert = "convert it to one JSON object a line";
    let mut cases = vec![
        named("a table", "rows.csv", &["is not called .jsonl, .jsonl.gz or .json", convert]),
        named("a parquet file", "rows.parquet", &["is not called", convert]),
        named("no ending", "rows", &["is not called", convert]),
        named("another packer", "rows.jsonl.zst", &["is not called", convert]),
        Case::new("no file", SFT, &["rows.jsonl: cannot be read", "check the path"], tiny::model),
        Case::new("a folder", SFT, &["rows.jsonl: cannot be read", "is a directory"], |at| {
            tiny::model(at);
            fs::create_dir(at.join("rows.jsonl")).unwrap();
        }),
        Case::new(
            "a file within a file",
            SFT.replace("rows.jsonl", "rows.jsonl/rows.jsonl"),
            &["rows.jsonl/rows.jsonl: cannot be read"],
            tiny::all,
        ),
        Case::new("no held-out file", format!("{SFT} --eval-data none.jsonl"), &["none.jsonl: cannot be read"], tiny::all),
        Case::new("a held-out file with a bad row", format!("{SFT} --eval-data bad.jsonl"), &["bad.jsonl:1: text: is null"], |at| {
            tiny::all(at);
            fs::write(at.join("bad.jsonl"), "{\"text\": null}\n").unwrap();
        }),
    ];
    #[cfg(unix)]
    cases.push(Case::new("a pipe that nobody writes", SFT, &["rows.jsonl: cannot be read", "not an ordinary file"], |at| {
        tiny::model(at);
        assert!(std::process::Command::new("mkfifo").arg(at.join("rows.jsonl")).status().unwrap().success());
    }));
    #[cfg(target_os = "linux")]
    cases.push(Case::new("a link to what never ends", SFT, &["rows.jsonl: cannot be read", "not an ordinary file"], |at| {
        tiny::model(at);
        std::os::unix::fs::symlink("/dev/zero", at.join("rows.jsonl")).unwrap();
    }));
    cases
}

fn gzip(write: impl FnOnce(&mut GzEncoder<Vec<u8>>)) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    write(&mut encoder);
    encoder.finish().unwrap()
}

fn packed() -> Vec<Case> {
    let line = SFT.replace("rows.jsonl", "rows.jsonl.gz");
    let case = |name: &str, says: &[&str], bytes: Vec<u8>| {
        Case::new(name, line.clone(), says, move |at| {
            tiny::model(at);
            fs::write(at.join("rows.jsonl.gz"), &bytes).unwrap();
        })
    };
    let sound = gzip(|out| (0..200).for_each(|i| writeln!(out, "{{\"text\": \"a b {i}\"}}").unwrap()));
    let cut = ["rows.jsonl.gz: cannot be read to its end", "fetch or compress the file again"];
    let mut wrong_sum = sound.clone();
    let sum = wrong_sum.len() - 8;
    wrong_sum[sum] ^= 1;
    let mut wrong_block = sound.clone();
    wrong_block[12..20].fill(0xFF);
    vec![
        case("gzip that is cut off", &cut, sound[..sound.len() / 2].to_vec()),
        case("gzip without its sum", &cut, sound[..sound.len() - 8].to_vec()),
        case("gzip with another sum", &cut, wrong_sum),
        case("gzip with a broken block", &cut, wrong_block),
        case("gzip's first two bytes", &cut, sound[..2].to_vec()),
        case("gzip and then something else", &cut, [&sound[..], &sound[..5]].concat()),
        case("gzip of nothing", &["rows.jsonl.gz: has no rows"], gzip(|_| {})),
        case("gzip within gzip", &["rows.jsonl.gz:1: not valid UTF-8"], gzip(|out| out.write_all(&sound).unwrap())),
        case(
            "gzip of a bad row",
            &["rows.jsonl.gz:2: text: is a number"],
            gzip(|out| out.write_all(b"{\"text\": \"a\"}\n{\"text\": 7}\n").unwrap()),
        ),
        case("128 MB of one line in a few kilobytes", &["rows.jsonl.gz:1: the row is longer than 16777216 bytes"], {
            gzip(|out| (0..128).for_each(|_| out.write_all(&[b'{'; 1 << 20]).unwrap()))
        }),
        case("128 MB of blanks in a few kilobytes", &["rows.jsonl.gz: holds more than 100 times its size", "decompress it"], {
            let blanks = [&[b' '; 1 << 20][..], b"\n"].concat();
            gzip(|out| {
                out.write_all(b"{\"text\": \"a b\"}\n").unwrap();
                (0..128).for_each(|_| out.write_all(&blanks).unwrap());
            })
        }),
    ]
}

/// `rows.jsonl` is `before`, and `letter` up to `size` bytes.
fn long(at: &Path, before: &str, letter: u8, size: usize) {
    tiny::all(at);
    let mut file = File::create(at.join("rows.jsonl")).unwrap();
    file.write_all(before.as_bytes()).unwrap();
    let piece = vec![letter; 1 << 20];
    (0..size >> 20).for_each(|_| file.write_all(&piece).unwrap());
}

fn sizes() -> Vec<Case> {
    let too_long = ["the row is longer than 16777216 bytes", "write one row a line"];
    let at_line = |line: &'static str| both(&[line], &too_long);
    vec![
        Case::new("a line of 100 MB", SFT, &at_line("rows.jsonl:2: "), |at| long(at, "{\"text\": \"a\"}\n{\"text\": \"", b'a', 100 << 20)),
        Case::new("a line of 100 MB, whatever is skipped", format!("{SFT} --skip-bad-rows"), &at_line("rows.jsonl:1: "), |at| {
            long(at, "{\"text\": \"", b'a', 100 << 20);
        }),
        Case::new("an element of 32 MB", SFT, &at_line("rows.jsonl:1: "), |at| long(at, "[{\"text\": \"", b'a', 32 << 20)),
        Case::new("32 million brackets", SFT, &at_line("rows.jsonl:1: "), |at| long(at, "", b'[', 32 << 20)),
    ]
}

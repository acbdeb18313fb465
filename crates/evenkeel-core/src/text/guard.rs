//! What stands between a `tokenizer.json` and the tokenizers crate, which believes some of what it reads: it indexes with it and panics
//! (a template of an unknown token, a merge shorter than its prefix, a decoder that is no JSON), or allocates as much as a map of characters
//! says that it holds.
//!
//! Where panics unwind they become refusals of the file. In a browser they do not, and end the worker.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use crate::{Error, Result};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread, now, is the tokenizers crate's and will be refused as bad input: a panic hook need not tell of it.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// What `work` gives; a panic in it is an error at `place`.
pub(super) fn guarded<T>(place: &str, work: impl FnOnce() -> T) -> Result<T> {
    let before = GUARDED.replace(true);
    // What it leaves half done is not looked at again: the error ends the run.
    let done = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    done.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Error::input(place, format!("cannot be used ({})", text.unwrap_or("it contradicts itself")), "download the tokenizer again")
    })
}

/// The parts of a `tokenizer.json` in which a map of characters may stand; the rest, which may be large, is passed over.
#[derive(serde::Deserialize)]
struct Parts {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
}

/// Refuses what is no JSON, and a map of characters (`Precompiled`, SentencePiece's) that says it is longer than it is.
pub(super) fn check(place: &str, tokenizer: &[u8]) -> Result<()> {
    let Parts { normalizer, pre_tokenizer, decoder } = match serde_json::from_slice(tokenizer) {
        Ok(parts) => parts,
        // What is JSON and no tokenizer is told by the crate itself.
        Err(error) if error.is_data() => return Ok(()),
        Err(error) => return Err(Error::input(place, format!("cannot be read ({error})"), "download the tokenizer again")),
    };
    let mut parts = vec![&normalizer, &pre_tokenizer, &decoder];
    while let Some(part) = parts.pop() {
        match part {
            Value::Object(object) => parts.extend(object.values()),
            Value::Array(list) => parts.extend(list),
            _ => {}
        }
        let map = part.get("precompiled_charsmap").and_then(Value::as_str);
        if let Some((size, said)) = map.and_then(|map| Some((map.len() / 4 * 3, first_number(map)?)))
            && said as usize > size
        {
            let problem = format!("cannot be read (a map of characters of {size} bytes says that it has {said})");
            return Err(Error::input(place, problem, "download the tokenizer again"));
        }
    }
    Ok(())
}

/// The little-endian number that the first four bytes of `base64` make.
fn first_number(base64: &str) -> Option<u32> {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = base64.chars().take(6).map(|c| LETTERS.find(c).map(|value| value as u64));
    let bits =
        letters.collect::<Option<Vec<_>>>().filter(|letters| letters.len() == 6)?.into_iter().fold(0, |bits, value| bits << 6 | value);
    // 36 bits: the four bytes and half of the next.
    Some(((bits >> 4) as u32).swap_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_refused_at_its_place() {
        assert_eq!(guarded("t", || 7), Ok(7));
        let error = guarded("t", || panic!("index {} out of bounds", 9)).map(|()| 0).unwrap_err().to_string();
        assert_eq!(error, "t: cannot be used (index 9 out of bounds); download the tokenizer again");
        assert!(!is_guarded());
    }

    /// The tokenizers crate panics over this one, and a browser's worker ends with a panic.
    #[test]
    fn what_is_no_json_does_not_come_to_the_crate() {
        let error = check("t", br#"{"decoder": {"type": "ByteLevel", "trim_offsets" true}}"#).unwrap_err().to_string();
        assert!(error.starts_with("t: cannot be read (expected `:`"), "{error}");
        assert_eq!(check("t", b"[1]"), Ok(()));
    }

    #[test]
    fn a_map_that_says_it_is_longer_than_it_is_is_refused() {
        assert_eq!([first_number("AQAAAA=="), first_number("/////w=="), first_number("?")], [Some(1), Some(u32::MAX), None]);
        let file = |map: &str| format!("{{\"normalizer\": {{\"normalizers\": [{{\"precompiled_charsmap\": \"{map}\"}}]}}}}");
        assert!(check("t", file("AAAAAA==").as_bytes()).is_ok());
        assert!(check("t", file("/////w==").as_bytes()).unwrap_err().to_string().contains("of 6 bytes says that it has 4294967295"));
    }
}

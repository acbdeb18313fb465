//! `--name VALUE` pairs.

use anyhow::{Context, Result, bail};

/// The value of each known option, in the order of `known`, which gives the defaults.
pub fn read<const N: usize>(given: &[String], known: [(&str, &str); N]) -> Result<[String; N]> {
    let mut values = known.map(|(_, default)| default.to_owned());
    for pair in given.chunks(2) {
        let Some(place) = known.iter().position(|(name, _)| *name == pair[0]) else {
            bail!("`{}` is not an option here; known: {}", pair[0], known.map(|(name, _)| name).join(" "));
        };
        values[place].clone_from(pair.get(1).with_context(|| format!("{} wants a value", pair[0]))?);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_known_and_have_values() {
        let read = |line: &str| read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), [("--runs", "100"), ("--seed", "1")]);
        assert_eq!(read("").unwrap(), ["100", "1"]);
        assert_eq!(read("--seed 7").unwrap(), ["100", "7"]);
        assert!(read("--sed 7").unwrap_err().to_string().contains("known: --runs --seed"));
        assert!(read("--runs").unwrap_err().to_string().contains("wants a value"));
    }
}

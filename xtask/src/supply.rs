//! What evenkeel is built from, held to `deny.toml`: licences, sources, bans. By cargo-deny where it is installed; else by cargo's own
//! words, which takes no more than the lists of that file. Advisories are cargo-deny's alone.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use crate::{cache, command};

/// Licences, sources and bans of every crate that any platform's build takes.
pub fn dependencies() -> Result<()> {
    if has_cargo_deny() {
        return command::run(&mut command::command("cargo", &["deny", "--locked", "check", "licenses", "bans", "sources"])?);
    }
    println!("cargo-deny is not installed: its lists in deny.toml are read here; duplicates and advisories are not looked at");
    let read = |name: &str| std::fs::read_to_string(cache::repository().join(name)).with_context(|| format!("cannot read {name}"));
    let tree = ["tree", "--workspace", "--target", "all", "--locked", "--prefix", "none", "--format", "{p}|{l}"];
    let tree = command::output("cargo", &tree).context("`cargo tree` failed")?;
    let faults = faults(&read("deny.toml")?, &tree, &read("Cargo.lock")?)?;
    ensure!(faults.is_empty(), "against deny.toml:\n{}", Vec::from_iter(faults).join("\n"));
    Ok(())
}

/// Known vulnerabilities and withdrawn versions, by RustSec's database.
pub fn advisories() -> Result<()> {
    ensure!(has_cargo_deny(), "advisories need cargo-deny: `cargo install cargo-deny --locked`");
    command::run(&mut command::command("cargo", &["deny", "--locked", "check", "advisories"])?)
}

fn has_cargo_deny() -> bool {
    command::which("cargo-deny").is_some()
}

/// `tree`: lines "crate version …|licence"; `lock`: Cargo.lock.
fn faults(deny: &str, tree: &str, lock: &str) -> Result<BTreeSet<String>> {
    let (allowed, banned) = (list(deny, "licenses", "allow")?, list(deny, "bans", "deny")?);
    let registries = list(deny, "sources", "allow-registry")?;
    let mut faults = BTreeSet::new();
    for line in tree.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.is_empty()) {
        let (package, licence) = line.split_once('|').with_context(|| format!("`cargo tree` said `{line}`"))?;
        let name = package.split(' ').next().unwrap_or_default();
        if banned.iter().any(|banned| banned == name) {
            faults.insert(format!("{package} is banned"));
        }
        if !is_allowed(licence, &allowed) {
            faults.insert(format!("{package} is under `{licence}`, which is not allowed"));
        }
    }
    for source in lock.lines().filter_map(|line| line.strip_prefix("source = ")) {
        let source = source.trim_matches('"');
        if !registries.iter().any(|registry| source.strip_prefix("registry+") == Some(registry.as_str())) {
            faults.insert(format!("Cargo.lock takes a crate from {source}"));
        }
    }
    Ok(faults)
}

/// The strings of `key = [ … ]` under `[section]`.
fn list(toml: &str, section: &str, key: &str) -> Result<Vec<String>> {
    let text: String = toml.lines().map(|line| format!("{}\n", line.split('#').next().unwrap_or_default())).collect();
    let inside = || {
        let (_, rest) = text.split_once(&format!("\n[{section}]"))?;
        let (_, list) = rest.split("\n[").next()?.split_once(&format!("\n{key} = ["))?;
        Some(list.split(']').next()?.split('"').skip(1).step_by(2).map(str::to_owned).collect())
    };
    inside().with_context(|| format!("deny.toml has no list `{key}` under [{section}]"))
}

/// Whether an SPDX expression can be met by what is allowed; "A/B" is the old way to write "A OR B".
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    either(&mut words, allowed) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words, allowed: &[String]) -> bool {
    let mut met = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= both(words, allowed);
    }
    met
}

fn both(words: &mut Words, allowed: &[String]) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words, allowed: &[String]) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let met = either(words, allowed);
        return words.next() == Some(")") && met;
    }
    let Some(mut licence) = words.next().map(str::to_owned) else { return false };
    if words.next_if_eq(&"WITH").is_some() {
        licence = format!("{licence} WITH {}", words.next().unwrap_or_default());
    }
    allowed.contains(&licence)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = "[graph]\n\n[licenses]\nallow = [\n    \"MIT\", # \"GPL-3.0\" is not\n    \"Apache-2.0 WITH LLVM-exception\",\n]\n\n[bans]\n\
                        deny = [\"openssl-sys\"]\n\n[sources]\nallow-registry = [\"https://good\"]\n";

    #[test]
    fn expressions_are_met_or_not() {
        let allowed = list(DENY, "licenses", "allow").unwrap();
        assert_eq!(allowed, ["MIT", "Apache-2.0 WITH LLVM-exception"]);
        for met in ["MIT", "GPL-3.0 OR MIT", "GPL-3.0/MIT", "(GPL-3.0 OR MIT) AND MIT", "Apache-2.0 WITH LLVM-exception"] {
            assert!(is_allowed(met, &allowed), "{met}");
        }
        for refused in ["", "GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0", "GPL-3.0 OR", "(MIT"] {
            assert!(!is_allowed(refused, &allowed), "{refused}");
        }
    }

    #[test]
    fn a_licence_a_banned_crate_and_a_foreign_source_are_named() {
        let lock = "source = \"registry+https://good\"\n";
        assert_eq!(faults(DENY, "a v1.0.0|MIT\na v1.0.0|MIT (*)\n", lock).unwrap(), BTreeSet::new());
        let found = faults(DENY, "b v1.0.0|GPL-3.0\nopenssl-sys v2.0.0|MIT\n", "source = \"git+https://good\"\n").unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        for part in ["b v1.0.0 is under `GPL-3.0`", "openssl-sys v2.0.0", "from git+https://good"] {
            assert!(found.iter().any(|fault| fault.contains(part)), "{part}: {found:?}");
        }
    }
}

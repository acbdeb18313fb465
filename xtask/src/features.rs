//! Cargo resolves features for the packages it is asked to build. Where a member on its own gets other features than the
//! workspace, burn is built once more, half an hour of CPU time: this says which features to name in evenkeel-kernels.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::command;

const MEMBERS: [&str; 4] = ["evenkeel-kernels", "evenkeel-core", "evenkeel-cli", "evenkeel-web"];

/// Every member resolves the crates it uses with the features they have in the whole workspace.
pub fn agree() -> Result<()> {
    let workspace = resolved(&["--workspace"])?;
    for member in MEMBERS {
        let differing: Vec<_> = resolved(&["-p", member])?.difference(&workspace).cloned().collect();
        if !differing.is_empty() {
            bail!(
                "`-p {member}` gets fewer features than `--workspace` in these crates, so burn would be built twice: {}. \
                 Name the missing ones in crates/evenkeel-kernels/Cargo.toml, where the others are.",
                differing.join("; ")
            );
        }
    }
    Ok(())
}

/// A line "crate version features" for each crate below the packages selected.
fn resolved(selection: &[&str]) -> Result<BTreeSet<String>> {
    let args = [&["tree", "--prefix", "none", "--format", "{p} {f}"], selection].concat();
    let Some(tree) = command::output("cargo", &args) else { bail!("`cargo tree {}` failed", selection.join(" ")) };
    let lines = tree.lines().map(|line| line.trim_end_matches(" (*)").trim().to_owned());
    Ok(lines.filter(|line| !line.is_empty()).collect())
}

//! `evenkeel report`: run folders drawn as one page.

use std::io::{Error, ErrorKind};

use anyhow::Result;

use crate::args::ReportArgs;
use crate::{files, report};

/// Writes the page and prints where it is.
pub fn run(args: &ReportArgs) -> Result<()> {
    let page = report::page_of_runs(&args.runs)?;
    let out = args.out.clone().unwrap_or_else(|| args.runs[0].join("report.html"));
    if out.is_dir() {
        return Err(files::unwritable("--out", &out, Error::from(ErrorKind::IsADirectory).into()));
    }
    files::write_atomic(&out, page.render().as_bytes()).map_err(|error| files::unwritable("--out", &out, error))?;
    crate::output::line(&out.display().to_string())
}

//! `evenkeel report`: run folders drawn as one page.

use anyhow::Result;

use crate::args::ReportArgs;
use crate::{files, report};

/// Writes the page and prints where it is.
pub fn run(args: &ReportArgs) -> Result<()> {
    let page = report::page_of_runs(&args.runs)?;
    let out = args.out.clone().unwrap_or_else(|| args.runs[0].join("report.html"));
    files::write_atomic(&out, page.render().as_bytes())?;
    crate::output::line(&out.display().to_string())
}

//! Results on stdout. A reader that went away (`| head`) is an error here, not a panic as with `println!`.

use std::io::Write;

use anyhow::Result;

/// One line.
pub fn line(text: &str) -> Result<()> {
    raw(&format!("{text}\n"))
}

/// Text as it is, at once.
pub fn raw(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

//! Aligned tables for the terminal.

/// Lines of a table, columns padded to their widest cell; the first column is set left, the rest right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = header.iter().map(|&h| h.to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).filter(|h| !h.is_empty()).chain(rows).collect();
    let columns = all.iter().map(|row| row.len()).max().unwrap_or(0);
    let wide = |column: usize| all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(wide).collect();
    let line = |row: &&Vec<String>| {
        let cells =
            row.iter().zip(&widths).enumerate().map(|(i, (cell, &w))| if i == 0 { format!("{cell:<w$}") } else { format!("{cell:>w$}") });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    all.iter().map(line).collect()
}

/// `label   value` lines, indented by two.
pub fn facts(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(label, value)| format!("  {label:<width$}  {value}\n")).collect()
}

pub use evenkeel_core::figures::thousands;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["β = 0".to_owned(), "1.5".into()], vec!["dpo".into(), "10.25".into()]];
        assert_eq!(table(&["run", "gold"], &rows), "run     gold\nβ = 0    1.5\ndpo    10.25\n");
        assert_eq!(facts(&[("a", "1".into()), ("bcd", "2".into())]), "  a    1\n  bcd  2\n");
        assert_eq!([thousands(1), thousands(999), thousands(1000), thousands(1_234_567)], ["1", "999", "1,000", "1,234,567"]);
    }
}

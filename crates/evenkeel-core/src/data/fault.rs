//! What is wrong in one row, before the file and line are known.

use crate::Error;

/// A problem in one row. [`Fault::at`] adds the file and the line and makes it an [`Error`].
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Path inside the row (`messages[2].content`); empty when the row as a whole is meant.
    pub field: String,
    /// What is wrong there.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Fault {
    /// A problem at `field` of the row.
    pub fn new(field: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into(), remedy: remedy.into() }
    }

    /// The error that the user sees: place `FILE:LINE: field`.
    pub fn at(self, file: &str, line: u64) -> Error {
        let place = if self.field.is_empty() { format!("{file}:{line}") } else { format!("{file}:{line}: {}", self.field) };
        Error::input(place, self.problem, self.remedy)
    }
}

/// An error of the tokenizer or the chat template while a row was encoded: the row is the place that helps the user.
impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Input { place, problem, remedy } => Self::new("", format!("{place}: {problem}"), remedy),
            other => Self::new("", other.to_string(), "report this as a defect"),
        }
    }
}

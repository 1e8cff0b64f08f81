//! What a command could not do, and what the user can do about it.

use std::{fmt::Display, path::Path};

/// A result whose error is for the user's eyes.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// An error of two lines.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong, where.
    pub what: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl Failure {
    /// A failure with a hint.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }

    /// The failure to read or write a file.
    pub fn file(path: &Path, error: impl Display) -> Self {
        Self::new(format!("{}: {error}", path.display()), "check the path and the permissions")
    }

    /// Says which file or member is meant.
    pub fn of(mut self, name: impl Display) -> Self {
        self.what = format!("{name}: {}", self.what);
        self
    }
}

impl From<maix_kpu::error::Error> for Failure {
    fn from(error: maix_kpu::error::Error) -> Self {
        Self::new(format!("{error} [{}]", error.code() as u16), error.hint())
    }
}

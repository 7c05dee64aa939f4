//! Error: what the ledger and the delivery answer when something cannot be done.
//!
//! The text is for people and never holds a password. The [`Kind`] is for code: what to do next.

use std::fmt;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was asked for makes no sense: a wrong URL, an unknown name.
    Invalid,
    /// The database cannot be reached or does not answer; the same will work later.
    Unavailable,
    /// Somebody else was in the way; the same will work at once.
    Busy,
    /// The database refuses us: wrong password, no right to write, read-only, full.
    Refused,
    /// The schema was made by a newer ragmeter.
    Newer,
    /// The database or the file is damaged.
    Corrupt,
    /// The database cannot hold this very value.
    Unfit,
    /// The row is there already.
    Duplicate,
}

impl Kind {
    /// The name used at every door.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::Newer => "newer",
            Self::Corrupt => "corrupt",
            Self::Unfit => "unfit",
            Self::Duplicate => "duplicate",
        }
    }
}

/// An error; see the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What to do about it.
    pub kind: Kind,
    text: Box<str>,
}

/// What may fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of that kind.
    pub fn new(kind: Kind, text: impl Into<Box<str>>) -> Self {
        Self { kind, text: text.into() }
    }

    /// The same with `secret` blotted out, wherever a driver quoted it.
    #[must_use]
    pub fn without(mut self, secret: Option<&str>) -> Self {
        if let Some(secret) = secret.filter(|secret| secret.len() > 2 && self.text.contains(secret)) {
            self.text = self.text.replace(secret, "***").into();
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::new(Kind::Refused, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_blotted_out() {
        let error = Error::new(Kind::Refused, "no login with hunter2 at mysql://root:hunter2@db/x");
        assert_eq!(error.without(Some("hunter2")).to_string(), "no login with *** at mysql://root:***@db/x");
    }
}

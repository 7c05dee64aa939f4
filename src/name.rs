//! Name: what a provider calls something: a model, an answer, a tier. No text at all is no name.
//!
//! Nearly all are short and are kept in place, so that reading an answer asks for no memory for them.

use std::fmt;

/// What a provider calls something; may be nothing.
#[derive(Clone)]
pub struct Name(Kept);

/// Ids of answers have up to 53 bytes.
const SHORT: usize = 54;

#[derive(Clone)]
enum Kept {
    Short(u8, [u8; SHORT]),
    Long(Box<str>),
}

impl Name {
    /// No name.
    pub const NONE: Self = Self(Kept::Short(0, [0; SHORT]));

    /// The name, if there is one.
    #[inline]
    pub fn get(&self) -> Option<&str> {
        if self.is_none() { None } else { std::str::from_utf8(self.bytes()).ok() }
    }

    /// Whether there is none.
    #[inline]
    pub const fn is_none(&self) -> bool {
        matches!(self.0, Kept::Short(0, _))
    }

    /// Takes `name` instead.
    #[inline]
    pub fn set(&mut self, name: &str) {
        if let Kept::Short(length, bytes) = &mut self.0
            && let Some(place) = bytes.get_mut(..name.len())
        {
            place.copy_from_slice(name.as_bytes());
            #[allow(clippy::cast_possible_truncation)] // at most SHORT
            {
                *length = name.len() as u8;
            }
        } else {
            *self = Self::from(name);
        }
    }

    /// Forgets the name.
    #[inline]
    pub fn clear(&mut self) {
        match &mut self.0 {
            Kept::Short(length, _) => *length = 0,
            Kept::Long(_) => *self = Self::NONE,
        }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match &self.0 {
            Kept::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Kept::Long(text) => text.as_bytes(),
        }
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        let mut short = Self::NONE;
        if name.len() > SHORT {
            return Self(Kept::Long(name.into()));
        }
        short.set(name);
        short
    }
}

impl Default for Name {
    fn default() -> Self {
        Self::NONE
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_whatever_its_length() {
        for length in [0, 1, SHORT - 1, SHORT, SHORT + 1, 4096] {
            let text = "é".repeat(length / 2) + &"a".repeat(length % 2);
            let mut name = Name::from(text.as_str());
            assert_eq!(name.get(), (!text.is_empty()).then_some(text.as_str()));
            name.set("other");
            assert_eq!(name, Name::from("other"));
            name.set(&text);
            assert_eq!(name, Name::from(text.as_str()));
            name.clear();
            assert_eq!(name.get(), None);
        }
    }
}

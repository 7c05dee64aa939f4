//! Text: a `str` of Python's that may hold half a character, as names of files and models do; that half is replaced.

use std::borrow::Cow;
use std::ops::Deref;

use pyo3::prelude::*;
use pyo3::types::PyString;

/// A text of a caller's, to name something by.
pub(super) struct Text<'a>(Cow<'a, str>);

impl<'a, 'py> FromPyObject<'a, 'py> for Text<'a> {
    type Error = PyErr;

    #[inline]
    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.extract::<&'a str>() {
            return Ok(Self(Cow::Borrowed(text)));
        }
        Ok(Self(Cow::Owned(object.cast::<PyString>()?.to_string_lossy().into_owned())))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        &self.0
    }
}

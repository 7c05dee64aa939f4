//! Counting and cutting texts as RAGFlow does, in `cl100k_base`.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString};

use super::quiet;
use crate::py::counting::{count, on, utf8};
use crate::tokens::{Encoding, EncodingName};

fn encoding() -> &'static Encoding {
    EncodingName::Cl100kBase.get()
}

/// Number of tokens of a text; 0 for what is no text. Special tokens in the text are text.
#[pyfunction]
#[pyo3(signature = (string))]
pub(crate) fn num_tokens_from_string(string: &Bound<'_, PyAny>) -> PyResult<usize> {
    let Ok(string) = string.cast::<PyString>() else { return Ok(0) };
    let counted = count(encoding(), string);
    Ok(quiet(string.py(), counted)?.unwrap_or(0))
}

/// The same, but 0 for a text that holds a special token anywhere.
#[pyfunction]
#[pyo3(signature = (string))]
pub(crate) fn num_tokens_from_string_exact(string: &Bound<'_, PyAny>) -> PyResult<usize> {
    let Ok(string) = string.cast::<PyString>() else { return Ok(0) };
    let counted = on(string, |text| match encoding().find_special(text, |_| true) {
        Some(_) => 0,
        None => encoding().count(text),
    });
    Ok(quiet(string.py(), counted)?.unwrap_or(0))
}

/// The first `max_len` tokens of a text; a negative number leaves out as many at the end, `None` nothing.
///
/// A character that the cut divides becomes U+FFFD. Special tokens in the text are text. Raises `TypeError` for what is
/// no text.
#[pyfunction]
#[pyo3(signature = (string, max_len))]
pub(crate) fn truncate<'py>(string: &Bound<'py, PyString>, max_len: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    cut(string, max_len)
}

/// The same, but raises `ValueError` for a text that holds a special token anywhere.
#[pyfunction]
#[pyo3(signature = (string, max_len))]
pub(crate) fn truncate_exact<'py>(
    string: &Bound<'py, PyString>,
    max_len: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let special = on(string, |text| encoding().find_special(text, |_| true).map(str::to_owned))?;
    if let Some(special) = special {
        return Err(PyValueError::new_err(format!(
            "Encountered text corresponding to disallowed special token {}.",
            PyString::new(string.py(), &special).repr()?
        )));
    }
    cut(string, max_len)
}

fn cut<'py>(string: &Bound<'py, PyString>, max_len: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let limit = Limit::new(max_len)?;
    let end = on(string, |text| match limit {
        Limit::First(count) => encoding().truncate_bytes(text, count),
        Limit::AllBut(count) => encoding().truncate_bytes(text, encoding().count(text).saturating_sub(count)),
    })?;
    let (py, text) = (string.py(), utf8(string)?);
    let bytes = text.as_bytes().get(..end).unwrap_or(text.as_bytes());
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(PyString::new(py, text).into_any()),
        Err(_) => PyBytes::new(py, bytes).call_method1("decode", ("utf-8", "replace")),
    }
}

/// The end of Python's `[:max_len]`.
#[derive(Clone, Copy)]
enum Limit {
    First(usize),
    AllBut(usize),
}

impl Limit {
    fn new(max_len: &Bound<'_, PyAny>) -> PyResult<Self> {
        if max_len.is_none() {
            return Ok(Self::AllBut(0));
        }
        let number = match max_len.cast::<PyInt>() {
            Ok(number) => number.clone().into_any(),
            Err(_) if max_len.hasattr("__index__")? => max_len.call_method0("__index__")?,
            Err(_) => {
                let message = "slice indices must be integers or None or have an __index__ method";
                return Err(PyTypeError::new_err(message));
            }
        };
        let negative = number.lt(0)?;
        let size = number.abs()?.extract().unwrap_or(usize::MAX);
        Ok(if negative { Self::AllBut(size) } else { Self::First(size) })
    }
}

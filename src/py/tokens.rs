//! Token counters for Python: encodings by name, counts for a model, and of text that comes in parts.

#![allow(clippy::needless_pass_by_value)] // PyO3 hands arguments over by value

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::counting::{count, count_all, utf16};
use super::encoding::{Held, PyEncoding};
use super::text::Text;
use crate::tokens::{self, Counter, Encoding, EncodingName};

/// The caller's encoding, or that of the model.
fn chosen(model: Option<&str>, encoding: Option<&Bound<'_, PyAny>>) -> PyResult<Held> {
    let Some(encoding) = encoding else {
        return Ok(Held::Built(
            model.map_or(EncodingName::O200kBase, |model| tokens::encoding_for(model).encoding).get(),
        ));
    };
    if let Ok(encoding) = encoding.cast::<PyEncoding>() {
        return Ok(encoding.get().0.clone());
    }
    let name = encoding.extract::<Text<'_>>().map_err(|_| PyTypeError::new_err("encoding is a name or an Encoding"))?;
    Ok(Held::Built(named(&name)?))
}

fn named(name: &str) -> PyResult<&'static Encoding> {
    let found = EncodingName::from_name(name).ok_or_else(|| {
        let names = EncodingName::ALL.map(EncodingName::name).join(", ");
        PyValueError::new_err(format!("no encoding is named '{name}', there are {names}"))
    })?;
    Ok(found.get())
}

/// The encoding of that name: `o200k_base`, `cl100k_base`, `o200k_harmony`, `p50k_base`, `p50k_edit`, `r50k_base`, `gpt2`.
///
/// Needs no network and no file. Raises `ValueError` for another name.
#[pyfunction]
pub(super) fn get_encoding(encoding_name: Text<'_>) -> PyResult<PyEncoding> {
    Ok(PyEncoding(Held::Built(named(&encoding_name)?)))
}

/// Names of the encodings.
#[pyfunction]
pub(super) fn list_encoding_names(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    PyList::new(py, EncodingName::ALL.map(EncodingName::name))
}

/// Name of the encoding that a model's tokens are counted with, and whether the model really uses it.
///
/// A model whose tokenizer is not public is counted with `o200k_base`, as an estimate.
#[pyfunction]
pub(super) fn resolve_model(model: Text<'_>) -> (&'static str, bool) {
    let found = tokens::encoding_for(&model);
    (found.encoding.name(), found.exact)
}

/// Number of tokens of a text for a model, or in an encoding; `o200k_base` if neither is named.
///
/// Special tokens in the text are text. `encoding` is a name or an `Encoding`. A model whose tokenizer is not public is
/// counted with `o200k_base`, as an estimate.
#[pyfunction]
#[pyo3(signature = (text, model = None, *, encoding = None))]
pub(super) fn count_tokens(
    text: &Bound<'_, PyString>,
    model: Option<Text<'_>>,
    encoding: Option<&Bound<'_, PyAny>>,
) -> PyResult<usize> {
    let encoding = chosen(model.as_deref(), encoding)?;
    count(&encoding, text)
}

/// Numbers of tokens of many texts, counted in parallel without the GIL; `threads` is by default one a processor.
#[pyfunction]
#[pyo3(signature = (texts, model = None, *, encoding = None, threads = None))]
pub(super) fn count_tokens_batch(
    py: Python<'_>,
    texts: Vec<Bound<'_, PyString>>,
    model: Option<Text<'_>>,
    encoding: Option<&Bound<'_, PyAny>>,
    threads: Option<usize>,
) -> PyResult<Vec<usize>> {
    let encoding = chosen(model.as_deref(), encoding)?;
    count_all(py, &encoding, &texts, threads)
}

/// Number of tokens of a text if it is at most `limit`, else `None`, without reading further than needed.
#[pyfunction]
#[pyo3(signature = (text, limit, model = None, *, encoding = None))]
pub(super) fn count_until(
    text: &Bound<'_, PyString>,
    limit: isize,
    model: Option<Text<'_>>,
    encoding: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<usize>> {
    PyEncoding(chosen(model.as_deref(), encoding)?).count_until(text, limit)
}

/// The beginning of a text that its first `max_tokens` tokens make, without reading further than needed.
///
/// Ends with a whole character. With `broken` the bytes of a character that the last token leaves in half become
/// U+FFFD, as in tiktoken's `decode(encode(text)[:max_tokens])`.
#[pyfunction]
#[pyo3(signature = (text, max_tokens, model = None, *, encoding = None, broken = false))]
pub(super) fn truncate_tokens<'py>(
    text: &Bound<'py, PyString>,
    max_tokens: isize,
    model: Option<Text<'_>>,
    encoding: Option<&Bound<'py, PyAny>>,
    broken: bool,
) -> PyResult<Bound<'py, PyString>> {
    PyEncoding(chosen(model.as_deref(), encoding)?).truncate(text, max_tokens, broken)
}

/// Counts a text that is fed in parts, exactly as if it had come at once, wherever it is split.
#[pyclass(name = "Counter", module = "ragmeter.tokens", frozen)]
pub(super) struct PyCounter(Mutex<Fed>);

struct Fed {
    counter: Counter<Held>,
    /// The first half of a pair of surrogates whose second half may come.
    half: Option<u16>,
}

#[pymethods]
impl PyCounter {
    #[new]
    #[pyo3(signature = (model = None, *, encoding = None))]
    fn new(model: Option<Text<'_>>, encoding: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        Ok(Self(Mutex::new(Fed { counter: Counter::new(chosen(model.as_deref(), encoding)?), half: None })))
    }

    /// Adds text.
    fn feed(&self, text: &Bound<'_, PyString>) -> PyResult<()> {
        // Neither the lock nor what it guards is held while Python runs.
        let plain = text.to_str().ok();
        let units = if plain.is_none() { utf16(text)? } else { Vec::new() };
        let mut fed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (plain, fed.half) {
            (Some(""), _) => {}
            (Some(text), None) => fed.counter.feed(text),
            (Some(text), Some(_)) => {
                fed.half = None;
                fed.counter.feed("\u{FFFD}");
                fed.counter.feed(text);
            }
            (None, half) => {
                let mut units: Vec<u16> = half.into_iter().chain(units).collect();
                fed.half = units.pop_if(|unit| (0xD800..0xDC00).contains(unit));
                fed.counter.feed(&String::from_utf16_lossy(&units));
            }
        }
        Ok(())
    }

    /// Number of tokens of all text so far.
    #[getter]
    fn tokens(&self) -> usize {
        let fed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if fed.half.is_some() { fed.counter.tokens_with("\u{FFFD}") } else { fed.counter.tokens() }
    }
}

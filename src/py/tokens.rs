//! Token counters for Python.

#![allow(clippy::needless_pass_by_value)] // PyO3 hands arguments over by value

use std::borrow::Cow;

use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PySet, PyString};

use crate::tokens::{Encoding, EncodingName};

/// Texts from this size on are counted without the GIL; releasing it costs as much as counting a line.
const DETACH: usize = 1 << 13;

/// A tokenizer of OpenAI, with the methods of tiktoken's `Encoding`.
///
/// Counts and encodes exactly as tiktoken does. Immutable; safe to share, copy and pickle.
#[pyclass(name = "Encoding", module = "ragmeter.tokens", frozen)]
pub(super) struct PyEncoding(&'static Encoding);

/// The text as tiktoken sees it: pairs of surrogates joined, lone ones replaced by U+FFFD.
fn utf8<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, str>> {
    if let Ok(text) = text.to_str() {
        return Ok(Cow::Borrowed(text));
    }
    let units = text.call_method1("encode", ("utf-16-le", "surrogatepass"))?;
    let (units, _) = units.cast::<PyBytes>()?.as_bytes().as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    Ok(Cow::Owned(String::from_utf16_lossy(&units)))
}

/// Runs `work` on the text, without the GIL if that pays.
fn on<T: Send>(text: &Bound<'_, PyString>, work: impl Send + FnOnce(&str) -> T) -> PyResult<T> {
    let py = text.py();
    let text = utf8(text)?;
    Ok(if text.len() < DETACH { work(&text) } else { py.detach(|| work(&text)) })
}

/// The special tokens that the caller named: `"all"` or a collection.
enum Named {
    All,
    Some(Vec<String>),
}

impl Named {
    fn new(names: &Bound<'_, PyAny>) -> PyResult<Self> {
        if names.cast::<PyString>().is_ok_and(|names| names == "all") {
            return Ok(Self::All);
        }
        Ok(Self::Some(names.try_iter()?.map(|name| name?.extract()).collect::<PyResult<_>>()?))
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(names) => names.iter().any(|other| other == name),
        }
    }
}

impl PyEncoding {
    /// tiktoken's rules: raises for a disallowed special token in the text, and tells which ones are special.
    fn check(
        &self,
        text: &Bound<'_, PyString>,
        allowed: Option<&Bound<'_, PyAny>>,
        disallowed: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Named> {
        let allowed = allowed.map_or(Ok(Named::Some(Vec::new())), Named::new)?;
        let disallowed = disallowed.map_or(Ok(Named::All), Named::new)?;
        let refused = |token: &str| match &disallowed {
            Named::All => !allowed.has(token),
            Named::Some(names) => names.iter().any(|name| name == token),
        };
        if matches!(&disallowed, Named::Some(names) if names.is_empty()) {
            return Ok(allowed);
        }
        if let Some(token) = self.0.find_special(&utf8(text)?, refused) {
            let token = PyString::new(text.py(), token).repr()?;
            return Err(PyValueError::new_err(format!(
                "Encountered text corresponding to disallowed special token {token}.\n\
                 If you want this text to be encoded as a special token, \
                 pass it to `allowed_special`, e.g. `allowed_special={{{token}, ...}}`.\n\
                 If you want this text to be encoded as normal text, disable the check for this token \
                 by passing `disallowed_special=(enc.special_tokens_set - {{{token}}})`.\n\
                 To disable this check for all special tokens, pass `disallowed_special=()`.\n"
            )));
        }
        Ok(allowed)
    }

    fn bytes_of(&self, tokens: &[u32]) -> PyResult<Vec<u8>> {
        self.0.decode_bytes(tokens).map_err(|error| PyKeyError::new_err(error.to_string()))
    }
}

#[pymethods]
impl PyEncoding {
    /// Name of the encoding, such as `o200k_base`.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    /// Number of tokens of a text; special tokens in it are text.
    fn count(&self, text: &Bound<'_, PyString>) -> PyResult<usize> {
        on(text, |text| self.0.count(text))
    }

    /// Number of tokens of a text if it is at most `limit`, else `None`, without reading further than needed.
    fn count_until(&self, text: &Bound<'_, PyString>, limit: usize) -> PyResult<Option<usize>> {
        on(text, |text| self.0.count_until(text, limit))
    }

    /// The tokens of a text; special tokens in it are text.
    fn encode_ordinary(&self, text: &Bound<'_, PyString>) -> PyResult<Vec<u32>> {
        on(text, |text| self.0.encode(text))
    }

    /// The tokens of a text.
    ///
    /// Raises `ValueError` for a special token in the text, unless it is in `allowed_special`, which makes it one
    /// token, or `disallowed_special` leaves it out, which makes it text. Both are collections of texts or `"all"`.
    #[pyo3(signature = (text, *, allowed_special = None, disallowed_special = None))]
    fn encode(
        &self,
        text: &Bound<'_, PyString>,
        allowed_special: Option<&Bound<'_, PyAny>>,
        disallowed_special: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<u32>> {
        match self.check(text, allowed_special, disallowed_special)? {
            Named::Some(allowed) if allowed.is_empty() => on(text, |text| self.0.encode(text)),
            allowed => on(text, |text| self.0.encode_with_special(text, |token| allowed.has(token))),
        }
    }

    /// The bytes of tokens.
    fn decode_bytes<'py>(&self, py: Python<'py>, tokens: Vec<u32>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.bytes_of(&tokens)?))
    }

    /// The text of tokens; what is not UTF-8 is handled as `bytes.decode` does with `errors`.
    #[pyo3(signature = (tokens, errors = "replace"))]
    fn decode<'py>(&self, py: Python<'py>, tokens: Vec<u32>, errors: &str) -> PyResult<Bound<'py, PyAny>> {
        let bytes = self.bytes_of(&tokens)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(PyString::new(py, text).into_any()),
            Err(_) => PyBytes::new(py, &bytes).call_method1("decode", ("utf-8", errors)),
        }
    }

    /// The bytes of one token, special or not. Raises `KeyError` for an unknown one.
    fn decode_single_token_bytes<'py>(&self, py: Python<'py>, token: u32) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.0.token_bytes(token).ok_or_else(|| PyKeyError::new_err(token.to_string()))?;
        Ok(PyBytes::new(py, bytes))
    }

    /// The bytes of each token.
    fn decode_tokens_bytes<'py>(&self, py: Python<'py>, tokens: Vec<u32>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        tokens.into_iter().map(|token| self.decode_single_token_bytes(py, token)).collect()
    }

    /// The token of exactly this text or these bytes, special or not. Raises `KeyError` if there is none.
    fn encode_single_token(&self, text_or_bytes: &Bound<'_, PyAny>) -> PyResult<u32> {
        let bytes = if let Ok(text) = text_or_bytes.cast::<PyString>() {
            text.to_str()?.as_bytes().to_vec()
        } else {
            text_or_bytes.extract::<Vec<u8>>()?
        };
        self.0.token_of(&bytes).ok_or_else(|| PyKeyError::new_err(bytes))
    }

    /// The bytes of all tokens that are not special.
    fn token_byte_values<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.0.token_byte_values().map(|bytes| PyBytes::new(py, bytes)).collect()
    }

    /// Whether a token is special.
    fn is_special_token(&self, token: u32) -> bool {
        self.0.is_special(token)
    }

    /// The token that ends a text.
    #[getter]
    fn eot_token(&self) -> PyResult<u32> {
        self.0.token_of(b"<|endoftext|>").ok_or_else(|| PyKeyError::new_err("<|endoftext|>"))
    }

    /// One more than the highest token.
    #[getter]
    fn n_vocab(&self) -> u32 {
        self.0.max_token() + 1
    }

    /// The highest token.
    #[getter]
    fn max_token_value(&self) -> u32 {
        self.0.max_token()
    }

    /// The texts of the special tokens.
    #[getter]
    fn special_tokens_set<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySet>> {
        PySet::new(py, self.0.special_tokens().map(|(text, _)| text))
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (&'static str,))> {
        Ok((py.import("ragmeter.tokens")?.getattr("get_encoding")?, (self.0.name(),)))
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyDict>) -> Py<Self> {
        slf
    }
}

/// The encoding of that name: `o200k_base`, `cl100k_base`, `o200k_harmony`, `p50k_base`, `p50k_edit`, `r50k_base`, `gpt2`.
///
/// Needs no network and no file. Raises `ValueError` for another name.
#[pyfunction]
#[pyo3(signature = (encoding_name, /))]
pub(super) fn get_encoding(encoding_name: &str) -> PyResult<PyEncoding> {
    let name = EncodingName::from_name(encoding_name).ok_or_else(|| {
        let names = EncodingName::ALL.map(EncodingName::name).join(", ");
        PyValueError::new_err(format!("no encoding is named '{encoding_name}', there are {names}"))
    })?;
    Ok(PyEncoding(name.get()))
}

/// Names of the encodings.
#[pyfunction]
pub(super) fn list_encoding_names(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    PyList::new(py, EncodingName::ALL.map(EncodingName::name))
}

/// Number of tokens of a text for a model, or in an encoding; `o200k_base` if neither is named.
///
/// Special tokens in the text are text. `encoding` is a name or an `Encoding`.
#[pyfunction]
#[pyo3(signature = (text, model = None, *, encoding = None))]
pub(super) fn count_tokens(
    text: &Bound<'_, PyString>,
    model: Option<&str>,
    encoding: Option<&Bound<'_, PyAny>>,
) -> PyResult<usize> {
    let _ = model;
    let encoding = match encoding {
        None => EncodingName::O200kBase.get(),
        Some(encoding) => {
            if let Ok(encoding) = encoding.cast::<PyEncoding>() {
                encoding.get().0
            } else if let Ok(name) = encoding.cast::<PyString>() {
                get_encoding(name.to_str()?)?.0
            } else {
                return Err(PyTypeError::new_err("encoding is a name or an Encoding"));
            }
        }
    };
    on(text, |text| encoding.count(text))
}

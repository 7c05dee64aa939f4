//! Encoding for Python: a tokenizer with the methods of tiktoken's.

#![allow(clippy::needless_pass_by_value)] // PyO3 hands arguments over by value

use std::borrow::{Borrow, Cow};
use std::ops::Deref;
use std::sync::Arc;

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PySet, PyString, PyTuple};

use super::counting::{count, count_all, on, on_all, threads, utf8};
use crate::tokens::{self, Encoding};

/// A tokenizer of OpenAI, with the methods of tiktoken's `Encoding`.
///
/// Counts and encodes exactly as tiktoken does. Immutable; safe to share, copy and pickle.
#[pyclass(name = "Encoding", module = "ragmeter.tokens", frozen)]
pub(super) struct PyEncoding(pub(super) Held);

/// An encoding that is built in, or one from the caller's vocabulary.
#[derive(Clone)]
pub(super) enum Held {
    Built(&'static Encoding),
    Own(Arc<Encoding>),
}

impl Deref for Held {
    type Target = Encoding;

    fn deref(&self) -> &Encoding {
        match self {
            Self::Built(encoding) => encoding,
            Self::Own(encoding) => encoding,
        }
    }
}

impl Borrow<Encoding> for Held {
    fn borrow(&self) -> &Encoding {
        self
    }
}

/// A limit as a number of tokens: what is below 0 is 0.
fn limit(limit: isize) -> usize {
    usize::try_from(limit).unwrap_or(0)
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
        let found = match &disallowed {
            Named::Some(names) if names.is_empty() => return Ok(allowed),
            Named::All => self.0.find_special(&utf8(text)?, |token| !allowed.has(token)).map(str::to_owned),
            Named::Some(names) => {
                let text = utf8(text)?;
                let places = names.iter().filter_map(|name| Some((text.find(&**name)?, name)));
                places.min().map(|(_, name)| name.clone())
            }
        };
        if let Some(token) = found {
            let token = PyString::new(text.py(), &token).repr()?;
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
    /// An encoding of your own, as tiktoken's constructor makes it; `pat_str` is the pattern of an encoding of OpenAI.
    #[new]
    #[pyo3(signature = (name, *, pat_str, mergeable_ranks, special_tokens, explicit_n_vocab = None))]
    fn new(
        py: Python<'_>,
        name: &str,
        pat_str: &str,
        mergeable_ranks: &Bound<'_, PyDict>,
        special_tokens: std::collections::HashMap<String, u32>,
        explicit_n_vocab: Option<usize>,
    ) -> PyResult<Self> {
        let mergeable_ranks: Vec<(Vec<u8>, u32)> = mergeable_ranks
            .iter()
            .map(|rank| (&rank.0, &rank.1).into_pyobject(py)?.extract())
            .collect::<PyResult<_>>()?;
        let size = mergeable_ranks.len() + special_tokens.len();
        if let Some(expected) = explicit_n_vocab.filter(|expected| *expected != size) {
            return Err(PyValueError::new_err(format!("{name} has {size} tokens, not {expected}")));
        }
        let encoding = py.detach(|| Encoding::from_ranks(name, pat_str, mergeable_ranks, special_tokens));
        Ok(Self(Held::Own(Arc::new(encoding.map_err(|error| PyValueError::new_err(error.to_string()))?))))
    }

    /// Name of the encoding, such as `o200k_base`.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    /// The regular expression that splits text into pieces.
    #[getter]
    fn pat_str(&self) -> &'static str {
        self.0.pattern()
    }

    /// Number of tokens of a text; special tokens in it are text.
    fn count(&self, text: &Bound<'_, PyString>) -> PyResult<usize> {
        count(&self.0, text)
    }

    /// Number of tokens of a text if it is at most `limit`, else `None`, without reading further than needed.
    pub(super) fn count_until(&self, text: &Bound<'_, PyString>, limit: isize) -> PyResult<Option<usize>> {
        if limit < 0 {
            return Ok(None);
        }
        let text_bytes = utf8(text)?;
        Ok(self.0.count_until(&text_bytes, self::limit(limit)))
    }

    /// Numbers of tokens of many texts, counted in parallel without the GIL; special tokens in them are text.
    #[pyo3(signature = (texts, *, threads = None))]
    fn count_batch(
        &self,
        py: Python<'_>,
        texts: Vec<Bound<'_, PyString>>,
        threads: Option<usize>,
    ) -> PyResult<Vec<usize>> {
        count_all(py, &self.0, &texts, threads)
    }

    /// The beginning of a text that its first `max_tokens` tokens make, without reading further than needed.
    ///
    /// Ends with a whole character. With `broken` the bytes of a character that the last token leaves in half become
    /// U+FFFD, as in tiktoken's `decode(encode(text)[:max_tokens])`.
    #[pyo3(signature = (text, max_tokens, *, broken = false))]
    pub(super) fn truncate<'py>(
        &self,
        text: &Bound<'py, PyString>,
        max_tokens: isize,
        broken: bool,
    ) -> PyResult<Bound<'py, PyString>> {
        let py = text.py();
        let whole = utf8(text)?;
        let end = py.detach(|| self.0.truncate_bytes(&whole, limit(max_tokens)));
        let kept = if broken {
            String::from_utf8_lossy(whole.as_bytes().get(..end).unwrap_or_default())
        } else {
            Cow::Borrowed(tokens::whole(&whole, end))
        };
        // The caller's own object, unless it holds surrogates that became U+FFFD.
        let same = kept.len() == whole.len() && matches!(whole, Cow::Borrowed(_));
        Ok(if same { text.clone() } else { PyString::new(py, &kept) })
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

    /// The tokens of many texts, found in parallel without the GIL; special tokens in them are text.
    #[pyo3(signature = (text, *, num_threads = None))]
    fn encode_ordinary_batch(
        &self,
        py: Python<'_>,
        text: Vec<Bound<'_, PyString>>,
        num_threads: Option<usize>,
    ) -> PyResult<Vec<Vec<u32>>> {
        on_all(py, &text, |texts| self.0.encode_batch(texts, threads(num_threads)))
    }

    /// The tokens of many texts; special tokens as in `encode`.
    #[pyo3(signature = (text, *, num_threads = None, allowed_special = None, disallowed_special = None))]
    fn encode_batch(
        &self,
        py: Python<'_>,
        text: Vec<Bound<'_, PyString>>,
        num_threads: Option<usize>,
        allowed_special: Option<&Bound<'_, PyAny>>,
        disallowed_special: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<Vec<u32>>> {
        let mut special = false;
        for text in &text {
            special |= !matches!(self.check(text, allowed_special, disallowed_special)?, Named::Some(names) if names.is_empty());
        }
        if special {
            return text.iter().map(|text| self.encode(text, allowed_special, disallowed_special)).collect();
        }
        self.encode_ordinary_batch(py, text, num_threads)
    }

    /// The texts of many lists of tokens.
    #[pyo3(signature = (batch, *, errors = "replace", num_threads = None))]
    fn decode_batch<'py>(
        &self,
        py: Python<'py>,
        batch: Vec<Vec<u32>>,
        errors: &str,
        num_threads: Option<usize>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let _ = num_threads;
        batch.into_iter().map(|tokens| self.decode(py, tokens, errors)).collect()
    }

    /// The bytes of many lists of tokens.
    #[pyo3(signature = (batch, *, num_threads = None))]
    fn decode_bytes_batch<'py>(
        &self,
        py: Python<'py>,
        batch: Vec<Vec<u32>>,
        num_threads: Option<usize>,
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let _ = num_threads;
        batch.into_iter().map(|tokens| self.decode_bytes(py, tokens)).collect()
    }

    /// The text of tokens and the character at which each of them starts. Raises `UnicodeDecodeError` for bytes that are
    /// not UTF-8.
    fn decode_with_offsets<'py>(&self, py: Python<'py>, tokens: Vec<u32>) -> PyResult<(Bound<'py, PyAny>, Vec<usize>)> {
        let (mut characters, mut offsets) = (0_usize, Vec::with_capacity(tokens.len()));
        for &token in &tokens {
            let bytes = self.0.token_bytes(token).ok_or_else(|| PyKeyError::new_err(token.to_string()))?;
            let continues = bytes.first().is_some_and(|byte| byte & 0xC0 == 0x80);
            offsets.push(characters.saturating_sub(usize::from(continues)));
            characters += bytes.iter().filter(|byte| *byte & 0xC0 != 0x80).count();
        }
        Ok((self.decode(py, tokens, "strict")?, offsets))
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
        self.0.tokens().map(|(_, bytes)| PyBytes::new(py, bytes)).collect()
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
        format!("{:?}", &*self.0)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let module = py.import("ragmeter.tokens.encoding")?;
        if let Held::Built(encoding) = self.0 {
            return Ok((module.getattr("get_encoding")?, (encoding.name(),).into_pyobject(py)?));
        }
        let ranks = PyDict::new(py);
        for (id, bytes) in self.0.tokens() {
            ranks.set_item(PyBytes::new(py, bytes), id)?;
        }
        let specials = PyDict::new(py);
        for (text, id) in self.0.special_tokens() {
            specials.set_item(text, id)?;
        }
        let arguments = (self.0.name(), self.0.pattern(), ranks, specials).into_pyobject(py)?;
        Ok((module.getattr("_own_encoding")?, arguments))
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyDict>) -> Py<Self> {
        slf
    }
}

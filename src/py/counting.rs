//! Counting: work on the caller's texts, without the GIL where that pays.

use std::borrow::Cow;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::units::units;
use crate::tokens::Encoding;

/// Texts from this size on are counted without the GIL; releasing it costs as much as counting a line.
const DETACH: usize = 1 << 13;

/// The text as tiktoken sees it: pairs of surrogates joined, lone ones replaced by U+FFFD.
pub(super) fn utf8<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, str>> {
    if let Ok(text) = text.to_str() {
        return Ok(Cow::Borrowed(text));
    }
    Ok(Cow::Owned(String::from_utf16_lossy(&utf16(text)?)))
}

/// The text in units of 16 bits, halves of characters as they are.
pub(super) fn utf16(text: &Bound<'_, PyString>) -> PyResult<Vec<u16>> {
    let units = text.call_method1("encode", ("utf-16-le", "surrogatepass"))?;
    let (units, _) = units.cast::<PyBytes>()?.as_bytes().as_chunks::<2>();
    Ok(units.iter().map(|unit| u16::from_le_bytes(*unit)).collect())
}

/// Number of tokens of a text, counted without the GIL if that pays.
pub(super) fn count(encoding: &Encoding, string: &Bound<'_, PyString>) -> PyResult<usize> {
    match units(string) {
        Some(text) if text.size() < DETACH => Ok(encoding.count_text(text)),
        Some(text) => Ok(string.py().detach(|| encoding.count_text(text))),
        None => on(string, |text| encoding.count(text)),
    }
}

/// Numbers of tokens of many texts, counted in parallel without the GIL.
pub(super) fn count_all(
    py: Python<'_>,
    encoding: &Encoding,
    strings: &[Bound<'_, PyString>],
    threads: Option<usize>,
) -> PyResult<Vec<usize>> {
    let threads = self::threads(threads);
    match strings.iter().map(units).collect::<Option<Vec<_>>>() {
        Some(texts) => Ok(py.detach(|| encoding.count_texts(&texts, threads))),
        None => on_all(py, strings, |texts| encoding.count_batch(texts, threads)),
    }
}

/// Runs `work` on the texts without the GIL.
pub(super) fn on_all<T: Send>(
    py: Python<'_>,
    texts: &[Bound<'_, PyString>],
    work: impl Send + FnOnce(&[Cow<'_, str>]) -> T,
) -> PyResult<T> {
    let texts = texts.iter().map(utf8).collect::<PyResult<Vec<_>>>()?;
    Ok(py.detach(|| work(&texts)))
}

/// How many threads to count with: as many as wanted, else one a processor.
pub(super) fn threads(wanted: Option<usize>) -> usize {
    wanted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
}

/// Runs `work` on the text, without the GIL if that pays.
pub(super) fn on<T: Send>(text: &Bound<'_, PyString>, work: impl Send + FnOnce(&str) -> T) -> PyResult<T> {
    let py = text.py();
    let text = utf8(text)?;
    Ok(if text.len() < DETACH { work(&text) } else { py.detach(|| work(&text)) })
}

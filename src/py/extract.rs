//! The readers for Python: one whole answer, one stream, one stream to be passed on.

#![allow(clippy::doc_markdown)] // docstrings, read in Python
#![allow(clippy::needless_pass_by_value)] // PyO3 hands arguments over by value

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyList, PyMemoryView, PyString, PyTuple};

use super::kinds;
use super::payload;
use super::text::Text;
use super::usage::PyUsage;
use crate::health::{HEALTH, Reason};
use crate::provider::{Collector, Facts, Hints};
use crate::stream::{StreamFilter, UsageStream, read_usage};
use crate::usage::{Flag, Usage};

/// How deep lists of chunks nest at most; a list may hold itself.
const MOST_NESTED: usize = 4;

/// Gives access to a stream, for as long as what it is given runs.
type Access<'a> = &'a mut dyn FnMut(&mut dyn FnMut(&mut UsageStream));

/// Read the token usage out of a model's answer.
///
/// Never raises on bad content: what cannot be read is `None` or has flags, and `health()` counts why.
///
/// Args:
///     answer: An SDK's response object, a dict, a list of stream chunks, or the bytes or text of a JSON body, of
///         server-sent events, JSON lines, a JSON array, or an AWS event stream.
///     provider: Who answered (`openai`, `anthropic`, `google`, …). Without it shape and arithmetic decide.
///     api: Which of the provider's APIs answered (`chat`, `embeddings`, …).
///     stream: Whether bytes or text are a stream. `False`: one JSON document; what stands behind it is not read and
///         flagged `malformed`. `True`: JSON may also stand on lines of its own between events and comments. Without
///         it the first byte decides.
///     headers: Headers of the answer; read where they carry counts and the body does not (Amazon Bedrock).
///
/// Returns:
///     The usage, or `None` if the answer says nothing of it.
#[pyfunction]
#[pyo3(signature = (answer, *, provider = None, api = None, stream = None, headers = None))]
pub(super) fn extract_usage<'py>(
    answer: &Bound<'py, PyAny>,
    provider: Option<Text<'py>>,
    api: Option<Text<'py>>,
    stream: Option<bool>,
    headers: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyUsage>>> {
    let hints = Hints { provider: provider.as_deref(), api: api.as_deref(), stream };
    let mut made = None;
    guarded(|| {
        let usage = match headers.filter(|headers| !headers.is_none()) {
            None => read(answer, &hints),
            Some(headers) => read_with_headers(answer, &hints, headers),
        };
        note_health(usage.as_ref());
        made = usage.map(|usage| Bound::new(answer.py(), PyUsage(usage)));
    });
    made.transpose()
}

/// Keeps a panic away from the host. There is none that we know of.
fn guarded(work: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
        HEALTH.add(Reason::Panic);
    }
}

fn note_health(usage: Option<&Usage>) {
    match usage {
        None => HEALTH.add(Reason::NoUsage),
        Some(usage) if usage.flags.has(Flag::Malformed) => HEALTH.add(Reason::BadCount),
        Some(_) => {}
    }
}

#[inline]
pub(super) fn read(answer: &Bound<'_, PyAny>, hints: &Hints<'_>) -> Option<Usage> {
    if let Ok(bytes) = answer.cast::<PyBytes>() {
        return read_usage(bytes.as_bytes(), hints);
    }
    if let Ok(text) = answer.cast::<PyString>() {
        return read_usage(text.to_string_lossy().as_bytes(), hints);
    }
    if kinds::is_object(answer) {
        let mut facts = Facts::default();
        payload::tell(answer, &mut facts, &mut Collector::default());
        if facts.is_plain() {
            return crate::provider::usage_of(&mut facts, hints);
        }
    }
    let mut stream = UsageStream::new(*hints);
    feed_any(answer, false, &mut |feed| feed(&mut stream));
    stream.finish()
}

fn read_with_headers(answer: &Bound<'_, PyAny>, hints: &Hints<'_>, headers: &Bound<'_, PyAny>) -> Option<Usage> {
    let mut stream = UsageStream::new(*hints);
    if let Ok(items) = headers.call_method0("items").and_then(|items| items.try_iter()) {
        for item in items.flatten() {
            if let Ok((name, value)) = item.extract::<(String, String)>() {
                stream.header(&name, &value);
            }
        }
    }
    feed_any(answer, false, &mut |feed| feed(&mut stream));
    stream.finish()
}

/// Feeds what `with` gives access to. An object is looked at before: it may run Python code, which must find no lock.
fn feed_any(chunk: &Bound<'_, PyAny>, keep_text: bool, with: Access<'_>) {
    feed_nested(chunk, keep_text, with, 0);
}

fn feed_nested(chunk: &Bound<'_, PyAny>, keep_text: bool, with: Access<'_>, depth: usize) {
    if depth > MOST_NESTED {
        return HEALTH.add(Reason::Unreadable);
    }
    if let Ok(bytes) = chunk.cast::<PyBytes>() {
        with(&mut |stream| stream.feed(bytes.as_bytes()));
    } else if let Ok(text) = chunk.cast::<PyString>() {
        let text = text.to_string_lossy();
        with(&mut |stream| stream.feed(text.as_bytes()));
    } else if let Ok(list) = chunk.cast::<PyList>() {
        list.iter().for_each(|item| feed_nested(&item, keep_text, with, depth + 1));
    } else if kinds::is_object(chunk) {
        feed_object(chunk, keep_text, with);
    } else if let Ok(list) = chunk.cast::<PyTuple>() {
        list.iter().for_each(|item| feed_nested(&item, keep_text, with, depth + 1));
    } else if chunk.is_instance_of::<PyByteArray>() || chunk.is_instance_of::<PyMemoryView>() {
        // A copy: what the object shows may change while it is read, and the limited API has no buffers before 3.11.
        if let Ok(Ok(bytes)) = chunk.py().get_type::<PyBytes>().call1((chunk,)).map(Bound::cast_into::<PyBytes>) {
            with(&mut |stream| stream.feed(bytes.as_bytes()));
        }
    } else {
        HEALTH.add(Reason::Unreadable);
    }
}

fn feed_object(chunk: &Bound<'_, PyAny>, keep_text: bool, with: Access<'_>) {
    let (mut facts, mut text) = (Facts::default(), Collector::new(keep_text));
    payload::tell(chunk, &mut facts, &mut text);
    with(&mut |stream| stream.feed_facts(&mut facts, &text));
}

/// Reads the usage of a streamed answer while it arrives. Memory does not grow with the stream.
///
/// Args:
///     provider: Who answers. Without it shape and arithmetic decide.
///     api: Which of the provider's APIs answers.
///     keep_text: Also keep the text and the arguments of tool calls that the model delivers.
///
/// Example:
///     >>> stream = UsageStream()
///     >>> stream.feed(b'data: {"choices": [], "usage": {"prompt_tok')
///     >>> stream.feed(b'ens": 12, "completion_tokens": 3}}\n\n')
///     >>> stream.finish().total_tokens
///     15
#[pyclass(name = "UsageStream", module = "ragmeter", frozen)]
pub(super) struct PyUsageStream(Mutex<UsageStream>);

impl PyUsageStream {
    fn lock(&self) -> MutexGuard<'_, UsageStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PyUsageStream {
    #[new]
    #[pyo3(signature = (provider = None, api = None, *, keep_text = false))]
    fn new(provider: Option<Text<'_>>, api: Option<Text<'_>>, keep_text: bool) -> Self {
        let stream = UsageStream::new(Hints { provider: provider.as_deref(), api: api.as_deref(), stream: None });
        Self(Mutex::new(if keep_text { stream.keeping_text() } else { stream }))
    }

    /// Read the next piece: bytes or text split anywhere, or one chunk as the SDK hands it out.
    fn feed(&self, chunk: &Bound<'_, PyAny>) {
        let keep_text = self.lock().keeps_text();
        guarded(|| feed_any(chunk, keep_text, &mut |feed| feed(&mut self.lock())));
    }

    /// End the stream; its usage, or `None` if it said nothing of it.
    fn finish(&self) -> Option<PyUsage> {
        let usage = self.lock().finish();
        note_health(usage.as_ref());
        usage.map(PyUsage)
    }

    /// The usage so far, `None` before the first.
    #[getter]
    fn usage(&self) -> Option<PyUsage> {
        self.lock().usage().map(PyUsage)
    }

    /// Model that answers, as the provider names it.
    #[getter]
    fn model(&self) -> Option<String> {
        self.lock().model().map(String::from)
    }

    /// The provider's id of the answer.
    #[getter]
    fn response_id(&self) -> Option<String> {
        self.lock().response_id().map(String::from)
    }

    /// Whether the provider said that the answer has ended, completely or not.
    #[getter]
    fn done(&self) -> bool {
        self.lock().done()
    }

    /// The delivered text and arguments of tool calls so far; `None` unless `keep_text` was asked for.
    #[getter]
    fn text(&self) -> Option<String> {
        self.lock().text().map(String::from)
    }
}

/// Passes the bytes of a stream of server-sent events on and reads its usage.
///
/// For a stream that was asked for usage on the user's behalf: with `swallow_usage` the user sees exactly the bytes
/// that he would have seen otherwise. The event that only brings the usage is dropped, `"usage": null` is taken out
/// of the others, and every other byte stays as it is.
///
/// Args:
///     swallow_usage: Take out what asking for usage added; otherwise pass everything on at once.
///     keep_text: Also keep the text and the arguments of tool calls that the model delivers.
#[pyclass(name = "StreamFilter", module = "ragmeter", frozen)]
pub(super) struct PyStreamFilter(Mutex<StreamFilter>);

impl PyStreamFilter {
    fn lock(&self) -> MutexGuard<'_, StreamFilter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PyStreamFilter {
    #[new]
    #[pyo3(signature = (swallow_usage, keep_text = false))]
    fn new(swallow_usage: bool, keep_text: bool) -> Self {
        Self(Mutex::new(StreamFilter::new(swallow_usage, keep_text)))
    }

    /// Read the next bytes; returns those to pass on. An incomplete event is held back.
    fn feed<'py>(&self, py: Python<'py>, data: &[u8]) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.lock().feed(data))
    }

    /// End the stream; returns the bytes that were held back.
    fn finish<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.lock().finish())
    }

    /// The usage so far, `None` before the first.
    #[getter]
    fn usage(&self) -> Option<PyUsage> {
        self.lock().usage().map(PyUsage)
    }

    /// Model that answers, as the provider names it.
    #[getter]
    fn model(&self) -> Option<String> {
        self.lock().stream().model().map(String::from)
    }

    /// The provider's id of the answer.
    #[getter]
    fn response_id(&self) -> Option<String> {
        self.lock().stream().response_id().map(String::from)
    }

    /// Whether the answer has ended: `[DONE]` or an event that says so.
    #[getter]
    fn done(&self) -> bool {
        self.lock().stream().done()
    }

    /// The delivered text and arguments of tool calls so far; `None` unless `keep_text` was asked for.
    #[getter]
    fn text(&self) -> Option<String> {
        self.lock().stream().text().map(String::from)
    }
}

//! Sink: where an agent run of RAGFlow adds up its tokens, and the two `ContextVar`s that RAGFlow keeps for a run.

use std::sync::atomic::{AtomicI64, Ordering};

use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyDict, PyInt, PyList, PyMapping, PyString};

#[cfg(not(any(Py_GIL_DISABLED, Py_LIMITED_API, PyPy, GraalPy)))]
use super::in_place;
use super::{int, quiet};
use crate::py::run::PyCall;
use crate::py::scope::{named_variable, value_of};
use crate::unit::Unit;

const KEYS: [&str; 4] = ["prompt_tokens", "completion_tokens", "total_tokens", "calls"];

/// Counts of a run: `prompt_tokens`, `completion_tokens`, `total_tokens`, `calls`.
///
/// Reads and writes like the dict that RAGFlow uses, with these four keys and no others. Saturates at 2**63 - 1.
#[pyclass(name = "TokenUsageSink", module = "ragmeter.ragflow", frozen, mapping)]
#[derive(Default)]
pub(crate) struct PySink([AtomicI64; 4]);

impl PySink {
    fn add(&self, counts: [i64; 3], calls: i64) {
        let [prompt, completion, total] = counts;
        for (sum, count) in self.0.iter().zip([prompt, completion, total, calls]) {
            add(sum, count);
        }
    }

    fn sums(&self) -> [i64; 4] {
        self.0.each_ref().map(|sum| sum.load(Ordering::Relaxed))
    }

    fn position(key: &Bound<'_, PyAny>) -> Option<usize> {
        let key = key.cast::<PyString>().ok()?.to_str().ok()?;
        KEYS.iter().position(|known| *known == key)
    }

    fn value(&self, key: &Bound<'_, PyAny>) -> Option<i64> {
        self.sums().get(Self::position(key)?).copied()
    }
}

#[pymethods]
impl PySink {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn __getitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<i64> {
        self.value(key).ok_or_else(|| PyKeyError::new_err(key.clone().unbind()))
    }

    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: i64) -> PyResult<()> {
        let position = Self::position(key).ok_or_else(|| PyKeyError::new_err(key.clone().unbind()))?;
        if let Some(sum) = self.0.get(position) {
            sum.store(value, Ordering::Relaxed);
        }
        Ok(())
    }

    #[allow(clippy::unused_self)] // a slot of Python's
    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err(format!("a TokenUsageSink keeps its keys, also {}", key.repr()?)))
    }

    #[allow(clippy::unused_self)]
    fn __len__(&self) -> usize {
        KEYS.len()
    }

    #[allow(clippy::unused_self)]
    fn __contains__(&self, key: &Bound<'_, PyAny>) -> bool {
        Self::position(key).is_some()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.as_dict(py)?.try_iter()?.into_any())
    }

    /// The four keys.
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        Ok(self.as_dict(py)?.keys())
    }

    /// The four counts.
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        Ok(self.as_dict(py)?.values())
    }

    /// Keys and counts.
    fn items<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        Ok(self.as_dict(py)?.items())
    }

    /// The count of `key`, else `default`.
    #[pyo3(signature = (key, default = None, /))]
    fn get<'py>(&self, key: &Bound<'py, PyAny>, default: Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let py = key.py();
        match self.value(key) {
            Some(value) => Ok(value.into_pyobject(py)?.into_any()),
            None => Ok(default.unwrap_or_else(|| py.None().into_bound(py))),
        }
    }

    /// A dict of the counts as they are now.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let sums = self.sums();
        let dict = PyDict::new(py);
        for (key, sum) in KEYS.iter().zip(sums) {
            dict.set_item(PyString::intern(py, key), sum)?;
        }
        Ok(dict)
    }

    /// The same.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.as_dict(py)
    }

    /// Adds a recorded call; a listener for `ragmeter.run(listeners=[sink.hear])`.
    ///
    /// Only the first part of a call that several share counts as a call.
    fn hear(&self, call: &PyCall) {
        let usage = &call.0.usage;
        let count = |unit| i64::try_from(usage.get(unit).unwrap_or(0)).unwrap_or(i64::MAX);
        let (prompt, completion) = (count(Unit::Input), count(Unit::Output));
        self.add([prompt, completion, prompt.saturating_add(completion)], i64::from(call.0.part == 0));
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        if let Ok(other) = other.cast::<Self>() {
            return Ok(self.sums() == other.get().sums());
        }
        Ok(other.cast::<PyMapping>().is_ok() && self.as_dict(other.py())?.eq(other)?)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.as_dict(py)?.repr()?.to_string())
    }
}

/// Adds, saturating. The GIL keeps other threads away, and a locked instruction costs five times as much.
#[cfg(not(any(Py_GIL_DISABLED, Py_LIMITED_API)))]
fn add(sum: &AtomicI64, count: i64) {
    sum.store(sum.load(Ordering::Relaxed).saturating_add(count), Ordering::Relaxed);
}

#[cfg(any(Py_GIL_DISABLED, Py_LIMITED_API))]
fn add(sum: &AtomicI64, count: i64) {
    let _ = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sum| Some(sum.saturating_add(count)));
}

/// RAGFlow's `token_usage_sink`.
pub(crate) fn sink_variable(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static VARIABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    named_variable(py, &VARIABLE, "ragflow_token_usage_sink")
}

/// RAGFlow's `langfuse_run_attrs`.
pub(crate) fn attrs_variable(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static VARIABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    named_variable(py, &VARIABLE, "ragflow_langfuse_run_attrs")
}

/// Add one model call to the sink of the agent run, if there is one.
///
/// Without a sink nothing is looked at. What cannot be added is left out; keys before it stay added.
#[pyfunction]
#[pyo3(
    signature = (prompt_tokens = None, completion_tokens = None, total_tokens = None),
    text_signature = "(prompt_tokens=0, completion_tokens=0, total_tokens=0)"
)]
pub(crate) fn record_run_token_usage(
    py: Python<'_>,
    prompt_tokens: Option<&Bound<'_, PyAny>>,
    completion_tokens: Option<&Bound<'_, PyAny>>,
    total_tokens: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let Some(sink) = value_of(sink_variable(py)?) else { return Ok(()) };
    if sink.is_none() {
        return Ok(());
    }
    let given = [prompt_tokens, completion_tokens, total_tokens];
    if let Some(counts) = plain(given) {
        if let Ok(sink) = sink.cast_exact::<PySink>() {
            sink.get().add(counts, 1);
            return Ok(());
        }
        if let Ok(dict) = sink.cast_exact::<PyDict>()
            && with_critical_section(dict, || add_to_dict(dict, counts))
        {
            return Ok(());
        }
    }
    let added = add_slowly(&sink, given);
    if let Err(error) = &added
        && quiet(py, Err::<(), _>(error.clone_ref(py)))?.is_none()
    {
        let told = PyDict::new(py);
        told.set_item("exc_info", error.value(py))?;
        let message = ("Failed to record run token usage",);
        return py.import("logging")?.call_method("debug", message, Some(&told)).map(drop);
    }
    added
}

/// The counts if all of them are plain ints of 64 bits.
fn plain(given: [Option<&Bound<'_, PyAny>>; 3]) -> Option<[i64; 3]> {
    let mut counts = [0; 3];
    for (count, given) in counts.iter_mut().zip(given) {
        if let Some(given) = given {
            *count = given.cast_exact::<PyInt>().ok()?.extract().ok()?;
        }
    }
    Some(counts)
}

/// Adds to a dict whose values are plain ints; runs no Python code. `false` if it has to be done slowly, nothing is
/// added then.
fn add_to_dict(dict: &Bound<'_, PyDict>, counts: [i64; 3]) -> bool {
    let py = dict.py();
    let [prompt, completion, total] = counts;
    let counts = [prompt, completion, total, 1];
    let keys = [
        intern!(py, "prompt_tokens"),
        intern!(py, "completion_tokens"),
        intern!(py, "total_tokens"),
        intern!(py, "calls"),
    ];
    #[cfg(not(any(Py_GIL_DISABLED, Py_LIMITED_API, PyPy, GraalPy)))]
    if let Some(sums) = in_place::add(dict, keys, counts) {
        return keys.iter().zip(sums).all(|(key, sum)| sum.is_none_or(|sum| dict.set_item(key, sum).is_ok()));
    }
    let mut sums = [0; 4];
    for (sum, (key, count)) in sums.iter_mut().zip(keys.iter().zip(counts)) {
        let Ok(Some(value)) = dict.get_item(key) else { return false };
        let Ok(value) = value.cast_exact::<PyInt>() else { return false };
        let Some(added) = value.extract::<i64>().ok().and_then(|value| value.checked_add(count)) else { return false };
        *sum = added;
    }
    keys.iter().zip(sums).all(|(key, sum)| dict.set_item(key, sum).is_ok())
}

/// `sink[key] += int(count or 0)` key by key, for any sink and any counts, as RAGFlow writes it.
fn add_slowly(sink: &Bound<'_, PyAny>, given: [Option<&Bound<'_, PyAny>>; 3]) -> PyResult<()> {
    static LOCK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = sink.py();
    let lock = LOCK.get_or_try_init(py, || PyResult::Ok(py.import("threading")?.call_method0("RLock")?.unbind()))?;
    lock.call_method0(py, intern!(py, "acquire"))?;
    let added = add_one_by_one(sink, given);
    lock.call_method0(py, intern!(py, "release"))?;
    added
}

fn add_one_by_one(sink: &Bound<'_, PyAny>, given: [Option<&Bound<'_, PyAny>>; 3]) -> PyResult<()> {
    let py = sink.py();
    let iadd = py.import(intern!(py, "operator"))?.getattr(intern!(py, "iadd"))?;
    let [prompt, completion, total] = given;
    let one = 1_i64.into_pyobject(py)?.into_any();
    for (key, count) in KEYS.iter().zip([prompt, completion, total, Some(&one)]) {
        let mut sum = sink.get_item(key)?;
        let count = match count {
            Some(count) if count.is_truthy()? => int(count)?,
            _ => 0_i64.into_pyobject(py)?.into_any(),
        };
        if sink.is_exact_instance_of::<PyDict>() {
            sum = sink.get_item(key)?; // `int` may have let others add
        }
        sink.set_item(key, iadd.call1((sum, count))?)?;
    }
    Ok(())
}

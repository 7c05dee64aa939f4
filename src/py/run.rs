//! Run, its totals and its calls for Python.

use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::meter::report;
use super::scope::{dim, labels_dict};
use super::text::Text;
use super::usage::PyUsage;
use crate::call::{Call, Dim};
use crate::id::{Id, now};
use crate::run::{self, Listener, Run};
use crate::totals::Totals;

/// A unit of work and what the calls inside it cost. Made by `ragmeter.run()`; safe to read from any thread, also
/// while calls come in.
#[pyclass(name = "Run", module = "ragmeter", frozen)]
pub(super) struct PyRun(pub(super) Arc<Run>);

#[pymethods]
impl PyRun {
    /// A run inside `outer` that keeps its `keep_calls` newest calls one by one.
    ///
    /// Each of `listeners` hears every call: a `Run` adds it to its totals, a function is called with the `Call`; its
    /// errors are counted in `health()` and go no further.
    #[new]
    #[pyo3(signature = (name = None, outer = None, keep_calls = 0, listeners = None))]
    #[allow(clippy::needless_pass_by_value)] // a Text is the caller's argument
    fn new(
        name: Option<Text<'_>>,
        outer: Option<&PyRun>,
        keep_calls: usize,
        listeners: Option<Vec<Bound<'_, PyAny>>>,
    ) -> Self {
        Self::open(name.as_deref(), outer.map(|run| Arc::clone(&run.0)), keep_calls, listeners)
    }

    /// Lets `resume` find this run by its id while it is in use, and returns the id.
    fn carry(&self) -> String {
        run::carry(&self.0);
        self.id()
    }

    /// The run that was carried under `id`, else a new one of that id. Raises `ValueError` if `id` is no UUID.
    #[staticmethod]
    #[pyo3(signature = (id, name = None))]
    #[allow(clippy::needless_pass_by_value)]
    fn resume(id: &str, name: Option<Text<'_>>) -> PyResult<Self> {
        let id = Id::parse(id).ok_or_else(|| PyValueError::new_err(format!("a run's id is a UUID, not '{id}'")))?;
        let run = run::carried(id).unwrap_or_else(|| {
            let run = Arc::new(Run::with_id(id, name.as_deref(), None, 0, now()));
            run::carry(&run);
            run
        });
        Ok(Self(run))
    }

    /// Unique id, a UUIDv7.
    #[getter]
    fn id(&self) -> String {
        self.0.id.to_string()
    }

    /// What the user calls it.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// When it began, in microseconds since 1970 (UTC).
    #[getter]
    fn began(&self) -> u64 {
        self.0.began
    }

    /// The run around this one.
    #[getter]
    fn outer(&self) -> Option<Self> {
        self.0.outer().cloned().map(Self)
    }

    /// What all its calls cost together.
    #[getter]
    fn totals(&self) -> PyRunTotals {
        PyRunTotals(self.0.totals())
    }

    /// The counts of all its calls together.
    #[getter]
    fn usage(&self) -> PyUsage {
        PyUsage(self.0.totals().usage())
    }

    /// How many calls it made, those without known counts included.
    #[getter]
    fn calls(&self) -> u64 {
        self.0.totals().calls()
    }

    /// What its calls cost, told apart by one label or several.
    ///
    /// One key gives a dict by that label (`by("role")["extract"]`), several a dict by tuples. A call without the label
    /// stands under `None`. The sums over the dict equal `totals`.
    ///
    /// Raises `TypeError` without a key or for a name that is no label.
    #[pyo3(signature = (*keys))]
    fn by<'py>(&self, py: Python<'py>, keys: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyDict>> {
        let dims: Vec<Dim> = keys.iter().map(|key| dim(&key.extract::<String>()?)).collect::<PyResult<_>>()?;
        if dims.is_empty() {
            return Err(PyTypeError::new_err("by() needs at least one label, such as 'role'"));
        }
        let dict = PyDict::new(py);
        for (key, totals) in self.0.by(&dims) {
            let totals = PyRunTotals(totals).into_pyobject(py)?;
            match &*key {
                [only] => dict.set_item(only.as_deref(), totals)?,
                several => dict.set_item(PyTuple::new(py, several.iter().map(Option::as_deref))?, totals)?,
            }
        }
        Ok(dict)
    }

    /// The newest calls, oldest first: as many as `ragmeter.run(keep_calls=…)` asked for.
    fn calls_list(&self) -> Vec<PyCall> {
        self.0.calls().into_iter().map(PyCall).collect()
    }

    fn __eq__(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn __hash__(&self) -> u64 {
        Arc::as_ptr(&self.0).addr() as u64
    }

    /// `id`, `name`, `began` and the totals, ready for JSON.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("id", self.id())?;
        dict.set_item("name", self.name())?;
        dict.set_item("began", self.began())?;
        dict.update(self.totals().as_dict(py)?.as_mapping())?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        let totals = self.0.totals();
        let name = self.0.name.as_deref().map(|name| format!("'{name}', ")).unwrap_or_default();
        let total = totals.counts.total().map_or_else(|| "None".to_owned(), |total| total.to_string());
        format!("Run({name}calls={}, total_tokens={total})", totals.calls())
    }
}

impl PyRun {
    pub(super) fn open(
        name: Option<&str>,
        outer: Option<Arc<Run>>,
        keep_calls: usize,
        listeners: Option<Vec<Bound<'_, PyAny>>>,
    ) -> Self {
        let run = Run::new(name, outer, keep_calls);
        let listener = |listener: Bound<'_, PyAny>| -> Arc<dyn Listener> {
            match listener.cast::<PyRun>() {
                Ok(run) => Arc::clone(&run.get().0) as _,
                Err(_) => Arc::new(PyListener(listener.unbind())),
            }
        };
        run.listen(listeners.into_iter().flatten().map(listener).collect());
        Self(Arc::new(run))
    }
}

/// A Python function that hears calls.
struct PyListener(Py<PyAny>);

impl Listener for PyListener {
    fn hear(&self, call: &Call) {
        Python::attach(|py| {
            if let Err(error) = self.0.call1(py, (PyCall(call.clone()),)) {
                report(py, "a listener of calls", &error);
            }
        });
    }

    fn identity(&self) -> usize {
        self.0.as_ptr().addr()
    }
}

/// What several calls cost together.
#[pyclass(name = "RunTotals", module = "ragmeter", frozen, eq)]
#[derive(Clone, PartialEq)]
pub(super) struct PyRunTotals(pub(super) Totals);

#[pymethods]
impl PyRunTotals {
    /// Their counts.
    #[getter]
    fn usage(&self) -> PyUsage {
        PyUsage(self.0.usage())
    }

    /// How many calls there were.
    #[getter]
    fn calls(&self) -> u64 {
        self.0.calls()
    }

    /// How many calls the provider reported on.
    #[getter]
    fn reported_calls(&self) -> u64 {
        self.0.reported
    }

    /// How many calls were estimated.
    #[getter]
    fn estimated_calls(&self) -> u64 {
        self.0.estimated
    }

    /// How many calls nobody knows the counts of.
    #[getter]
    fn unknown_calls(&self) -> u64 {
        self.0.unknown
    }

    /// How many calls a cache of the host's own spared. They are no calls.
    #[getter]
    fn cache_hits(&self) -> u64 {
        self.0.savings.hits
    }

    /// How many of the `cache_hits` were estimated.
    #[getter]
    fn estimated_cache_hits(&self) -> u64 {
        self.0.savings.estimated_hits
    }

    /// The tokens that the `cache_hits` would have cost, in and out. No part of the usage.
    #[getter]
    fn saved_tokens(&self) -> u64 {
        self.0.savings.tokens
    }

    fn __add__(&self, other: &Self) -> Self {
        let mut sum = self.0;
        sum.merge(&other.0);
        Self(sum)
    }

    /// `calls`, the calls by origin, and the usage, ready for JSON.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("calls", self.0.calls())?;
        dict.set_item("reported_calls", self.0.reported)?;
        dict.set_item("estimated_calls", self.0.estimated)?;
        dict.set_item("unknown_calls", self.0.unknown)?;
        dict.set_item("cache_hits", self.0.savings.hits)?;
        dict.set_item("saved_tokens", self.0.savings.tokens)?;
        dict.set_item("usage", self.usage().as_dict(py)?)?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        format!("RunTotals(calls={}, usage={})", self.0.calls(), self.usage().__repr__())
    }
}

/// One request to a model API.
#[pyclass(name = "Call", module = "ragmeter", frozen)]
pub(super) struct PyCall(pub(super) Call);

#[pymethods]
impl PyCall {
    /// Unique id, a UUIDv7.
    #[getter]
    fn id(&self) -> String {
        self.0.id.to_string()
    }

    /// When it was recorded, in microseconds since 1970 (UTC).
    #[getter]
    fn at(&self) -> u64 {
        self.0.at
    }

    /// Id of the innermost run around it.
    #[getter]
    fn run(&self) -> Option<String> {
        self.0.run.map(|id| id.to_string())
    }

    /// 1 for the first try of the host, 2 for the next, …
    #[getter]
    fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// 0, or which part it is of a call that several share; the parts have one id and add up to the call.
    #[getter]
    fn part(&self) -> u32 {
        self.0.part
    }

    /// What it cost.
    #[getter]
    fn usage(&self) -> PyUsage {
        PyUsage(self.0.usage.clone())
    }

    /// Who spent it, by name: `model`, `provider`, `operation`, `role`, `document`, `tenant`, …
    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        labels_dict(py, &self.0.labels)
    }

    fn __repr__(&self) -> String {
        let usage = PyUsage(self.0.usage.clone()).__repr__();
        let labels: Vec<String> =
            self.0.labels.iter().map(|(dim, label)| format!("{}='{label}'", dim.name())).collect();
        format!("Call({}, {usage})", labels.join(", "))
    }
}

//! Ledger for Python.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::rows::{bucket_of, call_dict, dims, filter, letter_dict, parse_id, put_sum, sum_dict};
use super::scope::labels_dict;
use crate::error::{Error, Kind};
use crate::id::{Id, Micros, now};
use crate::ledger::outbox::State;
use crate::ledger::tables::Value;
use crate::ledger::{Config, Durability, Event, Ledger, PricedRow, Search, Span, Tariff};
use crate::meter::meter;
use crate::run::Listener;

/// The longest body of an event.
const MOST_BODY: usize = 1 << 20;

create_exception!(
    ragmeter,
    LedgerError,
    PyException,
    "The ledger cannot do what was asked; `kind` says why in a word."
);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        if error.kind == Kind::Invalid {
            return PyValueError::new_err(error.to_string());
        }
        let raised = LedgerError::new_err(error.to_string());
        Python::attach(|py| {
            let _ = raised.value(py).setattr("kind", error.kind.name());
        });
        raised
    }
}

/// The durable book of calls. Made by `ragmeter.Ledger.open()`.
#[pyclass(name = "LedgerCore", module = "ragmeter", frozen, subclass)]
pub(super) struct PyLedger {
    pub(super) ledger: &'static Ledger,
    ear: Mutex<Option<Arc<dyn Listener>>>,
}

#[pymethods]
#[allow(clippy::needless_pass_by_value)] // what Python hands over is owned
impl PyLedger {
    #[new]
    #[pyo3(signature = (url, durability = "relaxed", journal = None, journal_limit = 1_073_741_824))]
    fn new(url: &str, durability: &str, journal: Option<std::path::PathBuf>, journal_limit: u64) -> PyResult<Self> {
        let durability = Durability::from_name(durability).ok_or_else(|| {
            PyValueError::new_err(format!("durability is 'relaxed', 'journal' or 'fsync', not '{durability}'"))
        })?;
        let config = Config { durability, journal, journal_limit, settled_by_caller: true };
        Ok(Self { ledger: Ledger::open(url, config)?, ear: Mutex::new(None) })
    }

    /// Connects and brings the schema up to date. Raises `LedgerError` if that cannot be done.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.ledger.check())?)
    }

    /// Where it is, without its password.
    #[getter]
    fn url(&self) -> String {
        self.ledger.target.to_string()
    }

    /// `relaxed`, `journal` or `fsync`.
    #[getter]
    fn durability(&self) -> &'static str {
        self.ledger.durability().name()
    }

    /// Folder of the journal.
    #[getter]
    fn journal(&self) -> std::path::PathBuf {
        self.ledger.folder().to_path_buf()
    }

    /// Hears every call from now on. Doing it again does nothing.
    fn attach(&self) {
        let mut ear = self.ear.lock().unwrap_or_else(PoisonError::into_inner);
        if ear.is_none() {
            let listener = self.ledger.listener();
            meter().listen(Arc::clone(&listener));
            *ear = Some(listener);
            super::meter::SETTLING.set(self.ledger);
        }
    }

    /// Hears calls no more.
    fn detach(&self) {
        if let Some(ear) = self.ear.lock().unwrap_or_else(PoisonError::into_inner).take() {
            meter().unlisten(&ear);
            super::meter::SETTLING.unset(self.ledger);
        }
    }

    /// Waits up to `timeout` seconds until the database has every call recorded so far; whether it has.
    #[pyo3(signature = (timeout = 10.0))]
    fn flush(&self, py: Python<'_>, timeout: f64) -> bool {
        py.detach(|| self.ledger.flush(seconds(timeout)))
    }

    /// Flushes and stops hearing. What the database does not take in time stays in the journal; a later process finds it.
    #[pyo3(signature = (timeout = 10.0))]
    fn close(&self, py: Python<'_>, timeout: f64) -> bool {
        self.detach();
        py.detach(|| self.ledger.close(seconds(timeout)))
    }

    /// What happened to the ledger in this process, by name.
    fn health<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, count) in self.ledger.health.snapshot() {
            dict.set_item(name, count)?;
        }
        Ok(dict)
    }

    /// Puts an event into the outbox, behind every call recorded before; returns its id.
    /// A body of more than a mebibyte, which not every server takes, is a `ValueError`.
    fn send(&self, py: Python<'_>, destination: &str, subject: &str, kind: &str, body: &str) -> PyResult<String> {
        if body.len() > MOST_BODY {
            return Err(PyValueError::new_err(format!("an event has at most {MOST_BODY} bytes, not {}", body.len())));
        }
        let at = now();
        let (destination, subject, kind, body) = (destination.into(), subject.into(), kind.into(), body.into());
        let event = Event { id: Id::new(at), at, destination, subject, kind, body };
        py.detach(|| {
            self.ledger.append_event(&event);
            if self.ledger.durability() != Durability::Relaxed {
                self.ledger.settle();
            }
        });
        Ok(event.id.to_string())
    }

    /// Sums of the roll-ups: a list of dicts with `key`, `bucket`, `usage` and the numbers of calls.
    #[pyo3(signature = (by, labels, since = None, until = None, bucket = None))]
    fn sums<'py>(
        &self,
        py: Python<'py>,
        by: Vec<String>,
        labels: &Bound<'py, PyDict>,
        since: Option<Micros>,
        until: Option<Micros>,
        bucket: Option<&str>,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let (by, filter, bucket) = (dims(&by)?, filter(labels, since, until)?, bucket_of(bucket)?);
        let rows = py.detach(|| self.ledger.usage(&by, &filter, bucket))?;
        rows.into_iter().map(|row| sum_dict(py, row.key, row.bucket, &row.sum)).collect()
    }

    /// The same summed up from single calls, told apart by how many of the `thresholds` their input is beyond (`beyond`)
    /// and by slots of so many microseconds (`slot`).
    #[pyo3(signature = (by, labels, thresholds, slot = None, since = None, until = None, bucket = None))]
    #[allow(clippy::too_many_arguments)]
    fn priced<'py>(
        &self,
        py: Python<'py>,
        by: Vec<String>,
        labels: &Bound<'py, PyDict>,
        thresholds: Vec<u64>,
        slot: Option<Micros>,
        since: Option<Micros>,
        until: Option<Micros>,
        bucket: Option<&str>,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let (by, filter, bucket) = (dims(&by)?, filter(labels, since, until)?, bucket_of(bucket)?);
        let tariff = Tariff { thresholds, slot };
        let rows = py.detach(|| self.ledger.priced(&by, &filter, bucket, &tariff))?;
        let row = |row: PricedRow| {
            let dict = sum_dict(py, row.key, row.bucket, &row.sum)?;
            dict.set_item("beyond", row.beyond)?;
            dict.set_item("slot", row.slot)?;
            Ok(dict)
        };
        rows.into_iter().map(row).collect()
    }

    /// Where such calls are, for `page`: times from which and until which, and sets of labels if they are not too many.
    #[pyo3(signature = (labels, since = None, until = None))]
    fn search(
        &self,
        py: Python<'_>,
        labels: &Bound<'_, PyDict>,
        since: Option<Micros>,
        until: Option<Micros>,
    ) -> PyResult<(Vec<Span>, Option<Vec<i64>>)> {
        let filter = filter(labels, since, until)?;
        let found = py.detach(|| self.ledger.search(&filter))?;
        Ok((found.spans, found.sets))
    }

    /// Single calls in order of time, at most `limit` of those after the call `after`, where `search` found them.
    #[pyo3(signature = (labels, search, after = None, limit = 1000))]
    fn page<'py>(
        &self,
        py: Python<'py>,
        labels: &Bound<'py, PyDict>,
        search: (Vec<Span>, Option<Vec<i64>>),
        after: Option<(String, u32)>,
        limit: usize,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let filter = filter(labels, None, None)?;
        let after = after.map(|(id, part)| Ok::<_, PyErr>((parse_id(&id)?, part))).transpose()?;
        let search = Search { spans: search.0, sets: search.1 };
        let rows = py.detach(|| self.ledger.calls(&filter, &search, after, limit))?;
        rows.into_iter().map(|row| call_dict(py, row)).collect()
    }

    /// The single calls of these ids, with all their parts.
    fn calls_of<'py>(&self, py: Python<'py>, ids: Vec<String>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let ids: Vec<_> = ids.iter().map(|id| parse_id(id)).collect::<PyResult<_>>()?;
        let rows = py.detach(|| self.ledger.calls_of(&ids))?;
        rows.into_iter().map(|row| call_dict(py, row)).collect()
    }

    /// Compares roll-ups and calls: how many rows were compared, and the rows that differ.
    fn verify<'py>(&self, py: Python<'py>) -> PyResult<(usize, Vec<Bound<'py, PyDict>>)> {
        let (compared, differences) = py.detach(|| self.ledger.verify())?;
        let row = |difference: crate::ledger::Difference| {
            let dict = PyDict::new(py);
            dict.set_item("table", difference.table)?;
            dict.set_item("hour", difference.hour)?;
            dict.set_item("labels", labels_dict(py, &difference.labels)?)?;
            for (name, sum) in [("rolled_up", difference.rolled_up), ("calls", difference.calls)] {
                let numbers = PyDict::new(py);
                put_sum(&numbers, &sum)?;
                dict.set_item(name, numbers)?;
            }
            Ok(dict)
        };
        Ok((compared, differences.into_iter().map(row).collect::<PyResult<_>>()?))
    }

    /// Removes single calls of whole hours before `before`, in microseconds since 1970; the roll-ups stay.
    fn prune(&self, py: Python<'_>, before: Micros) -> PyResult<u64> {
        Ok(py.detach(|| self.ledger.prune(before))?)
    }

    /// Events of the outbox, oldest first.
    #[pyo3(signature = (state = None, limit = 1000))]
    fn letters<'py>(&self, py: Python<'py>, state: Option<&str>, limit: usize) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let state = state
            .map(|name| {
                let wrong = || PyValueError::new_err(format!("state is 'waiting', 'sent' or 'dead', not '{name}'"));
                State::from_name(name).ok_or_else(wrong)
            })
            .transpose()?;
        let letters = py.detach(|| self.ledger.letters(state, limit))?;
        letters.into_iter().map(|letter| letter_dict(py, &letter)).collect()
    }

    /// Tries dead events again, one or all; how many there were.
    #[pyo3(signature = (id = None))]
    fn retry_letters(&self, py: Python<'_>, id: Option<&str>) -> PyResult<u64> {
        let id = id.map(parse_id).transpose()?;
        Ok(py.detach(|| self.ledger.retry_letters(id))?)
    }

    /// Removes one event that was not sent, or all dead ones; how many there were.
    #[pyo3(signature = (id = None))]
    fn drop_letters(&self, py: Python<'_>, id: Option<&str>) -> PyResult<u64> {
        let id = id.map(parse_id).transpose()?;
        Ok(py.detach(|| self.ledger.drop_letters(id))?)
    }

    /// Rows of a SELECT about the tables beside the calls, one `?` for each value. Numbers may come as texts.
    #[pyo3(signature = (sql, values = None))]
    fn select(&self, py: Python<'_>, sql: String, values: Option<Vec<Value>>) -> PyResult<Vec<Vec<Value>>> {
        let statement = (sql, values.unwrap_or_default());
        Ok(py.detach(|| self.ledger.select(&statement))?)
    }

    /// Does all statements or none; how many rows each of them touched.
    fn change(&self, py: Python<'_>, statements: Vec<(String, Vec<Value>)>) -> PyResult<Vec<u64>> {
        Ok(py.detach(|| self.ledger.change(&statements))?)
    }

    fn __repr__(&self) -> String {
        format!("Ledger('{}', durability='{}')", self.url(), self.durability())
    }
}

impl<'py> FromPyObject<'_, 'py> for Value {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if value.is_none() {
            return Ok(Self::Null);
        }
        value.extract().map(Self::Int).or_else(|_| value.extract().map(Self::Text))
    }
}

impl<'py> IntoPyObject<'py> for Value {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Null => Ok(py.None().into_bound(py)),
            Self::Int(number) => Ok(number.into_pyobject(py)?.into_any()),
            Self::Text(text) => Ok(text.into_pyobject(py)?.into_any()),
        }
    }
}

fn seconds(timeout: f64) -> Duration {
    Duration::try_from_secs_f64(timeout.max(0.0)).unwrap_or(Duration::from_secs(86_400 * 365))
}

/// Lets `notice` hear what ledgers have to say: a text, and whether it is bad news.
#[pyfunction]
pub(super) fn set_ledger_notice(notice: Py<PyAny>) {
    crate::ledger::set_notice(Box::new(move |text, bad| {
        // Not while the interpreter ends: a thread that waits for it would never come back.
        Python::try_attach(|py| {
            if notice.call1(py, (text, bad)).is_err() {
                meter().health.count_error();
            }
        });
    }));
}

/// Must run before a fork, in the thread that forks.
#[pyfunction]
pub(super) fn before_fork(py: Python<'_>) {
    py.detach(|| {
        crate::ledger::fork::before();
        crate::quota::fork::before();
    });
}

/// Must run after a fork in the parent, in the thread that forked.
#[pyfunction]
pub(super) fn after_fork_in_parent() {
    crate::ledger::fork::after_in_parent();
    crate::quota::fork::after_in_parent();
}

//! Quota for Python.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::ledger::PyLedger;
use super::meter::report;
use crate::quota::{
    Ask, Cost, Ear, Hold, Limit, Measure, Part, Period, Policy, Quota, SCOPE, Standing, Unpriced, Verdict,
};
use crate::quota::{Warning, Who};

/// Tenant, user, model and operation.
type Names<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a str>);

const fn who((tenant, user, model, operation): Names<'_>) -> Who<'_> {
    [tenant, user, model, operation]
}

/// Where the sums are: in a ledger's database, or at a URL.
#[derive(FromPyObject)]
enum PyPlace<'py> {
    Ledger(Bound<'py, PyLedger>),
    Url(String),
}

/// What somebody may spend. Made by `ragmeter.Quota.open()`.
#[pyclass(name = "QuotaCore", module = "ragmeter", frozen, subclass)]
pub(super) struct PyQuota(&'static Quota);

/// A reservation; given back when nobody has it any more and it was not settled.
#[pyclass(name = "QuotaHold", module = "ragmeter", frozen)]
pub(super) struct PyHold {
    quota: &'static Quota,
    hold: Hold,
    /// One that was only found to have lapsed may be somebody's all the same, who was held up: it is not ours to give back.
    found: bool,
}

impl Drop for PyHold {
    fn drop(&mut self) {
        if !self.found {
            self.quota.release(&self.hold);
        }
    }
}

#[pymethods]
impl PyHold {
    /// Turns the reservation into what was spent; what is None counts as it was reserved. Waits for nothing; the quota's
    /// listener hears what to warn of.
    #[pyo3(signature = (tokens = None, calls = 1, money = None))]
    fn settle(&self, tokens: Option<u64>, calls: u64, money: Option<u64>) {
        self.quota.settle(&self.hold, &Cost { tokens, calls, money });
    }

    /// Settles a reservation of `lapsed`, once, whoever else does it too.
    fn recover(&self, py: Python<'_>, tokens: Option<u64>, calls: u64, money: Option<u64>) -> PyResult<()> {
        Ok(py.detach(|| self.quota.recover(&self.hold, &Cost { tokens, calls, money }))?)
    }

    /// Its id, for the record of the call that was made under it; None if no limit applies.
    #[getter]
    fn id(&self) -> Option<String> {
        (!self.hold.lines.is_empty()).then(|| self.hold.id.to_string())
    }

    /// Gives the reservation back.
    fn release(&self) {
        self.quota.release(&self.hold);
    }

    /// How many limits it is held against.
    fn __len__(&self) -> usize {
        self.hold.lines.len()
    }
}

#[pymethods]
impl PyQuota {
    #[new]
    #[pyo3(signature = (place, lease = 60.0))]
    fn new(place: PyPlace<'_>, lease: f64) -> PyResult<Self> {
        let lease = Duration::try_from_secs_f64(lease).map_err(|_| PyValueError::new_err("a lease is in seconds"))?;
        Ok(Self(match place {
            PyPlace::Ledger(ledger) => Quota::beside(ledger.get().ledger, lease),
            PyPlace::Url(url) => Quota::open(&url, lease)?,
        }))
    }

    /// Where the sums are, without a password.
    #[getter]
    fn url(&self) -> String {
        self.0.url()
    }

    /// Connects and reads the limits. Raises `LedgerError` if that cannot be done.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.0.check())?)
    }

    /// Adds a limit or replaces the one of that name. Labels are None for all together and `*` for each; money is in
    /// picodollars, marks are in thousandths.
    #[allow(clippy::too_many_arguments)] // one for each property
    fn put(
        &self,
        py: Python<'_>,
        name: &str,
        scope: Names<'_>,
        measure: &str,
        period: &str,
        amount: u64,
        policy: &str,
        unpriced: &str,
        marks: Vec<u16>,
    ) -> PyResult<()> {
        let scope = who(scope).map(|label| match label {
            None => Part::Any,
            Some("*") => Part::Each,
            Some(text) => Part::Is(text.into()),
        });
        let (measure, period) = (Measure::from_name(measure)?, Period::parse(period)?);
        let (policy, unpriced) = (Policy::from_name(policy)?, Unpriced::from_name(unpriced)?);
        let limit = Limit { name: name.into(), scope, measure, period, amount, policy, unpriced, marks };
        Ok(py.detach(|| self.0.put(limit))?)
    }

    /// Removes a limit; whether there was one.
    fn drop_limit(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        Ok(py.detach(|| self.0.remove(name))?)
    }

    /// Every limit.
    fn limits<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let limits = py.detach(|| self.0.limits())?;
        limits.iter().map(|limit| limit_dict(py, limit)).collect()
    }

    /// How the limits stand that such a call falls under.
    fn standing<'py>(&self, py: Python<'py>, scope: Names<'_>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let found = py.detach(|| self.0.standing(&who(scope)))?;
        found.iter().map(|standing| standing_dict(py, standing)).collect()
    }

    /// Reserves on every limit that applies, or on none. Returns the reservation and what to warn of; or None and how
    /// the limit stands that has no room (`asked` is in it, None if it is the price that nobody knows).
    #[allow(clippy::too_many_arguments)] // one for each unit
    #[pyo3(signature = (scope, tokens, calls, money, running = false, word = None, instead = None))]
    fn take<'py>(
        &self,
        py: Python<'py>,
        scope: Names<'_>,
        tokens: Option<u64>,
        calls: u64,
        money: Option<u64>,
        running: bool,
        word: Option<(&str, &str)>,
        instead: Option<&PyHold>,
    ) -> PyResult<(Option<PyHold>, Vec<Bound<'py, PyDict>>)> {
        let ask = Ask { who: who(scope), cost: Cost { tokens, calls, money }, running, word };
        let instead = instead.map(|other| &other.hold);
        let (standing, asked) = match py.detach(|| self.0.reserve(&ask, instead))? {
            Verdict::Reserved(hold, said) => {
                return Ok((Some(PyHold { quota: self.0, hold, found: false }), warnings(py, &said)?));
            }
            Verdict::Over(standing, asked) => (standing, Some(asked)),
            Verdict::Unpriced(standing) => (standing, None),
        };
        let dict = standing_dict(py, &standing)?;
        dict.set_item("asked", asked)?;
        Ok((None, vec![dict]))
    }

    /// Counts what was spent without a reservation. Returns what to warn of.
    fn charge<'py>(
        &self,
        py: Python<'py>,
        scope: Names<'_>,
        tokens: Option<u64>,
        calls: u64,
        money: Option<u64>,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let said = py.detach(|| self.0.charge(&who(scope), &Cost { tokens, calls, money }))?;
        warnings(py, &said)
    }

    /// Reservations that lapsed before they were settled or given back, of every process and the last day.
    fn lapsed(&self, py: Python<'_>) -> PyResult<Vec<PyHold>> {
        let holds = py.detach(|| self.0.lapsed())?;
        Ok(holds.into_iter().map(|hold| PyHold { quota: self.0, hold, found: true }).collect())
    }

    /// Lets functions hear what happens while nobody waits for it, in a thread of the quota's own: what to warn of, and
    /// reservations that have lapsed. Only the first listener does.
    fn listen(&self, warn: Py<PyAny>, lapsed: Py<PyAny>) {
        self.0.listen(Box::new(PyEar { quota: self.0, warn, lapsed }));
    }

    /// Does what was put off because the sums could not be reached; whether nothing is left of it.
    fn flush(&self, py: Python<'_>) -> bool {
        py.detach(|| self.0.flush())
    }

    /// Goes to the sums and back, on the connection that reservations use.
    fn ping(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.0.ping())?)
    }

    /// Writes down that `who` did something to a limit.
    fn note(&self, py: Python<'_>, kind: &str, limit: &str, who: &str, text: &str) -> PyResult<()> {
        Ok(py.detach(|| self.0.note(kind, limit, who, text))?)
    }

    /// What was written down, the newest first: `at`, `kind`, `limit`, `who`, `text`.
    #[pyo3(signature = (most = 100))]
    fn notes<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let notes = py.detach(|| self.0.notes(most))?;
        let dict = |note: &crate::quota::Note| {
            let dict = PyDict::new(py);
            dict.set_item("at", note.at)?;
            for (name, text) in [("kind", &note.kind), ("limit", &note.limit), ("who", &note.who), ("text", &note.text)]
            {
                dict.set_item(name, text)?;
            }
            Ok(dict)
        };
        notes.iter().map(dict).collect()
    }

    /// Counts in the health that a call was let through, or refused, because the sums could not be reached.
    fn count_blind(&self, refused: bool) {
        let health = &self.0.health;
        let counter = if refused { &health.refused_blind } else { &health.unguarded };
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// What happened to the quota in this process, by name.
    fn health<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, count) in self.0.health.snapshot() {
            dict.set_item(name, count)?;
        }
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        format!("Quota('{}')", self.0.url())
    }
}

struct PyEar {
    quota: &'static Quota,
    warn: Py<PyAny>,
    lapsed: Py<PyAny>,
}

impl PyEar {
    /// Not while the interpreter ends: a thread that waits for it would never come back.
    fn call<'a>(function: &Py<PyAny>, argument: impl for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyAny>> + 'a) {
        Python::try_attach(|py| {
            let called = argument(py).and_then(|argument| function.call1(py, (argument,)));
            if let Err(error) = called {
                report(py, "what a quota has to say", &error);
            }
        });
    }
}

impl Ear for PyEar {
    fn warn(&self, said: &[Warning]) {
        Self::call(&self.warn, |py| Ok(warnings(py, said)?.into_pyobject(py)?.into_any()));
    }

    fn lapsed(&self, holds: Vec<Hold>) {
        let quota = self.quota;
        let holds = holds.into_iter().map(move |hold| PyHold { quota, hold, found: true });
        Self::call(&self.lapsed, |py| Ok(holds.collect::<Vec<_>>().into_pyobject(py)?.into_any()));
    }
}

fn limit_dict<'py>(py: Python<'py>, limit: &Limit) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("name", &*limit.name)?;
    for (part, dim) in limit.scope.iter().zip(SCOPE) {
        let label = match part {
            Part::Any => None,
            Part::Each => Some("*"),
            Part::Is(text) => Some(&**text),
        };
        dict.set_item(dim.name(), label)?;
    }
    dict.set_item("measure", limit.measure.name())?;
    dict.set_item("per", limit.period.text())?;
    dict.set_item("limit", limit.amount)?;
    dict.set_item("policy", limit.policy.name())?;
    dict.set_item("unknown_price", limit.unpriced.name())?;
    dict.set_item("marks", &limit.marks)?;
    Ok(dict)
}

fn standing_dict<'py>(py: Python<'py>, standing: &Standing) -> PyResult<Bound<'py, PyDict>> {
    let dict = limit_dict(py, &standing.limit)?;
    dict.set_item("counted_for", &standing.counter.key)?;
    dict.set_item("used", standing.level.used)?;
    dict.set_item("reserved", standing.level.reserved)?;
    dict.set_item("resets_at", standing.counter.end.or(standing.level.frees_at))?;
    Ok(dict)
}

fn warnings<'py>(py: Python<'py>, said: &[Warning]) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let dict = |warning: &Warning| {
        let dict = standing_dict(py, &warning.standing)?;
        dict.set_item("mark", warning.mark)?;
        Ok(dict)
    };
    said.iter().map(dict).collect()
}

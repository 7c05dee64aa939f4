//! The open call: a model call of the host that has begun and not ended, and which of its witnesses is believed.
//!
//! Native because it is made, put in force and closed around every call of the host.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::estimate::Estimate;
use super::meter::{PyShare, Record, record_in, report};
use super::rows::parse_id;
use super::scope::{PyScope, named_variable, set_label, set_value, value_of, variable};
use super::usage::PyUsage;
use crate::call::Labels;
use crate::id::Id;
use crate::meter::meter;

/// A call of the host's model function that has begun and not ended. Made as `ragmeter.witness.OpenCall`.
#[pyclass(name = "OpenCallCore", module = "ragmeter", subclass, frozen)]
pub(super) struct PyOpenCall {
    scope: Option<Py<PyScope>>,
    labels: Py<PyDict>,
    /// The call that was running where this one was made; who records this one has seen a part of that.
    around: Option<Py<PyOpenCall>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    observed: bool,
    closed: bool,
    admitted: bool,
    exchanges: Option<Py<PyList>>,
    heard: Option<Py<PyList>>,
    told: Option<Py<PyList>>,
    shares: Option<Py<PyAny>>,
    divide: Option<Py<PyAny>>,
    /// What a quota has reserved for the call.
    hold: Option<Py<PyAny>>,
    /// What was in force before the call: the scope and the open call.
    before: Option<[Option<Py<PyAny>>; 2]>,
}

impl State {
    fn objects(&self) -> impl Iterator<Item = &Py<PyAny>> {
        let lists = [&self.exchanges, &self.heard, &self.told].into_iter().flatten().map(Py::as_any);
        lists.chain([&self.shares, &self.divide, &self.hold].into_iter().flatten())
    }
}

impl PyOpenCall {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list<'py>(&self, py: Python<'py>, which: impl Fn(&mut State) -> &mut Option<Py<PyList>>) -> Bound<'py, PyList> {
        if let Some(known) = which(&mut self.state()) {
            return known.bind(py).clone();
        }
        // Not under the lock: making it may collect garbage, and with it a stream that nobody has read, of this call.
        let made = PyList::empty(py).unbind();
        which(&mut self.state()).get_or_insert(made).bind(py).clone()
    }

    fn record(&self, py: Python<'_>, usage: &PyUsage, named: &(Labels, u32), id: Option<Id>) -> PyResult<()> {
        let shares = self.shares(py).map(|shares| shares.extract::<Vec<PyShare<'_>>>()).transpose()?;
        let scope = self.scope.as_ref().map(|scope| &*scope.get().scope);
        let (labels, attempt) = (named.0.as_ref(), named.1);
        record_in(py, scope, labels, &usage.0, Record { id, attempt, shares: shares.unwrap_or_default() })
    }

    /// Its labels, and which attempt of the host it is.
    fn named(&self, py: Python<'_>) -> PyResult<(Labels, u32)> {
        let (mut labels, mut attempt) = (Labels::default(), 1);
        for (name, label) in self.labels.bind(py) {
            if name.eq(intern!(py, "attempt"))? {
                attempt = label.extract()?;
            } else {
                set_label(&mut labels, &name, &label)?;
            }
        }
        Ok((labels, attempt))
    }

    fn finish(&self, py: Python<'_>, estimate: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let (hold, told, is_shared) = {
            let mut state = self.state();
            if std::mem::replace(&mut state.closed, true) {
                return Ok(());
            }
            let is_told = state.told.as_ref().is_some_and(|told| !told.bind(py).is_empty());
            if let (Some(around), true) = (&self.around, state.observed || is_told || estimate.is_some()) {
                around.get().set_observed(true);
            }
            if state.observed {
                return Ok(());
            }
            (state.hold.take(), state.told.as_ref().map(|told| told.clone_ref(py)), state.shares.is_some())
        };
        let told = told.map_or_else(|| PyList::empty(py), |told| told.into_bound(py));
        if let (Some(estimate), true, true) = (&estimate, told.is_empty(), hold.is_some() || is_shared) {
            // A quota waits for it; and what is shared may count in runs that nobody would ask here.
            told.append(estimate.call0()?)?;
        }
        let named = self.named(py)?;
        // What is settled together has one id only if it is one call.
        let id = match &hold {
            Some(hold) if told.len() == 1 => {
                Some(parse_id(&hold.getattr(py, intern!(py, "id"))?.extract::<String>(py)?)?)
            }
            _ => None,
        };
        for usage in &told {
            self.record(py, usage.cast_into::<PyUsage>()?.get(), &named, id)?;
        }
        if let Some(hold) = hold {
            return settle(hold.bind(py), &told);
        }
        if let (Some(estimate), true) = (estimate, told.is_empty()) {
            let scope = self.scope.as_ref().map(|scope| Arc::clone(&scope.get().scope));
            let due = Estimate::due(estimate.unbind(), scope.clone(), named);
            meter().defer(scope.as_deref(), &due);
        }
        Ok(())
    }
}

/// Ends a reservation with what the call cost.
fn settle(hold: &Bound<'_, PyAny>, told: &Bound<'_, PyList>) -> PyResult<()> {
    let py = hold.py();
    let mut usages = told.iter();
    let Some(first) = usages.next() else {
        return hold.call_method0(intern!(py, "release")).map(drop);
    };
    let sum = usages.try_fold(first, |sum, usage| sum.add(usage))?;
    let calls = PyDict::new(py);
    calls.set_item(intern!(py, "calls"), told.len())?;
    hold.call_method(intern!(py, "settle"), (sum,), Some(&calls)).map(drop)
}

#[pymethods]
impl PyOpenCall {
    /// Whether `hear` records what observers saw, under names of the host's own, so that they need not.
    #[classattr]
    #[pyo3(name = "records")]
    const RECORDS: bool = false;

    #[new]
    #[pyo3(signature = (scope, **labels))]
    fn new(py: Python<'_>, scope: Option<Py<PyScope>>, labels: Option<Bound<'_, PyDict>>) -> PyResult<Self> {
        let labels = labels.unwrap_or_else(|| PyDict::new(py));
        if let Some(again) = scope.as_ref().map(|scope| scope.get().attempt).filter(|attempt| *attempt > 1) {
            labels.set_item(intern!(py, "attempt"), again)?;
        }
        let around = open_call(py).and_then(|call| call.cast_into::<Self>().ok()).map(Bound::unbind);
        Ok(Self { scope, labels: labels.unbind(), around, state: Mutex::default() })
    }

    /// Who pays for it.
    #[getter]
    fn scope<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyScope>> {
        self.scope.as_ref().map(|scope| scope.bind(py))
    }

    /// Its labels by name, and its `attempt` if it is not the first.
    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> &Bound<'py, PyDict> {
        self.labels.bind(py)
    }

    /// Whether an observer has seen a request of it. The observer records what it sees, and says so when it knows
    /// nothing; nobody else needs to.
    #[getter]
    fn observed(&self) -> bool {
        self.state().observed
    }

    #[setter]
    fn set_observed(&self, observed: bool) {
        self.state().observed = observed;
    }

    /// The requests that observers have seen begin.
    #[getter]
    fn exchanges<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        self.list(py, |state| &mut state.exchanges)
    }

    /// What observers heard of it, one Usage for each request that they saw end.
    #[getter]
    fn heard<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        self.list(py, |state| &mut state.heard)
    }

    /// What token trackers were told of it, one Usage each.
    #[getter]
    fn told<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        self.list(py, |state| &mut state.told)
    }

    /// Who shares it: labels, weights and scopes; None if nobody does.
    #[getter]
    fn shares<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state().shares.as_ref().map(|shares| shares.bind(py).clone())
    }

    #[setter]
    fn set_shares(&self, shares: Option<Py<PyAny>>) {
        let _before = std::mem::replace(&mut self.state().shares, shares);
    }

    /// Returns who shares a request that holds some of the call's texts only; None if nobody shares anything.
    #[getter]
    fn divide<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state().divide.as_ref().map(|divide| divide.bind(py).clone())
    }

    #[setter]
    fn set_divide(&self, divide: Option<Py<PyAny>>) {
        let _before = std::mem::replace(&mut self.state().divide, divide);
    }

    /// Returns what a request of the call is for, where an observer knows it by its API: `operation`.
    #[pyo3(signature = (operation))]
    fn purpose<'py>(&self, operation: Bound<'py, PyString>) -> Bound<'py, PyString> {
        let _ = self;
        operation
    }

    /// Reserves what the call may cost, as far as is known, if a quota guards its scope; once. Raises `QuotaError` where
    /// there is no room for it.
    fn admit(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(quota) = self.guardian(py) {
            let hold = quota.call_method1(intern!(py, "admit"), (&self.scope, self.labels(py), py.None()))?;
            self.set_hold((!hold.is_none()).then(|| hold.unbind()));
        }
        Ok(())
    }

    /// Whether a quota is still to be asked.
    #[getter]
    fn guarded(&self, py: Python<'_>) -> bool {
        self.scope(py).is_some_and(|scope| scope.get().quota(py).is_some()) && !self.state().admitted
    }

    /// Returns the quota that is to be asked, once; None if there is none.
    fn guardian<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyAny>> {
        let quota = self.scope(py)?.get().quota(py)?;
        (!std::mem::replace(&mut self.state().admitted, true)).then_some(quota)
    }

    /// What a quota has reserved for the call.
    #[getter]
    fn hold<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state().hold.as_ref().map(|hold| hold.bind(py).clone())
    }

    #[setter]
    fn set_hold(&self, hold: Option<Py<PyAny>>) {
        let _before = std::mem::replace(&mut self.state().hold, hold);
    }

    /// Returns the reservation, for the request that knows better what it may cost; it is its from now on.
    fn hand_over(&self) -> Option<Py<PyAny>> {
        self.state().hold.take()
    }

    /// Puts the call and its scope in force. For a stream it is entered anew for each step.
    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let (py, call) = (slf.py(), slf.get());
        call.admit(py)?;
        let (scope, open) = (variable(py)?, call_variable(py)?);
        call.state().before = Some([scope, open].map(|variable| value_of(variable).map(Bound::unbind)));
        set_value(scope, &call.scope)?;
        set_value(open, &slf)?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exc_info))]
    fn __exit__(&self, py: Python<'_>, _exc_info: &Bound<'_, PyTuple>) -> PyResult<()> {
        let Some([scope, open]) = self.state().before.take() else { return Ok(()) };
        set_value(call_variable(py)?, open)?;
        set_value(variable(py)?, scope).map(drop)
    }

    /// Ends requests that are still open with what has come so far: for a caller that is gone, for an SDK may keep an
    /// abandoned stream open until it is collected.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        for exchange in self.exchanges(py) {
            let leave = exchange.getattr(intern!(py, "leave"))?;
            if !leave.is_none() {
                leave.call0()?;
            }
        }
        Ok(())
    }

    /// Takes what a token tracker was told.
    fn tell(&self, usage: &Bound<'_, PyUsage>) -> PyResult<()> {
        self.told(usage.py()).append(usage)
    }

    /// Takes what an observer saw of a request, and the id of the reservation that it was made under: for those that
    /// record it.
    #[pyo3(signature = (usage, held = None))]
    fn hear(&self, usage: &Bound<'_, PyUsage>, held: Option<&str>) -> PyResult<()> {
        let _ = held;
        self.heard(usage.py()).append(usage)
    }

    /// Ends the call and records it, if no observer did. Ending it again does nothing, and no error leaves it.
    ///
    /// `estimate` returns the usage where nobody has said anything; None where such a call costs nothing. It is called
    /// when somebody asks for a total, for counting a long prompt takes longer than all the rest.
    #[pyo3(signature = (estimate))]
    fn close(&self, py: Python<'_>, estimate: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        self.finish(py, estimate).or_else(|error| {
            if !error.is_instance_of::<PyException>(py) {
                return Err(error);
            }
            report(py, "closing a call", &error);
            Ok(())
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.around)?;
        let Ok(state) = self.state.try_lock() else { return Ok(()) };
        state.objects().try_for_each(|object| visit.call(object))
    }

    fn __clear__(&self) {
        let objects = std::mem::take(&mut *self.state());
        drop(objects);
    }
}

/// The `ContextVar[OpenCall | None]` that carries the call.
pub(super) fn call_variable(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static VARIABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    named_variable(py, &VARIABLE, "ragmeter_open_call")
}

/// Returns the host's model call that is running here, if there is one.
#[pyfunction]
pub(super) fn open_call(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    value_of(call_variable(py).ok()?).filter(|call| !call.is_none())
}

//! Estimate: a call whose texts are counted when somebody asks what it cost, for that takes longer than all the rest.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use pyo3::prelude::*;
use pyo3::sync::MutexExt;

use super::meter::{Record, record_in, report};
use super::usage::PyUsage;
use crate::call::Labels;
use crate::meter::Scope;
use crate::run::Deferred;

/// An estimate that is worked out when somebody asks for a total.
pub(super) struct Estimate(Mutex<Option<Due>>);

impl Estimate {
    /// One that calls `estimate` for the usage of a call made in `scope`, whose labels and attempt are `named`.
    pub(super) fn due(estimate: Py<PyAny>, scope: Option<Arc<Scope>>, named: (Labels, u32)) -> Arc<dyn Deferred> {
        Arc::new(Self(Mutex::new(Some(Due { estimate, scope, named }))))
    }
}

thread_local! {
    /// Whether this thread works an estimate out. What that calls may ask for totals too, and then does not wait for
    /// estimates that are under way: they may wait for this one.
    static WORKS: Cell<bool> = const { Cell::new(false) };
}

struct Due {
    estimate: Py<PyAny>,
    scope: Option<Arc<Scope>>,
    named: (Labels, u32),
}

impl Deferred for Estimate {
    fn settle(&self) {
        Python::attach(|py| {
            let nested = WORKS.replace(true);
            let waiting = match self.0.try_lock() {
                Err(TryLockError::WouldBlock) if nested => None,
                Err(TryLockError::WouldBlock) => {
                    Some(self.0.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner))
                }
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Ok(waiting) => Some(waiting),
            };
            if let Some(mut waiting) = waiting
                && let Some(due) = waiting.take()
                && let Err(error) = due.record(py)
            {
                report(py, "estimating a call", &error);
            }
            WORKS.set(nested);
        });
    }
}

impl Due {
    fn record(&self, py: Python<'_>) -> PyResult<()> {
        let usage = self.estimate.bind(py).call0()?.cast_into::<PyUsage>()?;
        let (labels, attempt) = &self.named;
        let record = Record { id: None, attempt: *attempt, shares: Vec::new() };
        record_in(py, self.scope.as_deref(), labels.as_ref(), &usage.get().0, record)
    }
}

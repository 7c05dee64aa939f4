//! Recording and health for Python.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt};

use super::rows::parse_id;
use super::scope::{PyScope, current_scope, labels_from};
use super::text::Text;
use super::usage::PyUsage;
use crate::call::{Dim, LabelsRef};
use crate::health::HEALTH;
use crate::id::Id;
use crate::ledger::Ledger;
use crate::meter::{Scope, Share, meter};
use crate::run::Report;
use crate::totals::Savings;
use crate::usage::{Origin, Usage};

fn in_scope(py: Python<'_>, given: Option<&Scope>, record: impl for<'s> FnOnce(Option<&'s Scope>)) {
    match given {
        Some(given) => record(Some(given)),
        None => match current_scope(py) {
            Some(current) => record(Some(&current.get().scope)),
            None => record(None),
        },
    }
}

/// A share of a call: labels, weight, and the scope it counts in if it is another.
#[derive(FromPyObject)]
pub(super) enum PyShare<'py> {
    Here((Bound<'py, PyDict>, u64)),
    Elsewhere((Bound<'py, PyDict>, u64, Option<Py<PyScope>>)),
}

impl PyShare<'_> {
    fn read(self) -> PyResult<Share> {
        let (labels, weight, scope) = match self {
            Self::Here((labels, weight)) => (labels, weight, None),
            Self::Elsewhere(share) => share,
        };
        let scope = scope.map(|scope| Arc::clone(&scope.get().scope));
        Ok(Share { labels: labels_from(&labels)?, weight, scope })
    }
}

/// Records one model call in the current run and every run around it.
///
/// Labels that are not given are those of the scope; `provider` and `model` those of the usage. Outside a run the call
/// is counted in `health()` as unattributed. `scope` is for hooks that learn of a call later than it was made. `shares`
/// divides one call among several: labels of each, its weight and, if it is another, the scope it counts in; such as the
/// documents of an embedding batch and the tokens of their texts. `id` is that of the reservation of a quota which it was
/// made under, and of this call only.
#[pyfunction]
#[pyo3(signature = (usage, *, model = None, provider = None, operation = None, role = None, document = None,
    track_id = None, file_path = None, tenant = None, user = None, session = None, component = None, tool = None,
    attempt = 1, scope = None, shares = None, id = None))]
#[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)] // one for each label, each the caller's
pub(super) fn record(
    py: Python<'_>,
    usage: &PyUsage,
    model: Option<Text<'_>>,
    provider: Option<Text<'_>>,
    operation: Option<Text<'_>>,
    role: Option<Text<'_>>,
    document: Option<Text<'_>>,
    track_id: Option<Text<'_>>,
    file_path: Option<Text<'_>>,
    tenant: Option<Text<'_>>,
    user: Option<Text<'_>>,
    session: Option<Text<'_>>,
    component: Option<Text<'_>>,
    tool: Option<Text<'_>>,
    attempt: u32,
    scope: Option<&PyScope>,
    shares: Option<Vec<PyShare<'_>>>,
    id: Option<&str>,
) -> PyResult<()> {
    let mut own = LabelsRef::default();
    for (dim, label) in [
        (Dim::Model, &model),
        (Dim::Provider, &provider),
        (Dim::Operation, &operation),
        (Dim::Role, &role),
        (Dim::Document, &document),
        (Dim::TrackId, &track_id),
        (Dim::FilePath, &file_path),
        (Dim::Tenant, &tenant),
        (Dim::User, &user),
        (Dim::Session, &session),
        (Dim::Component, &component),
        (Dim::Tool, &tool),
    ] {
        own.set(dim, label.as_deref());
    }
    let id = id.map(parse_id).transpose()?;
    let shares = shares.unwrap_or_default();
    record_in(py, scope.map(|scope| &*scope.scope), own, &usage.0, Record { id, attempt, shares })
}

/// What is said of a call besides its labels and its usage.
pub(super) struct Record<'py> {
    /// Its id, if a reservation has given it one.
    pub(super) id: Option<Id>,
    pub(super) attempt: u32,
    pub(super) shares: Vec<PyShare<'py>>,
}

/// Records one model call in `scope`, or where there is none in the one in force here.
pub(super) fn record_in(
    py: Python<'_>,
    scope: Option<&Scope>,
    own: LabelsRef<'_>,
    usage: &Usage,
    record: Record<'_>,
) -> PyResult<()> {
    let Record { id, attempt, shares } = record;
    let shares: Vec<_> = shares.into_iter().map(PyShare::read).collect::<PyResult<_>>()?;
    in_scope(py, scope, |scope| {
        if let Some(id) = id {
            meter().record_as(id, scope, own, usage, attempt, &shares);
        } else if shares.is_empty() {
            meter().record(scope, own, usage, attempt);
        } else {
            meter().record_shared(scope, own, usage, attempt, &shares);
        }
    });
    SETTLING.settle(py);
    Ok(())
}

/// Notes a call that a cache of the host's own spared, in the current run and every run around it.
///
/// `saved_tokens` are those that the call would have cost, in and out; `estimated` says that they were not reported when
/// it was made. It is no call: it stands beside the counts. `scope` is as in `record`.
#[pyfunction]
#[pyo3(signature = (saved_tokens, *, role = None, operation = None, model = None, estimated = false, scope = None))]
#[allow(clippy::needless_pass_by_value)] // a Text is the caller's argument
pub(super) fn record_cache_hit(
    py: Python<'_>,
    saved_tokens: u64,
    role: Option<Text<'_>>,
    operation: Option<Text<'_>>,
    model: Option<Text<'_>>,
    estimated: bool,
    scope: Option<&PyScope>,
) {
    let mut labels = LabelsRef::default();
    for (dim, label) in [(Dim::Role, &role), (Dim::Operation, &operation), (Dim::Model, &model)] {
        labels.set(dim, label.as_deref());
    }
    in_scope(py, scope.map(|scope| &*scope.scope), |scope| {
        meter().save(scope, labels, &Savings::hit(saved_tokens, estimated));
    });
    SETTLING.settle(py);
}

/// Records one model call from bare counts, as fast as it goes.
///
/// For code that has the numbers at hand. A count that is `None` is unknown; one that is no count (negative, a text, a
/// bool, too large) is left out and counted in `health()` as dropped. Never raises for a value.
#[pyfunction]
#[pyo3(signature = (input_tokens = None, output_tokens = None, model = None))]
#[allow(clippy::needless_pass_by_value)] // a Text is the caller's argument
pub(super) fn record_tokens(
    py: Python<'_>,
    input_tokens: Option<&Bound<'_, PyAny>>,
    output_tokens: Option<&Bound<'_, PyAny>>,
    model: Option<Text<'_>>,
) {
    let scope = current_scope(py);
    let scope = scope.as_ref().map(|scope| &*scope.get().scope);
    let (input, output) = (input_tokens.and_then(count), output_tokens.and_then(count));
    let origin = if input.is_none() && output.is_none() { Origin::Unknown } else { Origin::Reported };
    if !meter().admit(scope, origin) {
        return;
    }
    let usage = Usage::of_totals(input, output);
    let mut report = Report { labels: LabelsRef::default(), usage: &usage, attempt: 1, part: 0 };
    report.labels.set(Dim::Model, model.as_deref());
    meter().tell(scope, &mut report, None);
    SETTLING.settle(py);
}

/// A count; `None`, counted as dropped, for what is none.
fn count(value: &Bound<'_, PyAny>) -> Option<u64> {
    let is_number = value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>();
    let count = is_number.then(|| value.extract().ok()).flatten();
    if count.is_none() {
        meter().health.count_dropped();
    }
    count
}

/// What the meter has seen since the process started, by name.
///
/// `calls` seen, of these `reported`, `estimated`, `unknown` by origin and `unattributed` outside any run; `dropped`
/// values that could not be read; `errors` of hooks that were kept away from the host. Of what providers said:
/// `malformed_body`, `truncated_body`, `no_usage`, `bad_count`, `unreadable`; and `panic`, a mistake of ours while reading.
#[pyfunction]
pub(super) fn health(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    for (name, count) in meter().health.snapshot() {
        dict.set_item(name, count)?;
    }
    for (reason, count) in HEALTH.iter() {
        dict.set_item(reason.name(), count)?;
    }
    Ok(dict)
}

/// Counts an error that was kept away from the host, and has the first one of each place logged.
pub(super) fn report(py: Python<'_>, place: &str, error: &PyErr) {
    let reported =
        py.import("ragmeter.meter").and_then(|page| page.call_method1("report_error", (place, error.value(py))));
    if reported.is_err() {
        meter().health.count_error();
    }
}

/// Counts an error of a hook that was kept away from the host.
#[pyfunction]
pub(super) fn count_error() {
    meter().health.count_error();
}

/// Must run in a forked child before anything else here does.
#[pyfunction]
pub(super) fn after_fork() {
    crate::id::reseed();
    crate::ledger::fork::after_in_child();
    crate::quota::fork::after_in_child();
}

/// The ledgers that hear calls. What is due after a call was recorded is done without the GIL.
pub(super) struct Settling {
    any: AtomicBool,
    ledgers: RwLock<Vec<&'static Ledger>>,
}

pub(super) static SETTLING: Settling = Settling { any: AtomicBool::new(false), ledgers: RwLock::new(Vec::new()) };

impl Settling {
    pub(super) fn set(&self, ledger: &'static Ledger) {
        self.ledgers.write().unwrap_or_else(PoisonError::into_inner).push(ledger);
        self.any.store(true, Ordering::Release);
    }

    pub(super) fn unset(&self, ledger: &'static Ledger) {
        let mut ledgers = self.ledgers.write().unwrap_or_else(PoisonError::into_inner);
        ledgers.retain(|known| !std::ptr::eq(*known, ledger));
        self.any.store(!ledgers.is_empty(), Ordering::Release);
    }

    fn settle(&self, py: Python<'_>) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let due: Vec<&Ledger> = {
            let ledgers = self.ledgers.read().unwrap_or_else(PoisonError::into_inner);
            ledgers.iter().copied().filter(|ledger| ledger.is_due()).collect()
        };
        if !due.is_empty() {
            py.detach(|| due.iter().for_each(|ledger| ledger.settle()));
        }
    }
}

//! Listening to every call of the process, for Python.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

use super::rows::dims;
use super::run::PyRun;
use crate::call::{Call, Dim, Labels, LabelsRef};
use crate::id::Id;
use crate::meter::meter;
use crate::run::{Listener, Run};
use crate::totals::Savings;

/// Counts calls in a run that would otherwise have an entry for each document and session there ever was.
struct Folded {
    run: Arc<Run>,
    dims: Vec<Dim>,
}

impl Folded {
    fn kept<'a>(&self, label: impl Fn(Dim) -> Option<&'a str>) -> Labels {
        let mut kept = LabelsRef::default();
        self.dims.iter().for_each(|dim| kept.set(*dim, label(*dim)));
        Labels::from_ref(&kept)
    }
}

impl Listener for Folded {
    fn hear(&self, call: &Call) {
        self.run.hear(&Call { labels: self.kept(|dim| call.labels.get(dim)), ..call.clone() });
    }

    fn hear_savings(&self, run: Option<Id>, labels: &LabelsRef<'_>, savings: &Savings) {
        self.run.hear_savings(run, &self.kept(|dim| labels.get(dim)).as_ref(), savings);
    }

    fn identity(&self) -> usize {
        self.run.identity()
    }
}

/// Ends what `listen_to_all` began.
#[pyclass(name = "Listening", module = "ragmeter", frozen)]
pub(super) struct PyListening(Mutex<Option<Arc<dyn Listener>>>);

#[pymethods]
impl PyListening {
    /// Stops hearing calls; doing it again does nothing.
    fn stop(&self) {
        if let Some(listener) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            meter().unlisten(&listener);
        }
    }
}

/// Lets `run` count every call of this process, in a run or not, told apart by these labels only.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // what Python hands over is owned
pub(super) fn listen_to_all(run: &PyRun, labels: Vec<String>) -> PyResult<PyListening> {
    let listener: Arc<dyn Listener> = Arc::new(Folded { run: Arc::clone(&run.0), dims: dims(&labels)? });
    meter().listen(Arc::clone(&listener));
    Ok(PyListening(Mutex::new(Some(listener))))
}

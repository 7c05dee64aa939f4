//! Listening to every call of the process, for Python.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

use super::run::PyRun;
use crate::meter::meter;
use crate::run::Listener;

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

/// Lets `run` count every call of this process, in a run or not.
#[pyfunction]
pub(super) fn listen_to_all(run: &PyRun) -> PyListening {
    let listener: Arc<dyn Listener> = Arc::clone(&run.0) as _;
    meter().listen(Arc::clone(&listener));
    PyListening(Mutex::new(Some(listener)))
}

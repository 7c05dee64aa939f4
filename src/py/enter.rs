//! What `ragmeter.run()` and its kin are made of: blocks of Python code in which a scope is in force.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::run::PyRun;
use super::scope::{PyScope, current_scope, reset_value, set_value, value_of, variable};
use super::text::Text;

/// Puts a scope in force for a block; its end is the end of the scope.
#[pyclass(name = "Entered", module = "ragmeter", subclass, frozen)]
pub(super) struct PyEntered {
    scope: Py<PyScope>,
    token: Mutex<Option<Py<PyAny>>>,
}

impl PyEntered {
    fn of(scope: Py<PyScope>) -> Self {
        Self { scope, token: Mutex::default() }
    }

    fn token(&self) -> std::sync::MutexGuard<'_, Option<Py<PyAny>>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PyEntered {
    #[new]
    fn new(scope: Py<PyScope>) -> Self {
        Self::of(scope)
    }

    /// Returns the innermost run.
    fn __enter__(&self, py: Python<'_>) -> PyResult<Option<PyRun>> {
        let token = set_value(variable(py)?, self.scope.bind(py))?;
        *self.token() = Some(token.unbind());
        Ok(self.scope.get().scope.run.clone().map(PyRun))
    }

    #[pyo3(signature = (*_exc_info))]
    fn __exit__(&self, py: Python<'_>, _exc_info: &Bound<'_, PyTuple>) -> PyResult<()> {
        let Some(token) = self.token().take() else {
            return Err(PyRuntimeError::new_err("the block has not been entered, or has ended already"));
        };
        let (variable, scope) = (variable(py)?, self.scope.bind(py));
        let current = value_of(variable);
        if let Err(error) = reset_value(variable, token.bind(py)) {
            if !error.is_instance_of::<PyValueError>(py) {
                return Err(error);
            }
            // Entered in a context that is out of reach (a generator that another task closes): where the scope is still
            // in force, calls belong to the run around it from now on.
            scope.get().abandon();
            return Ok(());
        }
        scope.get().leave();
        // Blocks that end in the wrong order: the inner one stays in force, its end leads past this one.
        match current {
            Some(current) if !current.is(scope) => set_value(variable, &current)?,
            _ => set_value(variable, PyScope::live(scope))?,
        };
        Ok(())
    }
}

/// Opens a run inside the one in force, for a block.
#[pyclass(name = "RunBlock", module = "ragmeter", extends = PyEntered, subclass, frozen)]
pub(super) struct PyRunBlock;

#[pymethods]
impl PyRunBlock {
    #[new]
    #[pyo3(signature = (name = None, *, keep_calls = 0, listeners = None, quota = None, **labels))]
    #[allow(clippy::needless_pass_by_value)] // a Text is the caller's argument
    fn new(
        py: Python<'_>,
        name: Option<Text<'_>>,
        keep_calls: usize,
        listeners: Option<Vec<Bound<'_, PyAny>>>,
        quota: Option<Py<PyAny>>,
        labels: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let around = current_scope(py);
        let outer = around.as_ref().and_then(|around| around.get().scope.run.clone());
        let run = PyRun::open(name.as_deref(), outer, keep_calls, listeners);
        let scope = Py::new(py, PyScope::inside(Some(run.0), around.as_ref(), quota, labels)?)?;
        Ok(PyClassInitializer::from(PyEntered::of(scope)).add_subclass(Self))
    }
}

/// Puts a scope in force for a block and restores what was before; the scope does not end with the block.
#[pyclass(name = "within", module = "ragmeter", frozen)]
pub(super) struct PyWithin {
    scope: Option<Py<PyScope>>,
    before: Mutex<Option<Py<PyAny>>>,
}

#[pymethods]
impl PyWithin {
    #[new]
    #[pyo3(signature = (scope))]
    fn new(scope: Option<Py<PyScope>>) -> Self {
        Self { scope, before: Mutex::default() }
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<()> {
        let variable = variable(py)?;
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = value_of(variable).map(Bound::unbind);
        set_value(variable, &self.scope).map(drop)
    }

    #[pyo3(signature = (*_exc_info))]
    fn __exit__(&self, py: Python<'_>, _exc_info: &Bound<'_, PyTuple>) -> PyResult<()> {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).take();
        set_value(variable(py)?, &before).map(drop)
    }
}

//! Scope for Python, and the ContextVar that carries it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use super::run::PyRun;
use crate::call::{Dim, Labels};
use crate::meter::Scope;
use crate::run::Run;

/// Who pays for the calls made in some stretch of code: the innermost run and the labels in force there.
#[pyclass(name = "Scope", module = "ragmeter", frozen)]
pub(super) struct PyScope {
    pub(super) scope: Arc<Scope>,
    outer: Option<Py<PyScope>>,
    /// What guards the calls made here: a `ragmeter.Quota`, or what it gave out.
    quota: Option<Py<PyAny>>,
    /// Which attempt of the host at its work the calls made here belong to, from 1 on.
    pub(super) attempt: u32,
    left: AtomicBool,
    abandoned: AtomicBool,
}

#[pymethods]
impl PyScope {
    /// A scope inside `outer`; `labels` are laid over the labels of `outer`, `None` leaves a label as it is there, and the
    /// quota and the attempt too.
    #[new]
    #[pyo3(signature = (run = None, outer = None, *, quota = None, attempt = None, **labels))]
    fn new(
        run: Option<&PyRun>,
        outer: Option<&Bound<'_, PyScope>>,
        quota: Option<Py<PyAny>>,
        attempt: Option<u32>,
        labels: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let mut scope = Self::inside(run.map(|run| Arc::clone(&run.0)), outer, quota, labels)?;
        scope.attempt = attempt.unwrap_or(scope.attempt);
        Ok(scope)
    }

    /// The scope around this one.
    #[getter]
    fn outer<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyScope>> {
        self.outer.as_ref().map(|outer| outer.bind(py))
    }

    /// What guards the calls made here, if anything does.
    #[getter]
    pub(super) fn quota<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyAny>> {
        self.quota.as_ref().map(|quota| quota.bind(py))
    }

    /// Innermost run, if there is one.
    #[getter]
    fn run(&self) -> Option<PyRun> {
        self.scope.run.clone().map(PyRun)
    }

    /// The labels in force, by name.
    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        labels_dict(py, &self.scope.labels)
    }
}

impl PyScope {
    /// Marks the scope as ended: leaving an inner scope does not lead back to it.
    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// Marks the scope as ended in a context that cannot be reached any more: calls made where it is still in force
    /// belong to the scope around it.
    pub(super) fn abandon(&self) {
        self.leave();
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// This scope, or the nearest around it that has not ended.
    pub(super) fn live<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, Self>> {
        outward(slf).find(|scope| !scope.get().left.load(Ordering::Relaxed))
    }

    pub(super) fn inside(
        run: Option<Arc<Run>>,
        outer: Option<&Bound<'_, Self>>,
        quota: Option<Py<PyAny>>,
        labels: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let around = outer.map(|outer| &outer.get().scope);
        let mut known = around.map(|scope| scope.labels.clone()).unwrap_or_default();
        for (name, label) in labels.into_iter().flatten() {
            set_label(&mut known, &name, &label)?;
        }
        let scope = Arc::new(Scope { run: run.or_else(|| around?.run.clone()), labels: known });
        let quota = quota.or_else(|| outer.and_then(|outer| Some(outer.get().quota.as_ref()?.clone_ref(outer.py()))));
        let attempt = outer.map_or(1, |outer| outer.get().attempt);
        let outer = outer.map(|outer| outer.clone().unbind());
        Ok(Self { scope, outer, quota, attempt, left: AtomicBool::new(false), abandoned: AtomicBool::new(false) })
    }
}

fn outward<'py>(scope: &Bound<'py, PyScope>) -> impl Iterator<Item = Bound<'py, PyScope>> {
    std::iter::successors(Some(scope.clone()), |scope| Some(scope.get().outer.as_ref()?.bind(scope.py()).clone()))
}

/// The dimension of that name.
pub(super) fn dim(name: &str) -> PyResult<Dim> {
    Dim::from_name(name).ok_or_else(|| {
        let known = Dim::ALL.map(Dim::name).join(", ");
        PyTypeError::new_err(format!("there is no label '{name}'; the labels are {known}"))
    })
}

/// Labels of a dict.
pub(super) fn labels_from(dict: &Bound<'_, PyDict>) -> PyResult<Labels> {
    let mut labels = Labels::default();
    for (name, label) in dict {
        set_label(&mut labels, &name, &label)?;
    }
    Ok(labels)
}

/// Sets the label of that name; one that is `None` stays as it is.
pub(super) fn set_label(labels: &mut Labels, name: &Bound<'_, PyAny>, label: &Bound<'_, PyAny>) -> PyResult<()> {
    let name = name.cast::<PyString>()?.to_cow()?;
    let dim = dim(&name)?;
    if !label.is_none() {
        labels.set(dim, &label.str()?.to_string_lossy());
    }
    Ok(())
}

pub(super) fn labels_dict<'py>(py: Python<'py>, labels: &Labels) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (dim, label) in labels.iter() {
        dict.set_item(dim.name(), label)?;
    }
    Ok(dict)
}

/// The `ContextVar[Scope | None]` that carries the scope.
pub(super) fn variable(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static VARIABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    named_variable(py, &VARIABLE, "ragmeter_scope")
}

/// The `ContextVar` of that name that `place` keeps; its default is `None`.
pub(super) fn named_variable<'py>(
    py: Python<'py>,
    place: &'static PyOnceLock<Py<PyAny>>,
    name: &str,
) -> PyResult<&'py Bound<'py, PyAny>> {
    let var = place.get_or_try_init(py, || {
        let default = PyDict::new(py);
        default.set_item("default", py.None())?;
        let var = py.import("contextvars")?.getattr("ContextVar")?.call((name,), Some(&default))?;
        PyResult::Ok(var.unbind())
    })?;
    Ok(var.bind(py))
}

/// The value of a `ContextVar` in the current context. `record` needs it every time, and the C API, an `unsafe` call,
/// costs 3 ns where calling the method costs 25.
#[cfg(not(Py_LIMITED_API))]
#[allow(unsafe_code)]
pub(super) fn value_of<'py>(var: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let mut value = std::ptr::null_mut();
    // SAFETY: `var` is a ContextVar (made by `named_variable`) and the thread is attached; on success `value` is null or a
    // new reference, which `from_owned_ptr_or_opt` takes over.
    unsafe {
        (pyo3::ffi::PyContextVar_Get(var.as_ptr(), std::ptr::null_mut(), &raw mut value) == 0)
            .then(|| Bound::from_owned_ptr_or_opt(var.py(), value))?
    }
}

/// The same where the limited API, which has no `PyContextVar_Get`, is all there is.
#[cfg(Py_LIMITED_API)]
pub(super) fn value_of<'py>(var: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    var.call_method0(pyo3::intern!(var.py(), "get")).ok()
}

/// Sets a `ContextVar` in the current context and returns the token that leads back.
#[cfg(not(Py_LIMITED_API))]
#[allow(unsafe_code)]
pub(super) fn set_value<'py, T: IntoPyObject<'py>>(var: &Bound<'py, PyAny>, value: T) -> PyResult<Bound<'py, PyAny>> {
    let value = pyo3::IntoPyObjectExt::into_bound_py_any(value, var.py())?;
    // SAFETY: as above; the function returns a new reference, or null with an exception set.
    unsafe {
        let token = pyo3::ffi::PyContextVar_Set(var.as_ptr(), value.as_ptr());
        Bound::from_owned_ptr_or_err(var.py(), token)
    }
}

/// The same where the limited API has no `PyContextVar_Set`.
#[cfg(Py_LIMITED_API)]
pub(super) fn set_value<'py>(var: &Bound<'py, PyAny>, value: impl IntoPyObject<'py>) -> PyResult<Bound<'py, PyAny>> {
    var.call_method1(pyo3::intern!(var.py(), "set"), (value,))
}

/// Puts back what a `ContextVar` was before its `set` returned `token`; a `ValueError` in another context than that one.
pub(super) fn reset_value(var: &Bound<'_, PyAny>, token: &Bound<'_, PyAny>) -> PyResult<()> {
    var.call_method1(pyo3::intern!(var.py(), "reset"), (token,)).map(drop)
}

/// The scope in force here, or `None`.
#[pyfunction]
pub(super) fn current_scope(py: Python<'_>) -> Option<Bound<'_, PyScope>> {
    let value = value_of(variable(py).ok()?)?;
    if value.is_none() {
        return None;
    }
    let scope = value.cast_into::<PyScope>().ok()?;
    if !scope.get().abandoned.load(Ordering::Relaxed) {
        return Some(scope);
    }
    outward(&scope).find(|scope| !scope.get().abandoned.load(Ordering::Relaxed))
}

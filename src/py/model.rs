//! Model: a pydantic object, whose members are taken from where it keeps them.
//!
//! The `unsafe` of the readers' window. `getattr` of a model goes through the hook with which pydantic explains missing
//! attributes, and an answer of the OpenAI SDK has four such objects; the C API's generic look-up leaves the hook out,
//! and `PyO3` has no safe name for it. Without it such an answer takes 17 % longer (659 ns against 563, Python 3.11,
//! EPYC, 2026-11-28).

#![allow(unsafe_code)]

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};
use pyo3::{ffi, intern};

/// The metaclass of pydantic's models, once one was seen.
static METACLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// The attributes that a model keeps, and what it does not know by name. `None` for any other object.
#[inline]
pub(super) fn namespaces<'py>(object: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyDict>, Option<Bound<'py, PyDict>>)> {
    let py = object.py();
    let metaclass = METACLASS.get(py)?;
    if object.get_type().get_type_ptr().cast() != metaclass.as_ptr() {
        return None;
    }
    // SAFETY: `object` lives and the thread is attached; the function returns a new reference, or null with an exception
    // set, which `from_owned_ptr_or_err` takes.
    let own = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyObject_GenericGetDict(object.as_ptr(), std::ptr::null_mut()))
    };
    let name = intern!(py, "__pydantic_extra__");
    // SAFETY: as above; `name` lives as long as the interpreter.
    let extra =
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyObject_GenericGetAttr(object.as_ptr(), name.as_ptr())) };
    Some((own.ok()?.cast_into().ok()?, extra.ok().and_then(|extra| extra.cast_into().ok())))
}

/// Takes note that `object` has the attributes of a model.
#[cold]
pub(super) fn met(object: &Bound<'_, PyAny>) {
    let (py, metaclass) = (object.py(), object.get_type().get_type());
    let is = |name, expected: &str| {
        metaclass.getattr(name).is_ok_and(|said: Bound<'_, PyAny>| said.eq(expected).unwrap_or(false))
    };
    if METACLASS.get(py).is_none()
        && is(intern!(py, "__name__"), "ModelMetaclass")
        && is(intern!(py, "__module__"), "pydantic._internal._model_construction")
    {
        let _ = METACLASS.set(py, metaclass.unbind());
    }
}

//! Kinds: what sort of value a Python object is, to whom looks for members in it.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple};

use crate::provider::Number;

/// Whether `value` is one of the other types that `json.loads` makes.
pub(super) fn is_json(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyDict>()
        || value.is_exact_instance_of::<PyList>()
}

/// Whether a namespace keeps anything under a name of its own; an SDK's wrapper keeps what it wraps under `_…`.
pub(super) fn has_public(own: &Bound<'_, PyDict>) -> bool {
    own.iter().any(|(name, _)| {
        name.cast::<PyString>().is_ok_and(|name| name.to_str().is_ok_and(|name| !name.starts_with('_')))
    })
}

/// Whether `value` may have members: it is neither text nor bytes nor a list nor a number.
pub(super) fn is_object(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyDict>()
        || !(is_scalar(value)
            || value.is_instance_of::<PyList>()
            || plain_tuple(value).is_some()
            || value.is_exact_instance_of::<PyByteArray>()
            || value.is_exact_instance_of::<PyMemoryView>())
}

/// A tuple whose items have no names.
pub(super) fn plain_tuple<'a, 'py>(value: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, PyTuple>> {
    let tuple = value.cast::<PyTuple>().ok()?;
    let named = || value.hasattr(intern!(value.py(), "_fields")).unwrap_or(false);
    (tuple.is_exact_instance_of::<PyTuple>() || !named()).then_some(tuple)
}

/// Whether `value` is nothing, a text, bytes or a number.
pub(super) fn is_scalar(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyInt>()
        || value.is_instance_of::<PyBytes>()
        || value.is_exact_instance_of::<PyFloat>()
}

/// A count that is no plain `int`: a float, a decimal, a scalar of an array.
#[cold]
pub(super) fn number(value: &Bound<'_, PyAny>) -> Number {
    if value.is_instance_of::<PyBool>() || value.is_instance_of::<PyDict>() || value.is_instance_of::<PyList>() {
        return Number::Bad;
    }
    if let Ok(float) = value.cast::<PyFloat>() {
        return Number::from_float(float.value());
    }
    if let Ok(count) = value.extract::<u64>() {
        return Number::Count(count);
    }
    value.extract::<f64>().map_or(Number::Bad, Number::from_float)
}

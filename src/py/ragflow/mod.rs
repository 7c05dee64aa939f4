//! The functions of RAGFlow's `common/token_utils.py`: with their bugs fixed, and each bug brought back in a twin named
//! `…_exact`.

mod answer;
#[cfg(not(any(Py_GIL_DISABLED, Py_LIMITED_API, PyPy, GraalPy)))]
mod in_place;
mod member;
mod sink;
mod text;

pub(super) use answer::{
    total_token_count_from_response, total_token_count_from_response_exact, usage_from_response,
    usage_from_response_exact,
};
pub(super) use sink::{PySink, attrs_variable, record_run_token_usage, sink_variable};
pub(super) use text::{num_tokens_from_string, num_tokens_from_string_exact, truncate, truncate_exact};

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyInt;

/// Python's `except Exception`: `None` for an error that may be kept; an interrupt passes.
fn quiet<T>(py: Python<'_>, result: PyResult<T>) -> PyResult<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_instance_of::<PyException>(py) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Python's `int(value)`.
fn int<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if value.is_exact_instance_of::<PyInt>() {
        return Ok(value.clone());
    }
    value.py().get_type::<PyInt>().call1((value,))
}

//! Member: an attribute of somebody's object, read without waking what pydantic does when one is missing.
//!
//! For a missing attribute pydantic runs Python code that raises, caught by nobody but `getattr`: 2 µs each. Where it
//! would run, the places it would look in are looked in here.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};

use crate::py::classes::{Classes, Found};
use crate::py::model::own;

/// The names that are asked for.
pub(super) const NAMES: [&str; 9] = [
    "usage",
    "usage_metadata",
    "meta",
    "total_tokens",
    "prompt_tokens",
    "input_tokens",
    "completion_tokens",
    "output_tokens",
    "billed_units",
];

/// An object whose attributes are asked for.
pub(super) struct Members<'a, 'py> {
    object: &'a Bound<'py, PyAny>,
    /// For a pydantic model: its own attributes, and the bits of the names to be asked of the object itself.
    model: Option<(Bound<'py, PyDict>, u32)>,
}

impl<'a, 'py> Members<'a, 'py> {
    pub(super) fn new(object: &'a Bound<'py, PyAny>) -> Self {
        Self { object, model: model(object) }
    }

    pub(super) fn py(&self) -> Python<'py> {
        self.object.py()
    }

    /// The attributes that a pydantic model keeps.
    pub(super) fn own(&self) -> Option<&Bound<'py, PyDict>> {
        self.model.as_ref().map(|(own, _)| own)
    }

    /// Whether a pydantic model keeps nothing that it does not know by name.
    pub(super) fn has_no_extra(&self) -> bool {
        let extra = self.object.getattr(intern!(self.py(), "__pydantic_extra__"));
        extra.is_ok_and(|extra| extra.cast::<PyDict>().map_or(extra.is_none(), PyDictMethods::is_empty))
    }

    /// The attribute of that name (one of [`NAMES`], by position). `None` if it is missing; an error if asking failed
    /// in another way.
    pub(super) fn get(&self, at: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = self.object.py();
        let name = name(py, at);
        let Some((own, of_class)) = &self.model else { return self.object.getattr_opt(name) };
        if of_class & (1 << at) != 0 {
            return self.object.getattr_opt(name);
        }
        if let Some(value) = own.get_item(name)? {
            return Ok(Some(value));
        }
        match self.object.getattr(intern!(py, "__pydantic_extra__"))?.cast::<PyDict>() {
            Ok(extra) => extra.get_item(name),
            Err(_) => Ok(None),
        }
    }
}

#[allow(clippy::indexing_slicing)] // positions are constants of this module
pub(super) fn name(py: Python<'_>, at: usize) -> &Bound<'_, PyString> {
    static INTERNED: PyOnceLock<[Py<PyString>; NAMES.len()]> = PyOnceLock::new();
    INTERNED.get_or_init(py, || NAMES.map(|name| PyString::intern(py, name).unbind()))[at].bind(py)
}

/// What is to be known of a pydantic model; `None` for any other object.
fn model<'py>(object: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyDict>, u32)> {
    static TYPES: Classes<Option<u32>, 1024> = Classes::new();
    let bits = match TYPES.find(object, 0) {
        Found::Known(bits) => *bits,
        Found::New | Found::Full => {
            let kind = object.get_type();
            let bits = look_at(&kind);
            TYPES.keep(&kind, 0, bits);
            bits
        }
    }?;
    Some((own(object)?, bits))
}

/// Whether attributes of instances are looked up as pydantic's `BaseModel` does, and if so, which of the names the
/// classes themselves have.
fn look_at(kind: &Bound<'_, PyType>) -> Option<u32> {
    let py = kind.py();
    let (mut bits, mut found) = (0, false);
    for class in kind.mro().iter() {
        let own = class.getattr(intern!(py, "__dict__")).ok()?;
        let is_object = class.is(py.get_type::<PyAny>());
        if !is_object && own.contains(intern!(py, "__getattribute__")).ok()? {
            return None;
        }
        if !found && own.contains(intern!(py, "__getattr__")).ok()? {
            found = class.getattr(intern!(py, "__module__")).ok()?.eq("pydantic.main").ok()?;
            if !found {
                return None;
            }
        }
        for at in 0..NAMES.len() {
            if own.contains(name(py, at)).ok()? {
                bits |= 1 << at;
            }
        }
    }
    found.then_some(bits)
}

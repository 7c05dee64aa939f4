//! Model: a pydantic object, whose members are taken from where it keeps them.
//!
//! `getattr` of a model goes through the hook with which pydantic explains missing attributes, and an answer of the
//! OpenAI SDK has four such objects. What is the same for all objects of a class is looked up once: what its attributes
//! mean in their order, and the slot where pydantic keeps what it does not know by name.

#![allow(unsafe_code)] // `PyO3` has no safe name for the C API's ways around the hook

use std::ptr;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};
use pyo3::{ffi, intern};

use super::classes::{Classes, Found};
use super::computed::Computed;
use super::names::Columns;
use crate::provider::Place;

/// The metaclass of pydantic's models, once one was seen.
static METACLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();

static MODELS: Classes<Model, 512> = Classes::new();

/// What is known of the objects of one class where they stand in one place.
pub(super) struct Model {
    columns: Columns,
    extra: Option<Extra>,
    /// Properties that lead to usage.
    computed: Computed,
}

impl Model {
    /// What is known of the class of `object`. `None` if it is no model, or one too many.
    #[inline]
    pub(super) fn of(object: &Bound<'_, PyAny>, place: Place) -> Option<&'static Self> {
        match MODELS.find(object, place as u8) {
            Found::Known(model) => Some(model),
            Found::New => Self::learn(object, place),
            Found::Full => None,
        }
    }

    /// The same, of a class that was met.
    #[inline]
    pub(super) fn known(object: &Bound<'_, PyAny>, place: Place) -> Option<&'static Self> {
        if let Found::Known(model) = MODELS.find(object, place as u8) { Some(model) } else { None }
    }

    #[cold]
    fn learn(object: &Bound<'_, PyAny>, place: Place) -> Option<&'static Self> {
        let (py, class) = (object.py(), object.get_type());
        if class.get_type_ptr().cast() != METACLASS.get(py)?.as_ptr() {
            return None;
        }
        let own = own(object)?;
        let computed = Computed::properties(&class, place);
        let model = Self { columns: Columns::new(&own, place), extra: Extra::of(&class), computed };
        MODELS.keep(&class, place as u8, model)
    }

    /// What the attributes of an object mean, in the order in which its class has them.
    #[inline]
    pub(super) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Properties that lead to usage.
    #[inline]
    pub(super) fn computed(&self) -> &Computed {
        &self.computed
    }

    /// What `object`, which is of this class, does not know by name, if anything.
    #[inline]
    pub(super) fn extra<'py>(&self, object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
        let extra = self.extra.as_ref()?.get(object)?;
        extra.cast_into::<PyDict>().ok().filter(|extra| !extra.is_empty())
    }
}

/// Where the objects of a class keep what pydantic does not know by name: so many bytes behind their beginning.
#[cfg(not(any(Py_GIL_DISABLED, Py_LIMITED_API, PyPy, GraalPy)))]
struct Extra(isize);

#[cfg(not(any(Py_GIL_DISABLED, Py_LIMITED_API, PyPy, GraalPy)))]
impl Extra {
    fn of(class: &Bound<'_, PyType>) -> Option<Self> {
        let slot = class.getattr(intern!(class.py(), "__pydantic_extra__")).ok()?;
        if slot.get_type_ptr() != &raw mut ffi::PyMemberDescr_Type {
            return None;
        }
        // SAFETY: the slot lives and its type says that it is laid out like this; it has a member and a class for as long.
        let (member, owner) = unsafe {
            let slot = &*slot.as_ptr().cast::<ffi::PyMemberDescrObject>();
            (*slot.d_member.cast::<ffi::PyMemberDef>(), slot.d_common.d_type)
        };
        // SAFETY: both classes live, one because the other is asked for, the other as above.
        let fits = unsafe { ffi::PyType_IsSubtype(class.as_type_ptr(), owner) } != 0;
        (fits && member.type_code == ffi::Py_T_OBJECT_EX && member.flags == 0).then_some(Self(member.offset))
    }

    #[inline]
    fn get<'py>(&self, object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: in every object of the class an object or null stands there, as `of` has found. Nothing can change it
        // before the reference is counted, for the GIL is held.
        unsafe {
            let place = object.as_ptr().byte_offset(self.0).cast::<*mut ffi::PyObject>();
            Bound::from_borrowed_ptr_or_opt(object.py(), place.read())
        }
    }
}

/// The same where nothing is known of how objects lie in memory: the name to ask for.
#[cfg(any(Py_GIL_DISABLED, Py_LIMITED_API, PyPy, GraalPy))]
struct Extra(Py<pyo3::types::PyString>);

#[cfg(any(Py_GIL_DISABLED, Py_LIMITED_API, PyPy, GraalPy))]
impl Extra {
    #[allow(clippy::unnecessary_wraps)] // as above
    fn of(class: &Bound<'_, PyType>) -> Option<Self> {
        Some(Self(intern!(class.py(), "__pydantic_extra__").clone().unbind()))
    }

    fn get<'py>(&self, object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        object.getattr(&self.0).ok()
    }
}

/// The attributes that a model keeps.
#[inline]
pub(super) fn own<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    // SAFETY: `object` lives and the thread is attached; the function returns a new reference, or null with an exception
    // set, which `from_owned_ptr_or_err` takes.
    let own = unsafe {
        Bound::from_owned_ptr_or_err(object.py(), ffi::PyObject_GenericGetDict(object.as_ptr(), ptr::null_mut()))
    };
    own.ok()?.cast_into().ok()
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

//! Patches: replaces attributes of other people's objects and puts back the very objects that were there.
//!
//! Native because hooks come and go with every operation of the host.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// One replacement: `own` becomes `value`. `own` is `None` where the owner only inherits the name, or has it not at all.
struct Patch {
    owner: Py<PyAny>,
    space: Py<PyAny>,
    name: Py<PyString>,
    own: Option<Py<PyAny>>,
    value: Py<PyAny>,
}

impl Patch {
    fn current<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        look_up(self.space.bind(py), self.name.bind(py))
    }

    fn fits(&self, py: Python<'_>) -> PyResult<bool> {
        let current = self.current(py)?;
        Ok(current.as_ref().map(Bound::as_ptr) == self.own.as_ref().map(Py::as_ptr))
    }

    fn put(&self, py: Python<'_>, value: &Py<PyAny>) -> PyResult<()> {
        match self.owner.bind(py).cast_exact::<PyDict>() {
            Ok(dict) => dict.set_item(&self.name, value),
            Err(_) => self.owner.bind(py).setattr(&self.name, value),
        }
    }

    /// Puts back what was there, and says whether nobody else had put something else there meanwhile.
    fn undo(&self, py: Python<'_>) -> PyResult<bool> {
        if !self.current(py)?.is_some_and(|current| current.is(&self.value)) {
            return Ok(false);
        }
        match (&self.own, self.owner.bind(py).cast_exact::<PyDict>()) {
            (Some(own), _) => self.put(py, own)?,
            (None, Ok(dict)) => dict.del_item(&self.name)?,
            (None, Err(_)) => self.owner.bind(py).delattr(&self.name)?,
        }
        Ok(true)
    }
}

fn look_up<'py>(space: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Ok(dict) = space.cast_exact::<PyDict>() {
        return dict.get_item(name);
    }
    Ok(if space.contains(name)? { Some(space.get_item(name)?) } else { None })
}

/// A set of replacements that are made together and undone together, as often as needed.
#[pyclass(name = "Patches", module = "ragmeter", frozen)]
#[derive(Default)]
pub(super) struct PyPatches(Mutex<State>);

#[derive(Default)]
struct State {
    planned: Vec<Arc<Patch>>,
    applied: bool,
    holders: usize,
}

impl PyPatches {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is planned, no longer locked: the owners' own code may run and come back here.
    fn planned(&self) -> Vec<Arc<Patch>> {
        self.state().planned.clone()
    }

    /// Makes the replacements for one holder more; false, and nothing happens, if they no longer fit.
    fn hold(&self, py: Python<'_>) -> PyResult<bool> {
        if self.state().holders == 0 {
            if !self.fit(py)? {
                return Ok(false);
            }
            self.apply(py)?;
        }
        self.state().holders += 1;
        Ok(true)
    }

    /// Takes back one `hold`; the last one puts everything back. False where somebody else has put something else.
    fn release(&self, py: Python<'_>) -> PyResult<bool> {
        {
            let mut state = self.state();
            state.holders = state.holders.saturating_sub(1);
            if state.holders > 0 {
                return Ok(true);
            }
        }
        self.undo(py)
    }
}

/// Makes the replacements of all these `Patches` for one holder more; false, and nothing happens, if any no longer fit.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // the caller's argument
pub(super) fn hold_all(py: Python<'_>, sets: Vec<Py<PyPatches>>) -> PyResult<bool> {
    for (held, set) in sets.iter().enumerate() {
        match set.get().hold(py) {
            Ok(true) => {}
            failed => {
                for set in sets.iter().take(held).rev() {
                    set.get().release(py)?;
                }
                return failed;
            }
        }
    }
    Ok(true)
}

/// Takes back one `hold_all`; false where somebody else has put something else in a place meanwhile, which stays.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)]
pub(super) fn release_all(py: Python<'_>, sets: Vec<Py<PyPatches>>) -> PyResult<bool> {
    let mut clean = true;
    for set in sets.iter().rev() {
        clean &= set.get().release(py)?;
    }
    Ok(clean)
}

#[pymethods]
impl PyPatches {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Plans to replace `owner.name` by `value`, or `owner[name]` of a dict. What `owner` only inherits stays.
    fn plan(&self, owner: Bound<'_, PyAny>, name: Bound<'_, PyString>, value: Py<PyAny>) -> PyResult<()> {
        let space = match owner.cast_exact::<PyDict>() {
            Ok(dict) => dict.clone().into_any(),
            Err(_) => owner.getattr(intern!(owner.py(), "__dict__"))?,
        };
        let own = look_up(&space, &name)?.map(Bound::unbind);
        let patch = Patch { owner: owner.unbind(), space: space.unbind(), name: name.unbind(), own, value };
        self.state().planned.push(Arc::new(patch));
        Ok(())
    }

    /// Whether the replacements are in place, or everything is still as it was when they were planned.
    fn fit(&self, py: Python<'_>) -> PyResult<bool> {
        if self.state().holders > 0 {
            return Ok(true);
        }
        for patch in self.planned() {
            if !patch.fits(py)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes the replacements.
    fn apply(&self, py: Python<'_>) -> PyResult<()> {
        self.state().applied = true;
        self.planned().iter().try_for_each(|patch| patch.put(py, &patch.value))
    }

    /// Puts everything back. Where somebody else has put something else meanwhile, that stays; false if so.
    fn undo(&self, py: Python<'_>) -> PyResult<bool> {
        if !std::mem::take(&mut self.state().applied) {
            return Ok(true);
        }
        let mut clean = true;
        for patch in self.planned().iter().rev() {
            clean &= patch.undo(py)?;
        }
        Ok(clean)
    }

    /// How many hold the replacements in place.
    #[getter]
    fn holders(&self) -> usize {
        self.state().holders
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(state) = self.0.try_lock() else { return Ok(()) };
        for patch in &state.planned {
            visit.call(&patch.owner)?;
            visit.call(&patch.space)?;
            visit.call(&patch.own)?;
            visit.call(&patch.value)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let planned = std::mem::take(&mut self.state().planned);
        drop(planned);
    }
}

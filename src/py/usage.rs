//! Usage for Python.

#![allow(unsafe_op_in_unsafe_fn)] // PyO3's own slots, when they are expanded inside a macro

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyDict, PyType};

use super::text::Text;
use crate::door;
use crate::name::Name;
use crate::unit::Unit;
use crate::usage::{About, Counts, Origin, Usage};

/// The token counts of one call, or a sum of several.
///
/// `input_tokens` and `output_tokens` are inclusive totals, every other token count is a subset of one of them.
/// Unknown is `None`, never 0. Counts saturate at 2**64 - 1.
#[pyclass(name = "Usage", module = "ragmeter", frozen, eq)]
#[derive(Clone, PartialEq)]
pub(super) struct PyUsage(pub(super) Usage);

// One getter a unit, in the one `#[pymethods]` block that a class may have.
macro_rules! usage_methods {
    (counts { $($unit:ident => $name:ident,)+ } $($methods:tt)*) => {
        #[pymethods]
        impl PyUsage {
            $(#[getter] fn $name(&self) -> Option<u64> { self.0.get(Unit::$unit) })+
            $($methods)*
        }
    };
}

usage_methods! {
    counts {
    Input => input_tokens,
    Output => output_tokens,
    CacheRead => cache_read_tokens,
    CacheWrite => cache_write_tokens,
    CacheWrite5m => cache_write_5m_tokens,
    CacheWrite1h => cache_write_1h_tokens,
    InputText => input_text_tokens,
    InputAudio => input_audio_tokens,
    InputImage => input_image_tokens,
    InputVideo => input_video_tokens,
    ToolPrompt => tool_prompt_tokens,
    Citation => citation_tokens,
    Reasoning => reasoning_tokens,
    OutputText => output_text_tokens,
    OutputAudio => output_audio_tokens,
    OutputImage => output_image_tokens,
    AcceptedPrediction => accepted_prediction_tokens,
    RejectedPrediction => rejected_prediction_tokens,
    BillableInput => billable_input_tokens,
    BillableOutput => billable_output_tokens,
    SearchUnits => search_units,
    WebSearches => web_searches,
    WebFetches => web_fetches,
    Classifications => classifications,
    AudioMilliseconds => audio_milliseconds,
    Pages => pages,
    Characters => characters,
    CacheHits => cache_hits,
    SavedTokens => saved_tokens,
    }

    #[new]
    #[pyo3(signature = (*, origin = "reported", provider = None, model = None, response_id = None, **counts))]
    fn new(
        origin: &str,
        provider: Option<Text<'_>>,
        model: Option<Text<'_>>,
        response_id: Option<Text<'_>>,
        counts: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let origin = Origin::from_name(origin).ok_or_else(|| {
            PyValueError::new_err(format!("origin is 'reported', 'estimated', 'unknown' or 'mixed', not '{origin}'"))
        })?;
        let mut known = Counts::default();
        for (name, count) in counts.into_iter().flatten() {
            let name: String = name.extract()?;
            let unit = Unit::from_name(&name)
                .ok_or_else(|| PyTypeError::new_err(format!("Usage() has no count named '{name}'")))?;
            if let Some(count) = count.extract::<Option<u64>>().map_err(|_| {
                PyValueError::new_err(format!("{name} is a count from 0 to 2**64 - 1 or None, not {count:?}"))
            })? {
                known.set(unit, count);
            }
        }
        let text = |text: Option<Text<'_>>| Name::from(text.as_deref().unwrap_or_default());
        Ok(Self(Usage::new(known, origin).with_about(About {
            provider: text(provider),
            model: text(model),
            response_id: text(response_id),
            ..About::default()
        })))
    }

    /// Input plus output; `None` unless both are known.
    #[getter]
    fn total_tokens(&self) -> Option<u64> {
        self.0.total()
    }

    /// `reported`, `estimated`, `unknown`, or `mixed` for a sum of several of them.
    #[getter]
    fn origin(&self) -> &'static str {
        self.0.origin.name()
    }

    /// What whoever reads a bill should know: `clamped`, `inferred`, `gap`, `malformed`, `truncated`.
    #[getter]
    fn flags(&self) -> Vec<&'static str> {
        self.0.flags.iter().map(crate::usage::Flag::name).collect()
    }

    /// Provider that answered.
    #[getter]
    fn provider(&self) -> Option<&str> {
        self.0.about()?.provider.get()
    }

    /// Model that answered, as the provider names it.
    #[getter]
    fn model(&self) -> Option<&str> {
        self.0.about()?.model.get()
    }

    /// The provider's id of the answer.
    #[getter]
    fn response_id(&self) -> Option<&str> {
        self.0.about()?.response_id.get()
    }

    /// Service tier that the provider says it served.
    #[getter]
    fn service_tier(&self) -> Option<&str> {
        self.0.about()?.service_tier.get()
    }

    /// What the provider says the call cost in US dollars, an exact `decimal.Decimal`.
    #[getter]
    fn cost<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        static DECIMAL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let Some(cost) = self.0.about().and_then(|about| about.cost.get()) else { return Ok(None) };
        DECIMAL.import(py, "decimal", "Decimal")?.call1((cost,)).map(Some)
    }

    /// Usage of other models inside the same answer, not part of the counts.
    #[getter]
    fn others(&self) -> Vec<Self> {
        let others = self.0.about().map(|about| about.others.as_slice()).unwrap_or_default();
        others.iter().cloned().map(Self).collect()
    }

    /// The fields of LightRAG's and RAGFlow's metrics objects, raw and derived; what nobody knows is 0.
    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        door::metrics(&self.0).into_py_dict(py)
    }

    /// The known counts in OpenAI's chat shape: `prompt_tokens`, `completion_tokens`, `total_tokens`, details.
    fn openai<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (path, count) in door::openai(&self.0) {
            let Some((outer, name)) = path.split_once('.') else {
                dict.set_item(path, count)?;
                continue;
            };
            let details = if let Some(details) = dict.get_item(outer)? {
                details.cast_into::<PyDict>()?
            } else {
                let details = PyDict::new(py);
                dict.set_item(outer, &details)?;
                details
            };
            details.set_item(name, count)?;
        }
        Ok(dict)
    }

    /// Langfuse's `usage_details`: buckets that do not overlap and their total. Its server computes our numbers from it.
    fn langfuse_details<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        door::langfuse(&self.0).into_py_dict(py)
    }

    /// Attributes of OpenTelemetry's GenAI conventions.
    ///
    /// Args:
    ///     latest: Take the names of the newest conventions and add the modalities; a receiver that does not know them
    ///         yet counts them twice.
    #[pyo3(signature = (*, latest = false))]
    fn otel<'py>(&self, py: Python<'py>, latest: bool) -> PyResult<Bound<'py, PyDict>> {
        door::otel(&self.0, latest).into_py_dict(py)
    }

    /// The known counts by name, in the order of the registry, then `total_tokens` and `origin`.
    pub(super) fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (unit, count) in self.0.counts().iter() {
            dict.set_item(unit.name(), count)?;
        }
        if let Some(total) = self.0.total() {
            dict.set_item("total_tokens", total)?;
        }
        dict.set_item("origin", self.0.origin.name())?;
        Ok(dict)
    }

    fn __add__(&self, other: &Self) -> Self {
        let mut sum = self.0.clone();
        sum.merge(&other.0);
        Self(sum)
    }

    pub(super) fn __repr__(&self) -> String {
        use std::fmt::Write;
        let mut text = String::from("Usage(");
        for (unit, count) in self.0.counts().iter() {
            let _ = write!(text, "{}={count}, ", unit.name());
        }
        let _ = write!(text, "origin='{}')", self.0.origin.name());
        text
    }
}

//! The counter window: translates between Python and the nouns of this crate, owns no rules. One file per noun.

mod classes;
mod computed;
mod counting;
mod delivery;
mod encoding;
mod enter;
mod estimate;
mod extract;
mod items;
mod kinds;
mod ledger;
mod listening;
mod meter;
mod model;
mod names;
mod open_call;
mod patch;
mod payload;
mod quota;
mod ragflow;
mod rows;
mod run;
mod scope;
mod text;
mod tokens;
mod units;
mod usage;

/// Native half of ragmeter. Import the names from `ragmeter`, not from here.
#[pyo3::pymodule]
mod _native {
    use pyo3::prelude::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_export]
    use super::delivery::{PySender, is_configured, post_once};
    #[pymodule_export]
    use super::encoding::PyEncoding;
    #[pymodule_export]
    use super::enter::{PyEntered, PyRunBlock, PyWithin};
    #[pymodule_export]
    use super::extract::{PyStreamFilter, PyUsageStream, extract_usage};
    #[pymodule_export]
    use super::ledger::{LedgerError, PyLedger, after_fork_in_parent, before_fork, set_ledger_notice};
    #[pymodule_export]
    use super::listening::{PyListening, listen_to_all};
    #[pymodule_export]
    use super::meter::{after_fork, count_error, health, record, record_cache_hit, record_tokens};
    #[pymodule_export]
    use super::open_call::{PyOpenCall, open_call};
    #[pymodule_export]
    use super::patch::{PyPatches, hold_all, release_all};
    #[pymodule_export]
    use super::quota::{PyHold, PyQuota};
    #[pymodule_export]
    use super::ragflow::{
        PySink, num_tokens_from_string, num_tokens_from_string_exact, record_run_token_usage,
        total_token_count_from_response, total_token_count_from_response_exact, truncate, truncate_exact,
        usage_from_response, usage_from_response_exact,
    };
    #[pymodule_export]
    use super::run::{PyCall, PyRun, PyRunTotals};
    #[pymodule_export]
    use super::scope::{PyScope, current_scope};
    #[pymodule_export]
    use super::tokens::{
        PyCounter, count_tokens, count_tokens_batch, count_until, get_encoding, list_encoding_names, resolve_model,
        truncate_tokens,
    };
    #[pymodule_export]
    use super::usage::PyUsage;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("scope_variable", super::scope::variable(module.py())?)?;
        module.add("call_variable", super::open_call::call_variable(module.py())?)?;
        module.add("token_usage_sink", super::ragflow::sink_variable(module.py())?)?;
        module.add("langfuse_run_attrs", super::ragflow::attrs_variable(module.py())?)
    }
}

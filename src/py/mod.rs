//! The counter window: translates between Python and the nouns of this crate, owns no rules. One file per noun.

mod usage;

/// Native half of ragmeter. Import the names from `ragmeter`, not from here.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use super::usage::PyUsage;
}

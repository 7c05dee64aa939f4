//! Rows of the ledger for Python: what is asked for, and what is answered.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::scope::{dim, labels_dict};
use super::usage::PyUsage;
use crate::call::Dim;
use crate::id::{Id, Micros};
use crate::ledger::outbox::Letter;
use crate::ledger::query::Bucket;
use crate::ledger::{CallRow, Filter, Sum};
use crate::totals::Totals;
use crate::unit::Unit;

pub(super) fn parse_id(id: &str) -> PyResult<Id> {
    Id::parse(id).ok_or_else(|| PyValueError::new_err(format!("an id is a UUID, not '{id}'")))
}

pub(super) fn dims(names: &[String]) -> PyResult<Vec<Dim>> {
    names.iter().map(|name| dim(name)).collect()
}

pub(super) fn filter(labels: &Bound<'_, PyDict>, since: Option<Micros>, until: Option<Micros>) -> PyResult<Filter> {
    let mut known = Vec::new();
    for (name, label) in labels {
        let label: Option<String> = label.extract()?;
        known.push((dim(&name.extract::<String>()?)?, label.map(Into::into)));
    }
    // Databases count time in 63 bits.
    let [since, until] = [since, until].map(|time| time.map(|at| at.min(Micros::MAX >> 1)));
    Ok(Filter { labels: known, since, until })
}

pub(super) fn bucket_of(name: Option<&str>) -> PyResult<Option<Bucket>> {
    name.map(|name| {
        let wrong = || PyValueError::new_err(format!("bucket is 'hour', 'day' or 'month', not '{name}'"));
        Bucket::from_name(name).ok_or_else(wrong)
    })
    .transpose()
}

/// A row of sums: `key`, `bucket` and what [`put_sum`] puts.
pub(super) fn sum_dict<'py>(
    py: Python<'py>,
    key: Vec<Option<String>>,
    bucket: Option<Micros>,
    sum: &Sum,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("key", key)?;
    dict.set_item("bucket", bucket)?;
    put_sum(&dict, sum)?;
    Ok(dict)
}

/// `calls`, the calls by origin, `usage`, what the provider said it cost, and what a cache of the host's own spared.
pub(super) fn put_sum(dict: &Bound<'_, PyDict>, sum: &Sum) -> PyResult<()> {
    let (reported, estimated, unknown) = (sum.reported, sum.estimated, sum.unknown);
    let mut counts = sum.counts;
    let spared = [Unit::CacheHits, Unit::SavedTokens].map(|unit| {
        let count = counts.get(unit).unwrap_or(0);
        counts.clear(unit);
        (unit.name(), count)
    });
    let totals = Totals { counts, reported, estimated, unknown, ..Totals::default() };
    dict.set_item("calls", sum.calls)?;
    dict.set_item("reported_calls", reported)?;
    dict.set_item("estimated_calls", estimated)?;
    dict.set_item("unknown_calls", unknown)?;
    dict.set_item("usage", PyUsage(totals.usage()).as_dict(dict.py())?)?;
    dict.set_item("reported_cost_calls", sum.cost_calls)?;
    dict.set_item("reported_cost", (sum.cost_calls > 0).then_some(sum.cost))?;
    for (name, count) in spared {
        dict.set_item(name, count)?;
    }
    Ok(())
}

pub(super) fn call_dict(py: Python<'_>, row: CallRow) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("id", row.id.to_string())?;
    dict.set_item("part", row.part)?;
    dict.set_item("at", row.at)?;
    dict.set_item("run", row.run.map(|run| run.to_string()))?;
    dict.set_item("attempt", row.attempt)?;
    dict.set_item("labels", labels_dict(py, &row.labels)?)?;
    dict.set_item("flags", row.usage.flags.iter().map(crate::usage::Flag::name).collect::<Vec<_>>())?;
    dict.set_item("usage", PyUsage(row.usage).as_dict(py)?)?;
    dict.set_item("reported_cost", row.cost)?;
    dict.set_item("response_id", row.response_id)?;
    Ok(dict)
}

pub(super) fn letter_dict<'py>(py: Python<'py>, letter: &Letter) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("id", letter.id.to_string())?;
    dict.set_item("at", letter.at)?;
    for (name, text) in [
        ("destination", &letter.destination),
        ("subject", &letter.subject),
        ("kind", &letter.kind),
        ("body", &letter.body),
    ] {
        dict.set_item(name, text)?;
    }
    dict.set_item("state", letter.state.name())?;
    dict.set_item("attempts", letter.attempts)?;
    dict.set_item("next_at", letter.next_at)?;
    dict.set_item("sent_at", letter.sent_at)?;
    dict.set_item("trouble", letter.trouble.as_deref())?;
    Ok(dict)
}

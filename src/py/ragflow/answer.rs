//! Usage in a model's answer, as RAGFlow asks for it.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString};

use super::member::{Members, name};
use super::{int, quiet};
use crate::provider::Hints;
use crate::py::extract::read;
use crate::unit::Unit;
use crate::usage::Usage;

const USAGE: usize = 0;
const USAGE_METADATA: usize = 1;
const META: usize = 2;
const TOTAL: usize = 3;
const PROMPT: [usize; 2] = [4, 5];
const COMPLETION: [usize; 2] = [6, 7];
const BILLED: usize = 8;
const INPUT: usize = 5;
const OUTPUT: usize = 7;

/// `prompt_tokens`, `completion_tokens`, `total_tokens` of an answer of any provider; 0 for what it does not say.
#[pyfunction]
#[pyo3(signature = (resp))]
pub(crate) fn usage_from_response<'py>(resp: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let py = resp.py();
    if resp.is_none() {
        return counts_dict(py, [0, 0, 0]);
    }
    match said(resp)? {
        Said::Usage(usage) => {
            if let Some(counts) = openai_counts(&usage) {
                return counts_dict(py, counts);
            }
        }
        Said::Nothing => return counts_dict(py, [0, 0, 0]),
        Said::Else => {}
    }
    match counts(resp) {
        Some(counts) => counts_dict(py, counts),
        None => match quiet(py, usage_from_response_exact(resp))? {
            Some(counts) => Ok(counts),
            None => counts_dict(py, [0, 0, 0]),
        },
    }
}

/// The same for OpenAI's shape only, with RAGFlow's bugs.
#[pyfunction]
#[pyo3(signature = (resp))]
pub(crate) fn usage_from_response_exact<'py>(resp: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let py = resp.py();
    let usage = if resp.is_none() { None } else { quiet(py, exact_usage(resp))?.flatten() };
    let Some(usage) = usage else { return counts_dict(py, [0, 0, 0]) };
    let fields = Fields::new(&usage);
    let prompt = fields.first(&PROMPT)?;
    let completion = fields.first(&COMPLETION)?;
    let mut total = fields.first(&[TOTAL])?;
    if !total.is_truthy()? {
        total = prompt.add(&completion)?;
    }
    counts_dict(py, [prompt, completion, total])
}

/// Total tokens of an answer of any provider; 0 if it does not say.
#[pyfunction]
#[pyo3(signature = (resp))]
pub(crate) fn total_token_count_from_response<'py>(resp: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = resp.py();
    let number = |count: u64| Ok(count.into_pyobject(py)?.into_any());
    if resp.is_none() {
        return number(0);
    }
    match said(resp)? {
        Said::Usage(usage) => {
            if let Ok(Some(total)) = Fields::new(&usage).get(TOTAL)
                && total.cast_exact::<PyInt>().is_ok_and(|total| total.extract::<u64>().is_ok_and(|total| total > 0))
            {
                return Ok(total);
            }
        }
        Said::Nothing => return number(0),
        Said::Else => {}
    }
    if let Some([_, _, total]) = counts(resp) {
        return number(total);
    }
    match quiet(py, total_token_count_from_response_exact(resp))? {
        Some(total) if !total.is_none() => Ok(total),
        _ => number(0),
    }
}

/// The same for the shapes that RAGFlow knows, with its bugs: raises for `{"usage": None}`, returns what it finds.
#[pyfunction]
#[pyo3(signature = (resp))]
pub(crate) fn total_token_count_from_response_exact<'py>(resp: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = resp.py();
    let zero = || Ok(0_u64.into_pyobject(py)?.into_any());
    if resp.is_none() {
        return zero();
    }
    if !resp.is_exact_instance_of::<PyDict>() {
        let members = Members::new(resp);
        for path in [&[USAGE, TOTAL][..], &[USAGE_METADATA, TOTAL], &[META, BILLED, INPUT]] {
            if let Some(Some(found)) = quiet(py, walk(&members, path))? {
                return Ok(found);
            }
        }
    }
    let Ok(dict) = resp.cast::<PyDict>() else { return zero() };
    let dict = dict.as_any();
    let has = |object: &Bound<'py, PyAny>, at: usize| object.contains(name(py, at));
    let item = |object: &Bound<'py, PyAny>, at: usize| object.get_item(name(py, at));
    let sum = |object: &Bound<'py, PyAny>| item(object, INPUT)?.add(item(object, OUTPUT)?);
    if has(dict, USAGE)?
        && has(&item(dict, USAGE)?, TOTAL)?
        && let Some(total) = quiet(py, item(dict, USAGE).and_then(|usage| item(&usage, TOTAL)))?
    {
        return Ok(total);
    }
    if has(dict, USAGE)?
        && has(&item(dict, USAGE)?, INPUT)?
        && has(&item(dict, USAGE)?, OUTPUT)?
        && let Some(total) = quiet(py, item(dict, USAGE).and_then(|usage| sum(&usage)))?
    {
        return Ok(total);
    }
    let tokens = intern!(py, "tokens");
    if has(dict, META)?
        && item(dict, META)?.contains(tokens)?
        && has(&item(dict, META)?.get_item(tokens)?, INPUT)?
        && has(&item(dict, META)?.get_item(tokens)?, OUTPUT)?
        && let Some(total) = quiet(py, item(dict, META)?.get_item(tokens).and_then(|tokens| sum(&tokens)))?
    {
        return Ok(total);
    }
    zero()
}

/// `object.a.b.c`, or `None` where one is missing.
fn walk<'py>(members: &Members<'_, 'py>, path: &[usize]) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some((first, rest)) = path.split_first() else { return Ok(None) };
    let Some(value) = members.get(*first)? else { return Ok(None) };
    if rest.is_empty() {
        return Ok(Some(value));
    }
    if value.is_none() { Ok(None) } else { walk(&Members::new(&value), rest) }
}

/// `resp.usage`, else `resp.get("usage")` of a dict. Not asked for where a dict cannot have attributes.
fn exact_usage<'py>(resp: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = resp.py();
    if let Ok(dict) = resp.cast_exact::<PyDict>() {
        return Ok(dict.get_item(name(py, USAGE))?.filter(|usage| !usage.is_none()));
    }
    let usage = Members::new(resp).get(USAGE)?.filter(|usage| !usage.is_none());
    if usage.is_some() || !resp.is_instance_of::<PyDict>() {
        return Ok(usage);
    }
    Ok(Some(resp.call_method1(intern!(py, "get"), (name(py, USAGE),))?).filter(|usage| !usage.is_none()))
}

/// What an answer says where OpenAI's answers say it.
enum Said<'py> {
    Usage(Bound<'py, PyAny>),
    /// A chunk of OpenAI's stream, all but the last of which say nothing.
    Nothing,
    /// Something else, or in another place.
    Else,
}

fn said<'py>(resp: &Bound<'py, PyAny>) -> PyResult<Said<'py>> {
    let py = resp.py();
    if let Ok(dict) = resp.cast::<PyDict>() {
        // A dict whose attributes raise has its items all the same.
        return match quiet(py, dict.get_item(name(py, USAGE)))?.flatten().filter(|usage| !usage.is_none()) {
            Some(usage) => Ok(Said::Usage(usage)),
            None if is_chunk(dict) && !dict.contains(intern!(py, "x_groq"))? => Ok(Said::Nothing),
            None => Ok(Said::Else),
        };
    }
    let members = Members::new(resp);
    match quiet(py, members.get(USAGE))?.flatten().filter(|usage| !usage.is_none()) {
        Some(usage) => Ok(Said::Usage(usage)),
        None if members.own().is_some_and(is_chunk) && members.has_no_extra() => Ok(Said::Nothing),
        None => Ok(Said::Else),
    }
}

fn is_chunk(members: &Bound<'_, PyDict>) -> bool {
    let object = members.get_item(intern!(members.py(), "object"));
    object.is_ok_and(|object| {
        object.is_some_and(|object| object.cast::<PyString>().is_ok_and(|object| object == "chat.completion.chunk"))
    })
}

/// What the readers of all providers make of an answer.
fn counts(resp: &Bound<'_, PyAny>) -> Option<[u64; 3]> {
    let usage: Usage = read(resp, &Hints::default())?;
    let (input, output) = (usage.get(Unit::Input), usage.get(Unit::Output));
    let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
    let total = input.saturating_add(output);
    (total > 0).then_some([input, output, total])
}

fn counts_dict<'py>(py: Python<'py>, counts: [impl IntoPyObject<'py>; 3]) -> PyResult<Bound<'py, PyDict>> {
    let [prompt, completion, total] = counts;
    let dict = PyDict::new(py);
    dict.set_item(intern!(py, "prompt_tokens"), prompt)?;
    dict.set_item(intern!(py, "completion_tokens"), completion)?;
    dict.set_item(intern!(py, "total_tokens"), total)?;
    Ok(dict)
}

/// Counts of a usage in OpenAI's shape, all of them plain. `None` for any other.
fn openai_counts<'py>(usage: &Bound<'py, PyAny>) -> Option<[Bound<'py, PyAny>; 3]> {
    let fields = Fields::new(usage);
    let int = |count: u64| Some(count.into_pyobject(usage.py()).ok()?.into_any());
    let count = |at| match fields.get(at).ok()?.filter(|value| !value.is_none()) {
        None => Some((0, int(0)?)),
        Some(value) => Some((value.cast_exact::<PyInt>().ok()?.extract::<u64>().ok()?, value)),
    };
    let [prompt, completion, total] = [PROMPT[0], COMPLETION[0], TOTAL].map(count);
    let ((input, prompt), (output, completion), (both, total)) = (prompt?, completion?, total?);
    if input == 0 {
        return None; // counted under another name, or not at all
    }
    Some([prompt, completion, if both == 0 { int(input.saturating_add(output))? } else { total }])
}

/// A usage: a dict or an object.
enum Fields<'a, 'py> {
    Plain(&'a Bound<'py, PyDict>),
    Dict(&'a Bound<'py, PyAny>),
    Object(Members<'a, 'py>),
}

impl<'a, 'py> Fields<'a, 'py> {
    fn new(usage: &'a Bound<'py, PyAny>) -> Self {
        if let Ok(dict) = usage.cast_exact::<PyDict>() {
            Self::Plain(dict)
        } else if usage.is_instance_of::<PyDict>() {
            Self::Dict(usage)
        } else {
            Self::Object(Members::new(usage))
        }
    }

    fn get(&self, at: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self {
            Self::Plain(dict) => dict.get_item(name(dict.py(), at)),
            Self::Dict(dict) => {
                let py = dict.py();
                dict.call_method1(intern!(py, "get"), (name(py, at),)).map(Some)
            }
            Self::Object(members) => members.get(at),
        }
    }

    fn py(&self) -> Python<'py> {
        match self {
            Self::Plain(dict) => dict.py(),
            Self::Dict(dict) => dict.py(),
            Self::Object(members) => members.py(),
        }
    }

    /// The first of these that is true in Python's sense, as an `int`; else 0.
    fn first(&self, names: &[usize]) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py();
        for at in names {
            if let Some(Some(value)) = quiet(py, self.get(*at))?
                && value.is_truthy()?
            {
                return int(&value);
            }
        }
        Ok(0_u64.into_pyobject(py)?.into_any())
    }
}

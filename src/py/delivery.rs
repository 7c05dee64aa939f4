//! Delivery for Python.

use std::time::Duration;

use pyo3::prelude::*;

use super::ledger::PyLedger;
use crate::delivery::{Destination, Patience, Secret, Sender};
use crate::id::{Id, now};
use crate::ledger::Event;

/// Name, URL, bearer token and secret.
type Whom = (String, String, Option<String>, Option<String>);

fn destination((name, url, token, secret): Whom) -> PyResult<Destination> {
    let secret = secret.map(|secret| Secret::parse(&secret)).transpose()?;
    Ok(Destination { name: name.into(), url: url.into(), token: token.map(Into::into), secret })
}

/// Whether the environment names a backend to send to. Asked after every operation of the host, where `os.environ`
/// would take longer than everything else.
#[pyfunction]
pub(super) fn is_configured() -> bool {
    ["BIZNDER_API_BASE_URL", "RAGMETER_WEBHOOK_URL"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Posts one event once, outside any outbox; why it was not taken, or None if it was.
#[pyfunction]
#[pyo3(signature = (to, subject, kind, body, timeout = 20.0))]
pub(super) fn post_once(
    py: Python<'_>,
    to: Whom,
    subject: &str,
    kind: &str,
    body: &str,
    timeout: f64,
) -> PyResult<Option<String>> {
    let (to, at) = (destination(to)?, now());
    let (subject, kind, body) = (subject.into(), kind.into(), body.into());
    let event = Event { id: Id::new(at), at, destination: to.name.clone(), subject, kind, body };
    let timeout = Duration::try_from_secs_f64(timeout.max(0.0)).unwrap_or(Duration::MAX);
    Ok(py.detach(|| crate::delivery::post_once(&to, &event, timeout)))
}

/// Sends what waits in the outbox of a ledger. Made by `ragmeter.export.webhook`.
#[pyclass(name = "SenderCore", module = "ragmeter", frozen)]
pub(super) struct PySender(&'static Sender);

#[pymethods]
impl PySender {
    /// Each destination is a name, a URL, a bearer token and a secret to sign with. Times are in seconds.
    #[new]
    #[pyo3(signature = (ledger, destinations, timeout = 20.0, first_wait = 1.0, most_wait = 3600.0, give_up = 259_200.0))]
    fn new(
        ledger: &PyLedger,
        destinations: Vec<Whom>,
        timeout: f64,
        first_wait: f64,
        most_wait: f64,
        give_up: f64,
    ) -> PyResult<Self> {
        let known = destinations.into_iter().map(destination).collect::<PyResult<_>>()?;
        let seconds = |time: f64| Duration::try_from_secs_f64(time.max(0.0)).unwrap_or(Duration::MAX);
        let patience = Patience {
            timeout: seconds(timeout),
            first_wait: seconds(first_wait),
            most_wait: seconds(most_wait),
            give_up: seconds(give_up),
        };
        Ok(Self(Sender::new(ledger.ledger, known, patience)))
    }

    /// Names of the destinations.
    #[getter]
    fn destinations(&self) -> Vec<&str> {
        self.0.destinations().collect()
    }

    /// Starts sending in each process that records a call, this one and its children, with the first.
    fn start_when_used(&self) {
        self.0.start_when_used();
    }

    /// Starts sending in this process; doing it again does nothing.
    fn start(&self) {
        self.0.start();
    }

    /// Ends sending after the request it is at.
    fn stop(&self) {
        self.0.stop();
    }

    fn __repr__(&self) -> String {
        format!("Sender({})", self.0.destinations().collect::<Vec<_>>().join(", "))
    }
}

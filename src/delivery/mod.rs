//! Delivery: usage on its way to somebody else's backend.
//!
//! Events wait in the ledger's outbox, which got them in the same transaction as the calls before them. A sender thread
//! posts them, in order for each subject, until the receiver has taken them.

mod post;
mod sender;
mod sign;

pub use sender::Sender;
pub use sign::Secret;

use std::time::Duration;

/// Somebody who is told of usage.
#[derive(Clone)]
pub struct Destination {
    /// Name that events are addressed to.
    pub name: Box<str>,
    /// Where they are posted.
    pub url: Box<str>,
    /// `Authorization: Bearer` of every request.
    pub token: Option<Box<str>>,
    /// What requests are signed with.
    pub secret: Option<Secret>,
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Destination").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Posts one event once, outside any outbox; why it was not taken, if it was not.
pub fn post_once(to: &Destination, event: &crate::ledger::Event, timeout: Duration) -> Option<String> {
    use crate::ledger::outbox::{Letter, State};
    let text = |text: &str| text.to_owned();
    let letter = Letter {
        id: event.id,
        at: event.at,
        destination: text(&event.destination),
        subject: text(&event.subject),
        kind: text(&event.kind),
        body: text(&event.body),
        state: State::Waiting,
        attempts: 0,
        next_at: event.at,
        sent_at: None,
        trouble: None,
    };
    match post::post(&post::agent(timeout), to, &letter) {
        post::Outcome::Taken => None,
        post::Outcome::Later(why, _) | post::Outcome::Silence(why) | post::Outcome::Never(why) => Some(why),
    }
}

/// How patient a sender is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long one request may take.
    pub timeout: Duration,
    /// What is waited after the first failure; it doubles each time.
    pub first_wait: Duration,
    /// What is waited at most.
    pub most_wait: Duration,
    /// When an event is given up.
    pub give_up: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(20),
            first_wait: Duration::from_secs(1),
            most_wait: Duration::from_secs(3600),
            give_up: Duration::from_secs(3 * 24 * 3600),
        }
    }
}

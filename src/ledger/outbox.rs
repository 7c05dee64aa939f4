//! Outbox: events that wait in the database to be sent, in the order of what they are about.

use super::Ledger;
use super::store::{Cell, Store};
use crate::error::Result;
use crate::id::{Id, Micros, now};

/// What has become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It will be sent, or sent again.
    Waiting,
    /// The receiver has it.
    Sent,
    /// It was given up; somebody must decide.
    Dead,
}

impl State {
    /// The name used at every door.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Dead => "dead",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Waiting, Self::Sent, Self::Dead].into_iter().find(|state| state.name() == name)
    }

    const fn code(self) -> u8 {
        match self {
            Self::Waiting => 0,
            Self::Sent => 1,
            Self::Dead => 2,
        }
    }
}

/// An event and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Unique id of the event.
    pub id: Id,
    /// When it happened.
    pub at: Micros,
    /// Whom it is for.
    pub destination: String,
    /// What it is about.
    pub subject: String,
    /// What happened.
    pub kind: String,
    /// What is sent, JSON.
    pub body: String,
    /// What has become of it.
    pub state: State,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_at: Micros,
    /// When the receiver took it.
    pub sent_at: Option<Micros>,
    /// Why it was not taken, the last time.
    pub trouble: Option<String>,
}

/// How long a sender may take over one event before another one takes it.
const CLAIM: Micros = 120_000_000;
/// How long events that were sent are kept, so that a repeat of one is known as such.
const KEEP_SENT: Micros = 30 * 24 * 3_600_000_000;

fn letter(row: Vec<Cell>) -> Option<Letter> {
    let mut cells = row.into_iter();
    let (id, at) = (Id(cells.next()?.id()?), cells.next()?.count()?);
    let mut text = || cells.next()?.into_text();
    let (destination, subject, kind, body) = (text()?, text()?, text()?, text()?);
    let state = cells.next()?.int()?;
    let state =
        [State::Waiting, State::Sent, State::Dead].into_iter().find(|known| i64::from(known.code()) == state)?;
    let (attempts, next_at) = (u32::try_from(cells.next()?.int()?).ok()?, cells.next()?.count()?);
    let (sent_at, trouble) = (cells.next()?.count(), cells.next()?.into_text());
    Some(Letter { id, at, destination, subject, kind, body, state, attempts, next_at, sent_at, trouble })
}

fn select(store: &mut dyn Store, rest: &str) -> Result<Vec<Letter>> {
    let id = store.dialect().digits("o.id");
    let rows = store.rows(&format!(
        "SELECT {id}, o.at, o.destination, o.subject, o.kind, o.body, o.state, o.attempts, o.next_at, o.sent_at, \
         o.trouble FROM ragmeter_outbox o {rest}"
    ))?;
    Ok(rows.into_iter().filter_map(letter).collect())
}

impl Ledger {
    /// Events of the outbox, oldest first.
    pub fn letters(&self, state: Option<State>, limit: usize) -> Result<Vec<Letter>> {
        let condition = state.map_or_else(String::new, |state| format!("WHERE o.state = {} ", state.code()));
        self.read(true, |store| select(store, &format!("{condition}ORDER BY o.id LIMIT {limit}")))
    }

    /// Tries dead events again, one or all. How many there were.
    pub fn retry_letters(&self, id: Option<Id>) -> Result<u64> {
        self.read(true, |store| {
            let which = id.map_or_else(String::new, |id| format!(" AND id = {}", store.dialect().literal(id.0)));
            let at = now();
            store.run(&format!(
                "UPDATE ragmeter_outbox SET state = 0, attempts = 0, next_at = {at}, claimed_until = 0 \
                 WHERE state = 2{which}"
            ))
        })
    }

    /// Removes events that are not sent, one or all dead ones. How many there were.
    pub fn drop_letters(&self, id: Option<Id>) -> Result<u64> {
        self.read(true, |store| {
            let which = id.map_or_else(
                || "state = 2".to_owned(),
                |id| format!("state <> 1 AND id = {}", store.dialect().literal(id.0)),
            );
            store.run(&format!("DELETE FROM ragmeter_outbox WHERE {which}"))
        })
    }
}

/// The next events that are due for one of `destinations` and not behind an older one about the same thing; they are
/// ours for some minutes.
pub(crate) fn claim(store: &mut dyn Store, destinations: &[&str], most: usize) -> Result<Vec<Letter>> {
    let (dialect, at) = (store.dialect(), now());
    let names: Vec<String> = destinations.iter().map(|name| dialect.quoted(name)).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let due = select(
        store,
        &format!(
            "WHERE o.state = 0 AND o.next_at <= {at} AND o.claimed_until <= {at} AND o.destination IN ({}) \
         AND NOT EXISTS (SELECT 1 FROM ragmeter_outbox p WHERE p.state = 0 AND p.destination = o.destination \
         AND p.subject = o.subject AND p.id < o.id) ORDER BY o.id LIMIT {most}",
            names.join(", ")
        ),
    )?;
    let mut ours = Vec::new();
    for letter in due {
        let changed = store.run(&format!(
            "UPDATE ragmeter_outbox SET claimed_until = {}, claim = claim + 1 \
             WHERE id = {} AND state = 0 AND claimed_until <= {at}",
            at + CLAIM,
            dialect.literal(letter.id.0)
        ))?;
        if changed == 1 {
            ours.push(letter);
        }
    }
    Ok(ours)
}

/// When the next event is due, if one waits.
pub(crate) fn next_due(store: &mut dyn Store) -> Result<Option<Micros>> {
    let rows = store.rows("SELECT min(next_at) FROM ragmeter_outbox WHERE state = 0")?;
    Ok(rows.first().and_then(|row| row.first()?.count()))
}

/// Writes down that the receiver has it.
pub(crate) fn sent(store: &mut dyn Store, letter: &Letter) -> Result<()> {
    let id = store.dialect().literal(letter.id.0);
    let at = now();
    store.run(&format!(
        "UPDATE ragmeter_outbox SET state = 1, attempts = attempts + 1, sent_at = {at}, trouble = NULL WHERE id = {id}"
    ))?;
    let old = store.dialect().literal(u128::from(at.saturating_sub(KEEP_SENT) / 1000) << 80);
    store.run(&format!("DELETE FROM ragmeter_outbox WHERE id < {old} AND state = 1")).map(drop)
}

/// Writes down that it was not taken, and when it is tried again; never, if `next_at` is `None`.
pub(crate) fn failed(store: &mut dyn Store, letter: &Letter, trouble: &str, next_at: Option<Micros>) -> Result<()> {
    let (dialect, state) = (store.dialect(), if next_at.is_some() { State::Waiting } else { State::Dead });
    let trouble: String = trouble.chars().take(200).collect();
    store.run(&format!(
        "UPDATE ragmeter_outbox SET state = {}, attempts = attempts + 1, next_at = {}, claimed_until = 0, trouble = {} \
         WHERE id = {}",
        state.code(),
        next_at.unwrap_or_else(now),
        dialect.quoted(&trouble),
        dialect.literal(letter.id.0)
    ))
    .map(drop)
}

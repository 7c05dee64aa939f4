//! Outbox: events that wait in the database to be sent, in the order of what they are about.

use std::collections::{BTreeSet, HashSet};

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

/// How many events are looked at together.
const PAGE: usize = 500;
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

/// Where events for `destination` wait.
fn waiting(store: &dyn Store, destination: &str) -> String {
    format!("ragmeter_outbox WHERE state = 0 AND destination = {}", store.dialect().quoted(destination))
}

/// The next events that are due for `destination` and not behind an older one about the same thing, oldest first; they
/// are ours until `until`.
pub(crate) fn claim(store: &mut dyn Store, destination: &str, most: usize, until: Micros) -> Result<Vec<Letter>> {
    let (dialect, at) = (store.dialect(), now());
    let due: Vec<String> = due(store, destination, most, at)?.into_iter().map(|id| dialect.literal(id)).collect();
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let ids = due.join(", ");
    store.run(&format!(
        "UPDATE ragmeter_outbox SET claimed_until = {until}, claim = claim + 1 \
         WHERE id IN ({ids}) AND state = 0 AND claimed_until <= {at}"
    ))?;
    // Others have other microseconds.
    select(store, &format!("WHERE o.id IN ({ids}) AND o.state = 0 AND o.claimed_until = {until} ORDER BY o.id"))
}

/// Their ids. Asked for page by page in the order of an index, so that it takes no longer where many wait.
fn due(store: &mut dyn Store, destination: &str, most: usize, at: Micros) -> Result<Vec<u128>> {
    let (dialect, waiting, digits) = (store.dialect(), waiting(store, destination), store.dialect().digits("id"));
    let (mut found, mut seen) = (Vec::new(), 0);
    while found.len() < most {
        let page = store.rows(&format!(
            "SELECT {digits}, subject FROM {waiting} AND next_at <= {at} AND claimed_until <= {at} \
             ORDER BY next_at LIMIT {PAGE} OFFSET {seen}"
        ))?;
        let subjects: BTreeSet<String> =
            page.iter().filter_map(|row| Some(dialect.quoted(row.get(1)?.text()?))).collect();
        if subjects.is_empty() {
            break;
        }
        let subjects: Vec<String> = subjects.into_iter().collect();
        let first = store.rows(&format!(
            "SELECT min({digits}) FROM {waiting} AND subject IN ({}) GROUP BY subject",
            subjects.join(", ")
        ))?;
        let first: HashSet<u128> = first.iter().filter_map(|row| row.first()?.id()).collect();
        found.extend(page.iter().filter_map(|row| row.first()?.id()).filter(|id| first.contains(id)));
        seen += page.len();
        if page.len() < PAGE {
            break;
        }
    }
    found.truncate(most);
    Ok(found)
}

/// Lets others have what was claimed until `until`.
pub(crate) fn release(store: &mut dyn Store, letters: &[Letter], until: Micros) -> Result<()> {
    let ids: Vec<String> = letters.iter().map(|letter| store.dialect().literal(letter.id.0)).collect();
    if ids.is_empty() {
        return Ok(());
    }
    store
        .run(&format!(
            "UPDATE ragmeter_outbox SET claimed_until = 0 WHERE id IN ({}) AND claimed_until = {until}",
            ids.join(", ")
        ))
        .map(drop)
}

/// When the next event for `destination` becomes due or claimable, if one waits for that.
pub(crate) fn next_due(store: &mut dyn Store, destination: &str) -> Result<Option<Micros>> {
    let (waiting, at) = (waiting(store, destination), now());
    let rows = store.rows(&format!(
        "SELECT min(CASE WHEN next_at > claimed_until THEN next_at ELSE claimed_until END) \
         FROM {waiting} AND (next_at > {at} OR claimed_until > {at})"
    ))?;
    Ok(rows.first().and_then(|row| row.first()?.count()))
}

/// Writes down that the receiver has it.
pub(crate) fn sent(store: &mut dyn Store, letter: &Letter) -> Result<()> {
    let (id, at) = (store.dialect().literal(letter.id.0), now());
    store
        .run(&format!(
            "UPDATE ragmeter_outbox SET state = 1, attempts = attempts + 1, sent_at = {at}, trouble = NULL WHERE id = {id}"
        ))
        .map(drop)
}

/// Removes what was sent long ago.
pub(crate) fn forget(store: &mut dyn Store) -> Result<()> {
    let old = store.dialect().literal(u128::from(now().saturating_sub(KEEP_SENT) / 1000) << 80);
    store.run(&format!("DELETE FROM ragmeter_outbox WHERE id < {old} AND state = 1")).map(drop)
}

/// Writes down that it was not taken, and when it is tried again; never, if `next_at` is `None`.
pub(crate) fn failed(store: &mut dyn Store, letter: &Letter, trouble: &str, next_at: Option<Micros>) -> Result<()> {
    let (dialect, state) = (store.dialect(), if next_at.is_some() { State::Waiting } else { State::Dead });
    let trouble: String = trouble.chars().take(200).collect();
    store.run(&format!(
        "UPDATE ragmeter_outbox SET state = {}, attempts = attempts + 1, next_at = {}, claimed_until = 0, trouble = {} \
         WHERE id = {} AND state = 0",
        state.code(),
        next_at.unwrap_or_else(now),
        dialect.quoted(&trouble),
        dialect.literal(letter.id.0)
    ))
    .map(drop)
}

//! The sums in the ledger's database. Whoever changes a counter holds its row until the end of the transaction; rows
//! are taken in the order of their ids, so nobody waits for somebody who waits for him.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::book::{Held, Keeper, Lapsed, Level, MOST_LAPSED, Note, Op, Outcome, Page};
use super::clock::Clock;
use super::limit::{Counter, Limit};
use super::schema::{self, LIMIT};
use crate::error::Result;
use crate::id::{self, Id, Micros};
use crate::ledger::dialect::Dialect;
use crate::ledger::schema::in_transaction;
use crate::ledger::store::{Care, Cell, Store, connect};
use crate::ledger::target::{Engine, Target};

/// How long it is remembered that a reservation has expired, for a call that is settled after all.
const REMEMBERED: Micros = 86_400_000_000;
/// How long after their time counters are kept, for calls that began in it.
const KEPT: Micros = 2 * 86_400_000_000;
/// How often, and how many at once, older ones are removed.
const TIDY: (Micros, usize) = (3_600_000_000, 5_000);
/// Where the number of the limits' present edition stands.
const EDITION: &str = "SELECT coalesce(max(value), 0) FROM ragmeter_marks WHERE name = 'quota_limits'";

type Counters<'a> = BTreeMap<u128, &'a Counter>;

/// A connection to the ledger's database.
pub(super) struct Sql {
    store: Box<dyn Store>,
    /// Counters that are known to have a row.
    known: HashSet<u128>,
    /// Whether reservations have lapsed that nobody was told of.
    swept: bool,
    tidy_at: Micros,
}

impl Sql {
    pub(super) fn connect(target: &Target) -> Result<Self> {
        let mut store = connect(target, Care::Usual)?;
        schema::migrate(&mut *store)?;
        Ok(Self { store, known: HashSet::new(), swept: false, tidy_at: 0 })
    }

    /// Sees to it that every counter that will change has a row.
    fn ensure(&mut self, ops: &[Op], now: Micros) -> Result<()> {
        let changing = ops.iter().filter(|op| !matches!(op, Op::Look { .. })).flat_map(|op| op.lines().iter());
        let missing: BTreeMap<u128, _> = changing
            .filter(|line| !self.known.contains(&line.counter.id))
            .map(|line| (line.counter.id, (&line.counter, &line.limit.name)))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let dialect = self.store.dialect();
        let (begin, end) = dialect.insert_new();
        let rows = missing.values().map(|(counter, name)| {
            let ends = counter.end.map_or_else(|| "NULL".to_owned(), |end| end.to_string());
            let (name, key) = (dialect.quoted(name), dialect.quoted(&counter.key));
            format!("({}, {name}, {key}, {}, {ends}, 0, 0)", dialect.literal(counter.id), counter.start)
        });
        let rows: Vec<String> = rows.collect();
        self.store.run(&format!(
            "{begin} ragmeter_quota_counters (id, name, counted_for, begins, ends, used, reserved) VALUES {}{end}",
            rows.join(", ")
        ))?;
        if self.known.len() > 100_000 {
            self.known.clear();
        }
        self.known.extend(missing.into_keys());
        self.tidy(now)
    }

    /// Removes counters whose time is long over.
    fn tidy(&mut self, now: Micros) -> Result<()> {
        if now < self.tidy_at {
            return Ok(());
        }
        self.tidy_at = now.saturating_add(TIDY.0);
        let dialect = self.store.dialect();
        let rows = self.store.rows(&format!(
            "SELECT {} FROM ragmeter_quota_counters WHERE ends <= {} ORDER BY id LIMIT {}",
            dialect.digits("id"),
            now.saturating_sub(KEPT),
            TIDY.1
        ))?;
        let old = rows.iter().filter_map(|row| Some(dialect.literal(row.first()?.id()?)));
        let old = old.collect::<Vec<_>>().join(", ");
        if old.is_empty() {
            return Ok(());
        }
        in_transaction(&mut *self.store, |store| {
            store.run(&format!("DELETE FROM ragmeter_quota_holds WHERE counter IN ({old})"))?;
            store.run(&format!("DELETE FROM ragmeter_quota_counters WHERE id IN ({old})")).map(drop)
        })
    }

    fn change(&mut self, work: impl FnOnce(&mut dyn Store) -> Result<u64>) -> Result<u64> {
        in_transaction(&mut *self.store, |store| {
            let changed = work(store)?;
            let end = store.dialect().adding("ragmeter_marks", "name", ["value"].into_iter());
            store.run(&format!("INSERT INTO ragmeter_marks (name, value) VALUES ('quota_limits', 1){end}"))?;
            Ok(changed)
        })
    }
}

impl Keeper for Sql {
    fn limits(&mut self) -> Result<(i64, Vec<Limit>)> {
        // The edition first: limits that are newer than it are read again.
        let edition = self.store.number(EDITION)?;
        let rows = self.store.rows(&format!("SELECT {} FROM ragmeter_quota_limits ORDER BY name", LIMIT.join(", ")))?;
        let read = |row: Vec<Cell>| {
            let fields: Vec<String> = row.into_iter().map(|cell| cell.into_text().unwrap_or_default()).collect();
            Limit::read(&fields.join("\u{1f}"))
        };
        Ok((edition, rows.into_iter().map(read).collect::<Result<_>>()?))
    }

    fn put(&mut self, limit: &Limit) -> Result<()> {
        let text = limit.text();
        self.change(|store| {
            let dialect = store.dialect();
            let fields: Vec<String> = text.split('\u{1f}').map(|field| dialect.quoted(field)).collect();
            store.run(&format!("DELETE FROM ragmeter_quota_limits WHERE name = {}", dialect.quoted(&limit.name)))?;
            store.run(&format!(
                "INSERT INTO ragmeter_quota_limits ({}) VALUES ({})",
                LIMIT.join(", "),
                fields.join(", ")
            ))
        })
        .map(drop)
    }

    fn remove(&mut self, name: &str) -> Result<bool> {
        let removed = self.change(|store| {
            let name = store.dialect().quoted(name);
            store.run(&format!("DELETE FROM ragmeter_quota_limits WHERE name = {name}"))
        })?;
        Ok(removed > 0)
    }

    fn run(&mut self, ops: &[Op], _again: bool, clock: &Clock) -> Result<Vec<Outcome>> {
        self.ensure(ops, clock.now())?;
        let lines = ops.iter().flat_map(|op| op.lines().iter());
        let counters: Counters<'_> = lines.map(|line| (line.counter.id, &line.counter)).collect();
        let mut swept = false;
        let outcomes = in_transaction(&mut *self.store, |store| {
            let (found, now, mut page) = read(store, &counters, ops, clock)?;
            let before = page.held.clone();
            swept = page.expire(now);
            let outcomes = ops
                .iter()
                .map(|op| match op {
                    Op::Reserve { edition, .. } if *edition != found => Outcome::Stale,
                    op => page.apply(op, now),
                })
                .collect();
            if !counters.is_empty() && ops.iter().any(|op| !matches!(op, Op::Look { .. })) {
                let statements = write(store.dialect(), &counters, &page, &before, now);
                if store.dialect().0 == Engine::Postgres {
                    store.run(&statements.join("; "))?;
                } else {
                    for statement in statements {
                        store.run(&statement)?;
                    }
                }
            }
            Ok(outcomes)
        })?;
        self.swept |= swept;
        Ok(outcomes)
    }

    fn swept(&mut self) -> bool {
        std::mem::take(&mut self.swept)
    }

    fn lapsed(&mut self, now: Micros) -> Result<Vec<Lapsed>> {
        let dialect = self.store.dialect();
        let rows = self.store.rows(&format!(
            "SELECT {}, {}, c.name, c.counted_for, c.begins, h.amount FROM ragmeter_quota_holds h \
             JOIN ragmeter_quota_counters c ON c.id = h.counter \
             WHERE (h.state = 1 OR h.expires <= {}) AND h.expires > {} ORDER BY h.id LIMIT {MOST_LAPSED}",
            dialect.digits("h.id"),
            dialect.digits("h.counter"),
            now,
            now.saturating_sub(REMEMBERED)
        ))?;
        let lapsed = |row: Vec<Cell>| {
            let mut cells = row.into_iter();
            let (id, counter) = (Id(cells.next()?.id()?), cells.next()?.id()?);
            let (limit, key) = (cells.next()?.into_text()?.into(), cells.next()?.into_text()?.into());
            Some(Lapsed { id, counter, limit, key, start: cells.next()?.count()?, amount: cells.next()?.count()? })
        };
        Ok(rows.into_iter().filter_map(lapsed).collect())
    }

    fn time(&mut self) -> Result<Micros> {
        match self.store.dialect().time() {
            Some(expression) => Ok(self.store.number(&format!("SELECT {expression}"))?.try_into().unwrap_or(0)),
            None => Ok(id::now()),
        }
    }

    fn ping(&mut self) -> Result<()> {
        self.store.number("SELECT 1").map(drop)
    }

    fn note(&mut self, note: &Note) -> Result<()> {
        let dialect = self.store.dialect();
        let texts = [&note.kind, &note.limit, &note.who, &note.text].map(|text| dialect.quoted(text));
        self.store
            .run(&format!(
                "INSERT INTO ragmeter_quota_notes (id, at, kind, name, who, said) VALUES ({}, {}, {})",
                dialect.literal(Id::new(note.at).0),
                note.at,
                texts.join(", ")
            ))
            .map(drop)
    }

    fn notes(&mut self, most: usize) -> Result<Vec<Note>> {
        let rows = self.store.rows(&format!(
            "SELECT at, kind, name, who, said FROM ragmeter_quota_notes ORDER BY id DESC LIMIT {most}"
        ))?;
        let note = |row: Vec<Cell>| {
            let mut cells = row.into_iter();
            let at = cells.next()?.count()?;
            let mut text = || cells.next()?.into_text();
            Some(Note { at, kind: text()?, limit: text()?, who: text()?, text: text()? })
        };
        Ok(rows.into_iter().filter_map(note).collect())
    }
}

/// Locks the counters and reads them, with the reservations that the operations are about and those that are due.
/// Returns the edition of the limits and the time, too: time begins when the rows are ours, however long that took.
fn read(store: &mut dyn Store, counters: &Counters<'_>, ops: &[Op], clock: &Clock) -> Result<(i64, Micros, Page)> {
    let dialect = store.dialect();
    let mut page = Page::default();
    if counters.is_empty() {
        return Ok((store.number(EDITION)?, clock.now(), page));
    }
    let literals = |ids: &mut dyn Iterator<Item = u128>| -> String {
        ids.map(|id| dialect.literal(id)).collect::<Vec<_>>().join(", ")
    };
    let ids = literals(&mut counters.keys().copied());
    let lock = if dialect.0 == Engine::Sqlite { "" } else { " FOR UPDATE" };
    let rows = store.rows(&format!(
        "SELECT {}, used, reserved, ({EDITION}) FROM ragmeter_quota_counters WHERE id IN ({ids}) ORDER BY id{lock}",
        dialect.digits("id")
    ))?;
    let (now, mut edition) = (clock.now(), None);
    for row in rows {
        let [id, used, reserved, value] = row.as_slice() else { continue };
        let number = |cell: &Cell| cell.count().unwrap_or_default();
        let level = Level { used: number(used), reserved: number(reserved), frees_at: None };
        page.levels.insert(id.id().unwrap_or_default(), level);
        edition = value.int();
    }
    let edition = match edition {
        Some(edition) => edition,
        None => store.number(EDITION)?,
    };
    let columns = format!("{}, {}, amount, expires, state", dialect.digits("id"), dialect.digits("counter"));
    let mut select = format!(
        "SELECT {columns} FROM ragmeter_quota_holds WHERE counter IN ({ids}) AND state = 0 AND expires <= {now}"
    );
    let about = literals(&mut ops.iter().filter_map(Op::id).map(|id| id.0));
    if !about.is_empty() {
        select = format!("{select} UNION SELECT {columns} FROM ragmeter_quota_holds WHERE id IN ({about})");
    }
    for row in store.rows(&select)? {
        let [id, counter, amount, expires, state] = row.as_slice() else { continue };
        if let (Some(id), Some(counter), Some(amount), Some(expires)) =
            (id.id(), counter.id(), amount.count(), expires.count())
        {
            page.held.insert((Id(id), counter), Held { amount, expires, expired: state.int() == Some(1) });
        }
    }
    for (id, rolling) in counters.iter().filter_map(|(id, counter)| Some((*id, counter.rolling?))) {
        let rows = store.rows(&format!(
            "SELECT coalesce(sum(used), 0), min(begins) FROM ragmeter_quota_parts \
             WHERE counter = {} AND begins >= {} AND used > 0",
            dialect.literal(id),
            rolling.gone
        ))?;
        let cells = rows.first().map(Vec::as_slice).unwrap_or_default();
        let level = page.levels.entry(id).or_default();
        level.used = cells.first().and_then(Cell::count).unwrap_or_default();
        level.frees_at = cells.get(1).and_then(Cell::count).map(|part| rolling.over_at(part));
    }
    Ok((edition, now, page))
}

/// The statements that make the database what the page has become.
fn write(
    dialect: Dialect,
    counters: &Counters<'_>,
    page: &Page,
    before: &HashMap<(Id, u128), Held>,
    now: Micros,
) -> Vec<String> {
    let mut statements = Vec::new();
    for id in counters.keys() {
        let reserved = page.levels.get(id).copied().unwrap_or_default().reserved;
        let spent = page.spent.get(id).copied().unwrap_or_default();
        let id = dialect.literal(*id);
        statements.push(format!(
            "UPDATE ragmeter_quota_counters SET used = used + {spent}, reserved = {reserved} WHERE id = {id}"
        ));
    }
    for (id, rolling) in counters.iter().filter_map(|(id, counter)| Some((*id, counter.rolling?))) {
        let Some(spent) = page.spent.get(&id) else { continue };
        let end = dialect.adding("ragmeter_quota_parts", "counter, begins", ["used"].into_iter());
        let (id, part, gone) = (dialect.literal(id), rolling.part, rolling.gone);
        statements.push(format!(
            "INSERT INTO ragmeter_quota_parts (counter, begins, used) VALUES ({id}, {part}, {spent}){end}"
        ));
        statements.push(format!("DELETE FROM ragmeter_quota_parts WHERE counter = {id} AND begins < {gone}"));
    }
    let (mut made, mut changed, mut gone, mut lapsed) = (Vec::new(), Vec::new(), HashSet::new(), false);
    for (key @ (id, counter), held) in &page.held {
        let (id, counter) = (dialect.literal(id.0), dialect.literal(*counter));
        let state = i64::from(held.expired);
        match before.get(key) {
            None => made.push(format!("({id}, {counter}, {}, {}, {state})", held.amount, held.expires)),
            Some(was) if was != held => changed.push(format!(
                "UPDATE ragmeter_quota_holds SET expires = {}, state = {state} WHERE id = {id} AND counter = {counter}",
                held.expires
            )),
            Some(_) => {}
        }
        lapsed |= held.expired;
    }
    gone.extend(before.keys().filter(|key| !page.held.contains_key(key)).map(|(id, _)| dialect.literal(id.0)));
    if !gone.is_empty() {
        let ids: Vec<String> = gone.into_iter().collect();
        statements.push(format!("DELETE FROM ragmeter_quota_holds WHERE id IN ({})", ids.join(", ")));
    }
    statements.append(&mut changed);
    if !made.is_empty() {
        statements.push(format!(
            "INSERT INTO ragmeter_quota_holds (id, counter, amount, expires, state) VALUES {}",
            made.join(", ")
        ));
    }
    if lapsed {
        for id in counters.keys().map(|id| dialect.literal(*id)) {
            let before = now.saturating_sub(REMEMBERED);
            statements.push(format!(
                "DELETE FROM ragmeter_quota_holds WHERE counter = {id} AND state = 1 AND expires <= {before}"
            ));
        }
    }
    statements
}

//! Schema: the tables of a ledger and how they came to be, version by version.
//!
//! A version that was released is never changed; a new one is added at the end. `ragmeter_schema` holds the version of
//! the database; one that is higher than the last of [`VERSIONS`] was made by a newer ragmeter and is left alone.

use super::store::Store;
use super::target::Engine;
use crate::call::Dim;
use crate::error::{Error, Kind, Result};
use crate::id::now;
use crate::unit::Unit;

/// Number columns of a roll-up before the units.
pub(crate) const HEADS: [&str; 6] = ["calls", "reported", "estimated", "unknown", "cost_calls", "cost"];

/// The versions that this code knows; it reads and writes the last.
pub(crate) const VERSIONS: [Version; 3] = [first, second, third];

/// The statements that make a version of the one before.
pub(crate) type Version = fn(&mut dyn Store) -> Result<Vec<String>>;

/// Brings the database to the last of [`VERSIONS`].
pub(crate) fn migrate(store: &mut dyn Store) -> Result<()> {
    bring_to(store, "ragmeter_schema", &VERSIONS)
}

/// Brings the tables whose version stands in `table` to the last of `versions`.
pub(crate) fn bring_to(store: &mut dyn Store, table: &str, versions: &[Version]) -> Result<()> {
    let newest = i64::try_from(versions.len()).unwrap_or(i64::MAX);
    let found = version(store, table)?;
    if found > newest {
        return Err(Error::new(
            Kind::Newer,
            format!(
                "the ledger has schema {found}, made by a newer ragmeter ({table}); this one knows schemas up to {newest}: \
                 install the newer ragmeter, the ledger was not touched"
            ),
        ));
    }
    if found == newest {
        return Ok(());
    }
    let dialect = store.dialect();
    // One at a time: whoever comes second finds the work done. MySQL's tables are not part of a transaction.
    if dialect.0 == Engine::Mysql {
        // Not longer than a server may close a connection that seems idle; whoever calls tries again.
        if store.number("SELECT GET_LOCK('ragmeter_schema', 30)")? != 1 {
            return Err(Error::new(Kind::Busy, "another process brings the tables up to date"));
        }
    }
    let done = in_transaction(store, |store| {
        if dialect.0 == Engine::Postgres {
            store.rows("SELECT pg_advisory_xact_lock(7421186352)")?;
        }
        let found = version(store, table)?;
        for (number, make) in (1..).zip(versions).filter(|(number, _)| *number > found) {
            for statement in make(store)? {
                store.run(&statement)?;
            }
            store.run(&format!("INSERT INTO {table} (version, at) VALUES ({number}, {})", now()))?;
        }
        Ok(())
    });
    if dialect.0 == Engine::Mysql {
        store.rows("SELECT RELEASE_LOCK('ragmeter_schema')")?;
    }
    done
}

/// Runs `work` between the beginning and the end of a transaction.
pub(crate) fn in_transaction<T>(store: &mut dyn Store, work: impl FnOnce(&mut dyn Store) -> Result<T>) -> Result<T> {
    store.run(store.dialect().begin())?;
    match work(store).and_then(|done| store.run("COMMIT").map(|_| done)) {
        Ok(done) => Ok(done),
        Err(error) => {
            let _ = store.run("ROLLBACK");
            Err(error)
        }
    }
}

/// Runs `work`, which only reads, on one picture of the database, though others write.
pub(crate) fn in_snapshot<T>(store: &mut dyn Store, work: impl FnOnce(&mut dyn Store) -> Result<T>) -> Result<T> {
    let statements: &[&str] = match store.dialect().0 {
        Engine::Sqlite => &["BEGIN"],
        Engine::Postgres => &["SET statement_timeout = 0", "BEGIN ISOLATION LEVEL REPEATABLE READ"],
        Engine::Mysql => {
            &["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION WITH CONSISTENT SNAPSHOT"]
        }
    };
    for statement in statements {
        store.run(statement)?;
    }
    let done = work(store);
    let _ = store.run("ROLLBACK");
    done
}

fn version(store: &mut dyn Store, table: &str) -> Result<i64> {
    let exists = match store.dialect().0 {
        Engine::Sqlite => format!("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '{table}'"),
        Engine::Postgres => format!("SELECT count(*) FROM pg_class WHERE oid = to_regclass('{table}')"),
        Engine::Mysql => format!(
            "SELECT count(*) FROM information_schema.tables \
             WHERE table_schema = database() AND table_name = '{table}'"
        ),
    };
    if store.number(&exists)? == 0 {
        return Ok(0);
    }
    store.number(&format!("SELECT coalesce(max(version), 0) FROM {table}"))
}

/// How many units there were in version 1.
const FIRST_UNITS: usize = 27;

/// Version 1.
#[allow(clippy::unnecessary_wraps)] // as any version
fn first(store: &mut dyn Store) -> Result<Vec<String>> {
    let dialect = store.dialect();
    let (int, id, text, long, end) =
        (dialect.int(), dialect.id(), dialect.text(), dialect.long_text(), dialect.table_end());
    let units: String = Unit::ALL.iter().take(FIRST_UNITS).map(|unit| format!(", {} {int}", unit.name())).collect();
    let labels: String = Dim::ALL.iter().map(|dim| format!(", {} {text}", column(*dim))).collect();
    let heads: String = HEADS.iter().map(|name| format!(", {name} {int} NOT NULL")).collect();
    // `labels` is the id of a set of them, a row of the table of that name.
    let create = |name: &str, columns: String, key: &str| {
        format!("CREATE TABLE IF NOT EXISTS ragmeter_{name} ({columns}, PRIMARY KEY ({key})){end}")
    };
    let mut statements = vec![
        create("schema", format!("version {int} NOT NULL, at {int} NOT NULL"), "version"),
        create("labels", format!("id {int} NOT NULL{labels}"), "id"),
        create(
            "calls",
            format!(
                "id {id} NOT NULL, part {int} NOT NULL, at {int} NOT NULL, labels {int} NOT NULL, run {id}, \
                 attempt {int} NOT NULL, origin {int} NOT NULL, flags {int} NOT NULL, response_id {text}, \
                 service_tier {text}, cost {int}{units}"
            ),
            "id, part",
        ),
        create("hours", format!("hour {int} NOT NULL, labels {int} NOT NULL{heads}{units}"), "hour, labels"),
        create("days", format!("day {int} NOT NULL, labels {int} NOT NULL{heads}{units}"), "day, labels"),
        create("details", format!("labels {int} NOT NULL, hour {int} NOT NULL{heads}{units}"), "labels, hour"),
        create(
            "outbox",
            format!(
                "id {id} NOT NULL, at {int} NOT NULL, destination {text} NOT NULL, subject {text} NOT NULL, \
                 kind {text} NOT NULL, body {long} NOT NULL, state {int} NOT NULL, attempts {int} NOT NULL, \
                 next_at {int} NOT NULL, claimed_until {int} NOT NULL, claim {int} NOT NULL, sent_at {int}, \
                 trouble {text}"
            ),
            "id",
        ),
        create(
            "marks",
            format!(
                "name {text} NOT NULL, value {int} NOT NULL",
                text = if dialect.0 == Engine::Mysql { "VARBINARY(64)" } else { text }
            ),
            "name",
        ),
    ];
    let if_missing = if dialect.0 == Engine::Mysql { "" } else { "IF NOT EXISTS " };
    let prefix = dialect.prefix();
    for (table, name, columns) in [
        ("labels", "track_id", format!("track_id{prefix}")),
        ("labels", "document", format!("document{prefix}")),
        ("outbox", "state", "state, next_at".to_owned()),
        ("details", "hour", "hour".to_owned()),
    ] {
        statements.push(format!("CREATE INDEX {if_missing}ragmeter_{table}_{name} ON ragmeter_{table} ({columns})"));
    }
    Ok(statements)
}

/// Version 2: what a cache of the host's own spared.
fn second(store: &mut dyn Store) -> Result<Vec<String>> {
    let mut statements = Vec::new();
    for table in ["calls", "hours", "days", "details"] {
        for unit in [Unit::CacheHits, Unit::SavedTokens] {
            let (table, name, int) = (format!("ragmeter_{table}"), unit.name(), store.dialect().int());
            if !is_half_done(store, &table, name)? {
                statements.push(format!("ALTER TABLE {table} ADD COLUMN {name} {int}"));
            }
        }
    }
    Ok(statements)
}

/// Version 3: which event about something is the oldest that waits, is asked before each one is sent.
fn third(store: &mut dyn Store) -> Result<Vec<String>> {
    let (is_mysql, prefix) = (store.dialect().0 == Engine::Mysql, store.dialect().prefix());
    let found = "SELECT count(*) FROM information_schema.statistics \
         WHERE table_schema = database() AND index_name = 'ragmeter_outbox_subject'";
    if is_mysql && store.number(found)? > 0 {
        return Ok(Vec::new());
    }
    let if_missing = if is_mysql { "" } else { "IF NOT EXISTS " };
    Ok(vec![format!("CREATE INDEX {if_missing}ragmeter_outbox_subject ON ragmeter_outbox (subject{prefix})")])
}

/// Whether the table has the column already: MySQL keeps what was done of a version before somebody was killed.
fn is_half_done(store: &mut dyn Store, table: &str, column: &str) -> Result<bool> {
    let found = format!(
        "SELECT count(*) FROM information_schema.columns \
         WHERE table_schema = database() AND table_name = '{table}' AND column_name = '{column}'"
    );
    Ok(store.dialect().0 == Engine::Mysql && store.number(&found)? > 0)
}

/// The column of a label; `user` is a word of SQL's own.
pub(crate) const fn column(dim: Dim) -> &'static str {
    match dim {
        Dim::User => "user_name",
        _ => dim.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The journal holds units and labels by position, and the tables by name: a new one comes at the end, with a
    /// new version of the schema.
    #[test]
    fn the_order_of_units_and_labels_is_that_of_the_versions() {
        let units: Vec<_> = Unit::ALL.iter().map(|unit| unit.name()).collect();
        assert_eq!(
            units.join(" "),
            "input_tokens output_tokens cache_read_tokens cache_write_tokens \
            cache_write_5m_tokens cache_write_1h_tokens input_text_tokens input_audio_tokens input_image_tokens \
            input_video_tokens tool_prompt_tokens citation_tokens reasoning_tokens output_text_tokens \
            output_audio_tokens output_image_tokens accepted_prediction_tokens rejected_prediction_tokens \
            billable_input_tokens billable_output_tokens search_units web_searches web_fetches classifications \
            audio_milliseconds pages characters cache_hits saved_tokens"
        );
        let labels: Vec<_> = Dim::ALL.iter().map(|dim| dim.name()).collect();
        assert_eq!(
            labels.join(" "),
            "provider model operation role document track_id file_path tenant user session \
            component tool"
        );
    }
}

//! Tables: what stands beside the calls in the ledger's database, and a door for statements about it.
//!
//! The tenant layer keeps its configuration here rather than through a driver of its own: two libraries of `SQLite` in
//! one process drop each other's locks on a file, and servers are spoken to with one set of TLS rules. A statement has
//! a `?` for each value; values never become part of its text unquoted.
//!
//! Not here: what the statements mean (`ragmeter.tenants`).

use super::Ledger;
use super::dialect::Dialect;
use super::schema::{Version, bring_to, in_transaction};
use super::store::{Cell, Store};
use super::target::Engine;
use crate::error::{Error, Kind, Result};
use std::sync::atomic::Ordering;

/// The versions of these tables.
const VERSIONS: [Version; 1] = [first];

/// A value of a statement, or of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
}

/// A statement with a `?` for each of its values.
pub type Statement = (String, Vec<Value>);

impl Ledger {
    /// The rows of a SELECT. Numbers of a server may come as texts.
    pub fn select(&self, statement: &Statement) -> Result<Vec<Vec<Value>>> {
        self.tables(|store| {
            let rows = store.rows(&filled(store.dialect(), statement)?)?;
            Ok(rows.into_iter().map(|row| row.into_iter().map(Value::from).collect()).collect())
        })
    }

    /// Does all the statements or none; how many rows each one touched.
    pub fn change(&self, statements: &[Statement]) -> Result<Vec<u64>> {
        self.tables(|store| {
            in_transaction(store, |store| {
                let dialect = store.dialect();
                statements.iter().map(|statement| store.run(&filled(dialect, statement)?)).collect()
            })
        })
    }

    fn tables<T>(&self, work: impl FnOnce(&mut dyn Store) -> Result<T>) -> Result<T> {
        self.read(false, |store| {
            if !self.has_tables.load(Ordering::Acquire) {
                bring_to(store, "ragmeter_tables", &VERSIONS)?;
                self.has_tables.store(true, Ordering::Release);
            }
            work(store)
        })
    }
}

impl From<Cell> for Value {
    fn from(cell: Cell) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Int(number) => Self::Int(number),
            Cell::Text(text) => Self::Text(text),
        }
    }
}

/// The statement with its values in it.
fn filled(dialect: Dialect, (sql, values): &Statement) -> Result<String> {
    let mut parts = sql.split('?');
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut values = values.iter();
    for part in parts {
        text += &match values.next() {
            Some(Value::Null) => "NULL".to_owned(),
            Some(Value::Int(number)) => number.to_string(),
            Some(Value::Text(value)) => dialect.quoted(value),
            None => return Err(Error::new(Kind::Invalid, "the statement has more '?' than values")),
        };
        text += part;
    }
    match values.next() {
        None => Ok(text),
        Some(_) => Err(Error::new(Kind::Invalid, "the statement has fewer '?' than values")),
    }
}

/// Version 1.
#[allow(clippy::unnecessary_wraps)] // as any version
fn first(store: &mut dyn Store) -> Result<Vec<String>> {
    let dialect = store.dialect();
    let (int, long, end) = (dialect.int(), dialect.long_text(), dialect.table_end());
    // Four of them make a key.
    let name = if dialect.0 == Engine::Mysql { "VARBINARY(512)" } else { "TEXT" };
    let create = |table: &str, columns: String, key: &str| {
        format!("CREATE TABLE IF NOT EXISTS ragmeter_{table} ({columns}, PRIMARY KEY ({key})){end}")
    };
    Ok(vec![
        create("tables", format!("version {int} NOT NULL, at {int} NOT NULL"), "version"),
        create(
            "tenants",
            format!(
                "id {name} NOT NULL, title {long} NOT NULL, status {int} NOT NULL, defaults {long} NOT NULL, \
                 created_at {int} NOT NULL"
            ),
            "id",
        ),
        create(
            "tenant_llm",
            format!(
                "tenant_id {name} NOT NULL, llm_factory {name} NOT NULL, llm_name {name} NOT NULL, \
                 model_type {name} NOT NULL, api_key {long}, api_base {long}, max_tokens {int} NOT NULL, \
                 status {int} NOT NULL, verified {int} NOT NULL, quota {int}, created_at {int} NOT NULL, \
                 updated_at {int} NOT NULL"
            ),
            "tenant_id, llm_factory, llm_name, model_type",
        ),
        create(
            "tokens",
            format!(
                "id {name} NOT NULL, digest {name} NOT NULL, tenant_id {name}, title {long} NOT NULL, \
                 superuser {int} NOT NULL, created_at {int} NOT NULL, UNIQUE (digest)"
            ),
            "id",
        ),
        create(
            "factories",
            format!(
                "name {name} NOT NULL, logo {long} NOT NULL, tags {long} NOT NULL, status {int} NOT NULL, \
                 rank_at {int} NOT NULL, url {long} NOT NULL"
            ),
            "name",
        ),
        create(
            "models",
            format!(
                "llm_factory {name} NOT NULL, llm_name {name} NOT NULL, model_type {name} NOT NULL, \
                 max_tokens {int}, tags {long} NOT NULL, is_tools {int} NOT NULL, status {int} NOT NULL"
            ),
            "llm_factory, llm_name, model_type",
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_never_becomes_sql() {
        let statement =
            ("SELECT ? , ?, ?".to_owned(), vec![Value::Text("a'b?".to_owned()), Value::Null, Value::Int(-3)]);
        assert_eq!(filled(Dialect(Engine::Sqlite), &statement).unwrap(), "SELECT 'a''b?' , NULL, -3");
        assert_eq!(filled(Dialect(Engine::Mysql), &statement).unwrap(), "SELECT 0x6127623f , NULL, -3");
    }

    #[test]
    fn values_and_places_are_as_many() {
        for (sql, count) in [("SELECT ?", 0), ("SELECT 1", 1)] {
            let statement = (sql.to_owned(), vec![Value::Null; count]);
            assert_eq!(filled(Dialect(Engine::Sqlite), &statement).unwrap_err().kind, Kind::Invalid);
        }
    }
}

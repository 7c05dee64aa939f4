//! Schema: the tables of quotas in the ledger's database. They have a version of their own.

use crate::error::Result;
use crate::ledger::schema::{Version, bring_to};
use crate::ledger::store::Store;
use crate::ledger::target::Engine;

/// The versions of these tables.
const VERSIONS: [Version; 1] = [first];

/// Columns of a limit, in the order of its text. Labels stand there as `=acme`, `*` for each, empty for all together.
pub(super) const LIMIT: [&str; 11] =
    ["name", "tenant", "user_name", "model", "operation", "measure", "period", "amount", "policy", "unpriced", "marks"];

/// Brings the tables to the last of [`VERSIONS`].
pub(super) fn migrate(store: &mut dyn Store) -> Result<()> {
    bring_to(store, "ragmeter_quota_schema", &VERSIONS)
}

/// Version 1.
#[allow(clippy::unnecessary_wraps)] // as any version
fn first(store: &mut dyn Store) -> Result<Vec<String>> {
    let dialect = store.dialect();
    let (int, id, text, long, end) =
        (dialect.int(), dialect.id(), dialect.text(), dialect.long_text(), dialect.table_end());
    let create = |name: &str, columns: &str, key: &str| {
        format!("CREATE TABLE IF NOT EXISTS ragmeter_quota_{name} ({columns}, PRIMARY KEY ({key})){end}")
    };
    let limit = LIMIT.map(|column| format!("{column} {text} NOT NULL")).join(", ");
    let if_missing = if dialect.0 == Engine::Mysql { "" } else { "IF NOT EXISTS " };
    Ok(vec![
        create("schema", &format!("version {int} NOT NULL, at {int} NOT NULL"), "version"),
        create("limits", &limit, "name"),
        create(
            "counters",
            &format!(
                "id {id} NOT NULL, name {text} NOT NULL, counted_for {text} NOT NULL, begins {int} NOT NULL, \
                 ends {int}, used {int} NOT NULL, reserved {int} NOT NULL"
            ),
            "id",
        ),
        create(
            "parts",
            &format!("counter {id} NOT NULL, begins {int} NOT NULL, used {int} NOT NULL"),
            "counter, begins",
        ),
        create(
            "holds",
            &format!(
                "id {id} NOT NULL, counter {id} NOT NULL, amount {int} NOT NULL, expires {int} NOT NULL, \
                 state {int} NOT NULL"
            ),
            "id, counter",
        ),
        create(
            "notes",
            &format!(
                "id {id} NOT NULL, at {int} NOT NULL, kind {text} NOT NULL, name {text} NOT NULL, who {text} NOT NULL, \
                 said {long} NOT NULL"
            ),
            "id",
        ),
        format!("CREATE INDEX {if_missing}ragmeter_quota_holds_due ON ragmeter_quota_holds (counter, state, expires)"),
    ])
}

//! Calls of the past: found in their hours and counted in their months.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use ragmeter::ledger::query::Bucket;
use ragmeter::ledger::{Config, Filter, Ledger};
use ragmeter::{Call, Counts, Dim, Id, Labels, Origin, Unit, Usage};

const HOUR: u64 = 3_600_000_000;
/// 2026-01-01T00:00:00Z.
const NEW_YEAR: u64 = 1_767_225_600_000_000;

fn ledger(name: &str) -> &'static Ledger {
    let folder = std::env::temp_dir().join(format!("ragmeter-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    Ledger::open(&format!("sqlite:{}/ledger.db", folder.display()), Config::default()).unwrap()
}

fn append(ledger: &'static Ledger, at: u64, tenant: &str, track_id: &str) {
    let (mut counts, mut labels) = (Counts::default(), Labels::default());
    counts.set(Unit::Input, 1);
    labels.set(Dim::Tenant, tenant);
    labels.set(Dim::TrackId, track_id);
    let usage = Usage::new(counts, Origin::Reported);
    ledger.append(&Call { id: Id::new(at), at, attempt: 1, part: 0, run: None, labels, usage });
}

fn about(dim: Dim, text: &str) -> Filter {
    Filter { labels: vec![(dim, Some(text.into()))], ..Filter::default() }
}

/// The times of all calls that are asked for, three at once.
fn times(ledger: &Ledger, filter: &Filter) -> Vec<u64> {
    let (search, mut after, mut found) = (ledger.search(filter).unwrap(), None, Vec::new());
    loop {
        let page = ledger.calls(filter, &search, after, 3).unwrap();
        found.extend(page.iter().map(|call| call.at));
        match page.last().filter(|_| page.len() == 3) {
            Some(call) => after = Some((call.id, call.part)),
            None => return found,
        }
    }
}

#[test]
fn the_calls_of_a_label_are_found_wherever_they_are() {
    let ledger = ledger("spans");
    for number in 0..1000 {
        append(ledger, NEW_YEAR + number * HOUR, "everybody", &format!("upload {}", number / 10));
    }
    for number in 0..1500 {
        append(ledger, NEW_YEAR, "one of many", &format!("file {number}"));
    }
    let rare = [5, 6, 7, 300, 301, 999].map(|hour| NEW_YEAR + hour * HOUR + 1);
    for at in rare {
        append(ledger, at, "rare", "upload 3");
    }
    assert!(ledger.flush(Duration::from_secs(20)));
    assert_eq!(times(ledger, &about(Dim::Tenant, "rare")), rare);
    assert_eq!(ledger.search(&about(Dim::Tenant, "rare")).unwrap().spans.len(), 3);
    assert_eq!(times(ledger, &about(Dim::TrackId, "upload 3")).len(), 16);
    assert_eq!(times(ledger, &about(Dim::Tenant, "everybody")).len(), 1000);
    assert_eq!(times(ledger, &about(Dim::Tenant, "one of many")).len(), 1500);
    assert_eq!(times(ledger, &about(Dim::Tenant, "nobody")), Vec::<u64>::new());
    let between = Filter { since: Some(rare[1]), until: Some(rare[4]), ..about(Dim::Tenant, "rare") };
    assert_eq!(times(ledger, &between), rare[1..4]);
    assert!(ledger.close(Duration::from_secs(20)));
}

#[test]
fn a_call_counts_in_the_month_that_it_was_made_in() {
    let ledger = ledger("months");
    for at in [NEW_YEAR - 1, NEW_YEAR, NEW_YEAR + 31 * 24 * HOUR - 1, NEW_YEAR + 31 * 24 * HOUR] {
        append(ledger, at, "t", "u");
    }
    assert!(ledger.flush(Duration::from_secs(20)));
    let months = ledger.usage(&[], &Filter::default(), Some(Bucket::Month)).unwrap();
    let months: Vec<_> = months.iter().map(|row| (row.bucket.unwrap(), row.sum.calls)).collect();
    let first = |days: u64| NEW_YEAR + days * 24 * HOUR;
    assert_eq!(months, [(NEW_YEAR - 31 * 24 * HOUR, 1), (first(0), 2), (first(31), 1)]);
    assert!(ledger.close(Duration::from_secs(20)));
}

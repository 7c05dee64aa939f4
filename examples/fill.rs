//! Fills a ledger with calls spread over the past, on the way that every call takes: `fill URL CALLS DAYS`.

use std::error::Error;
use std::time::Duration;

use ragmeter::ledger::{Config, Ledger};
use ragmeter::{Call, Counts, Dim, Id, Labels, Origin, Unit, Usage};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, calls, days] = arguments.as_slice() else { return Err("fill URL CALLS DAYS".into()) };
    let (calls, days): (u64, u64) = (calls.parse()?, days.parse()?);
    let ledger = Ledger::open(url, Config { journal_limit: 1 << 40, ..Config::default() })?;
    let (span, now) = (days * 86_400_000_000, ragmeter::id::now());
    let mut seed = 1_u64;
    let mut draw = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for number in 0..calls {
        let at = now - span + u64::try_from(u128::from(span) * u128::from(number) / u128::from(calls))?;
        let mut labels = Labels::default();
        labels.set(Dim::Provider, "openai");
        labels.set(
            Dim::Model,
            ["gpt-4o", "gpt-4o-mini", "text-embedding-3-small"].get(usize::try_from(draw(3))?).unwrap_or(&""),
        );
        labels.set(Dim::Operation, "chat");
        labels.set(
            Dim::Role,
            ["extract", "glean", "keyword", "query", "summary", "rerank"].get(usize::try_from(draw(6))?).unwrap_or(&""),
        );
        labels.set(Dim::Tenant, &format!("tenant-{}", number / 500 % 20));
        labels.set(Dim::TrackId, &format!("upload-{}", number / 500));
        let mut counts = Counts::default();
        counts.set(Unit::Input, draw(4000));
        counts.set(Unit::Output, draw(600));
        counts.set(Unit::CacheRead, 0);
        let usage = Usage::new(counts, Origin::Reported);
        ledger.append(&Call { id: Id::new(at), at, attempt: 1, part: 0, run: None, labels, usage });
    }
    if ledger.close(Duration::from_secs(3600)) { Ok(()) } else { Err("not everything was written".into()) }
}

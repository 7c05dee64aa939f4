//! Runs: nothing lost, nothing doubled, nothing left behind.

use std::sync::Arc;
use std::thread;

use proptest::prelude::*;
use ragmeter::call::LabelsRef;
use ragmeter::{Counts, Dim, Meter, Origin, Run, Scope, Unit, Usage};

fn usage(input: u64, output: u64) -> Usage {
    let mut counts = Counts::default();
    counts.set(Unit::Input, input);
    counts.set(Unit::Output, output);
    Usage::new(counts, Origin::Reported)
}

fn scope(run: &Arc<Run>) -> Scope {
    Scope { run: Some(Arc::clone(run)), ..Scope::default() }
}

#[test]
fn a_million_records_from_eight_threads_are_neither_lost_nor_doubled() {
    let meter = Meter::default();
    let outer = Arc::new(Run::new(None, None, 0));
    let inner = Arc::new(Run::new(None, Some(Arc::clone(&outer)), 100));
    let scope = scope(&inner);
    thread::scope(|threads| {
        for role in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            let (meter, scope) = (&meter, &scope);
            threads.spawn(move || {
                let mut labels = LabelsRef::default();
                labels.set(Dim::Role, Some(role));
                for _ in 0..125_000 {
                    meter.record(Some(scope), labels, &usage(7, 2), 1);
                }
            });
        }
    });
    for run in [&inner, &outer] {
        let totals = run.totals();
        assert_eq!((totals.calls(), totals.counts.total()), (1_000_000, Some(9_000_000)));
        assert!(run.by(&[Dim::Role]).iter().all(|(_, totals)| totals.calls() == 125_000));
    }
    assert_eq!((inner.calls().len(), outer.calls().len()), (100, 0));
}

proptest! {
    #[test]
    fn whatever_it_is_told_apart_by_the_parts_add_up_to_the_run(
        calls in prop::collection::vec((0..1000_u64, 0..1000_u64, 0..3_usize, 0..4_usize), 0..60)
    ) {
        let (roles, documents) = (["extract", "query", "summary"], [None, Some("a"), Some("b"), Some("c")]);
        let (meter, run) = (Meter::default(), Arc::new(Run::new(None, None, 0)));
        for (input, output, role, document) in &calls {
            let mut labels = LabelsRef::default();
            labels.set(Dim::Role, Some(roles[*role]));
            labels.set(Dim::Document, documents[*document]);
            meter.record(Some(&scope(&run)), labels, &usage(*input, *output), 1);
        }
        let whole = run.totals();
        prop_assert_eq!(whole.calls(), calls.len() as u64);
        prop_assert_eq!(whole.counts.get(Unit::Input).unwrap_or(0), calls.iter().map(|call| call.0).sum::<u64>());
        for dims in [&[Dim::Role][..], &[Dim::Document], &[Dim::Document, Dim::Role], &[Dim::Tenant]] {
            let mut sum = ragmeter::Totals::default();
            for (_, part) in run.by(dims) {
                sum.merge(&part);
            }
            prop_assert_eq!(sum, whole);
        }
        for (index, role) in roles.iter().enumerate() {
            let expected = calls.iter().filter(|call| call.2 == index).map(|call| call.0 + call.1).sum::<u64>();
            let found = run.by(&[Dim::Role]).into_iter().find(|(key, _)| key[0].as_deref() == Some(*role));
            prop_assert_eq!(found.and_then(|(_, totals)| totals.counts.total()).unwrap_or(0), expected);
        }
    }
}

#[test]
fn a_call_counts_once_in_every_run_around_it() {
    let meter = Meter::default();
    let outer = Arc::new(Run::new(Some("outer"), None, 0));
    let inner = Arc::new(Run::new(Some("inner"), Some(Arc::clone(&outer)), 0));
    meter.record(Some(&scope(&outer)), LabelsRef::default(), &usage(1, 1), 1);
    meter.record(Some(&scope(&inner)), LabelsRef::default(), &usage(10, 10), 1);
    assert_eq!((inner.totals().counts.total(), outer.totals().counts.total()), (Some(20), Some(22)));
}

#[test]
fn unknown_calls_count_as_calls_and_leave_the_counts_unknown() {
    let (meter, run) = (Meter::default(), Arc::new(Run::new(None, None, 0)));
    meter.record(Some(&scope(&run)), LabelsRef::default(), &Usage::unknown(), 1);
    let totals = run.totals();
    assert_eq!((totals.calls(), totals.unknown, totals.counts.total()), (1, 1, None));
    assert_eq!(totals.usage().origin, Origin::Unknown);
    meter.record(Some(&scope(&run)), LabelsRef::default(), &usage(3, 4), 1);
    assert_eq!((run.totals().usage().origin, run.totals().counts.total()), (Origin::Mixed, Some(7)));
}

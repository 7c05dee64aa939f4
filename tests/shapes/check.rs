//! What must hold of whatever bytes the readers are given.

use ragmeter::{Hints, StreamFilter, Unit, Usage, UsageStream, read_usage};

/// xorshift64*, so that a seed is a number and a failure can be run again.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % end.max(1)
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

fn pieces<'a>(random: &mut Random, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let most = *random.pick(&[1, 2, 7, 64, 4096]);
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at((1 + random.below(most)).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

fn keeps_the_rules(usage: &Usage) -> bool {
    Unit::ALL.into_iter().all(|unit| match (usage.get(unit), unit.parent()) {
        (Some(count), Some(parent)) => usage.get(parent).is_some_and(|total| count <= total),
        _ => true,
    })
}

/// Panics unless every way to read `bytes` says the same and the counts keep their rules.
pub(crate) fn check(bytes: &[u8], random: &mut Random) {
    let hints = Hints::default();
    let whole = read_usage(bytes, &hints);
    assert!(whole.as_ref().is_none_or(keeps_the_rules));

    let read = |stream: UsageStream, pieces: Vec<&[u8]>| {
        let mut stream = stream;
        for piece in pieces {
            stream.feed(piece);
        }
        (stream.finish(), stream.text().map(String::from), stream.done())
    };
    assert_eq!(read(UsageStream::new(hints), pieces(random, bytes)).0, whole);
    // Who keeps text looks deeper, and so may find more that is broken.
    let keeping = || UsageStream::new(hints).keeping_text();
    assert_eq!(read(keeping(), pieces(random, bytes)), read(keeping(), vec![bytes]));

    let mut at_once = StreamFilter::new(true, false);
    let mut passed = at_once.feed(bytes);
    passed.extend(at_once.finish());
    let mut split = StreamFilter::new(true, false);
    let mut passed_split = Vec::new();
    for piece in pieces(random, bytes) {
        passed_split.extend(split.feed(piece));
    }
    passed_split.extend(split.finish());
    assert_eq!(passed_split, passed);
    assert_eq!(split.usage(), whole);
    assert!(passed.len() <= bytes.len());
}

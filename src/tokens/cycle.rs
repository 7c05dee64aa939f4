//! Cycles: the tokens of a text that says the same over and over do so too, and one round tells all others.

#![allow(clippy::indexing_slicing)] // places are at most the length of the piece or of its tokens

use super::vocab::Vocab;

/// How many tokens a round has at most.
const LONGEST: usize = 32;
/// Bytes at the end of what repeats itself that are left to others: there the tokens may be other ones.
const MARGIN: usize = 128;
/// Bytes that are compared at once.
const STEP: usize = 64;

/// Appends as many more rounds of what `tokens` end with as `piece` has from `at`, where they end, but for the last few;
/// returns where they end then.
///
/// Each two tokens that come to be neighbours are neighbours already, so that they are right if `tokens` are
/// (`long::compatible`).
pub(super) fn go_on(vocab: &Vocab, piece: &[u8], tokens: &mut Vec<u32>, at: usize) -> usize {
    let Some(round) = (1..=LONGEST.min(tokens.len() / 2)).find(|round| {
        let (before, last) = tokens[tokens.len() - 2 * round..].split_at(*round);
        before == last
    }) else {
        return at;
    };
    let first = tokens.len() - round;
    let width: usize = tokens[first..].iter().map(|id| vocab.width(*id)).sum();
    let rounds = same(&piece[at - width..], &piece[at..]).saturating_sub(MARGIN) / width;
    let end = tokens.len() + rounds * round;
    while tokens.len() < end {
        let more = (end - tokens.len()).min(tokens.len() - first);
        tokens.extend_from_within(first..first + more);
    }
    at + rounds * width
}

/// For how many bytes two texts are the same, in whole steps.
fn same(left: &[u8], right: &[u8]) -> usize {
    let (left, right) = (left.as_chunks::<STEP>().0, right.as_chunks::<STEP>().0);
    left.iter().zip(right).take_while(|(left, right)| left == right).count() * STEP
}

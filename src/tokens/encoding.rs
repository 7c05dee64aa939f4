//! An encoding: text to tokens and back, and counts without tokens.

#![allow(clippy::indexing_slicing)] // positions are piece boundaries of the text

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::bpe;
use super::cache::{Cache, Caches};
use super::count::{self, Batch};
use super::scan::{Cl100k, Grammar, Growing, O200k, Pattern, R50k};
use super::special::Specials;
use super::text::Text;
use super::vocab::{NONE, Vocab};

/// A tokenizer of OpenAI. Counts and encodes exactly as tiktoken does.
pub struct Encoding {
    name: Box<str>,
    grammar: Grammar,
    vocab: Arc<Vocab>,
    specials: Specials,
    caches: Caches,
}

/// An id that the encoding does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownToken(
    /// The id.
    pub u32,
);

impl fmt::Display for UnknownToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invalid token for decoding: {}", self.0)
    }
}

impl std::error::Error for UnknownToken {}

/// Why a vocabulary cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadVocabulary(String);

impl fmt::Display for BadVocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadVocabulary {}

/// A thread costs as much as counting some of these.
const WORTH_A_THREAD: usize = 1 << 16;
/// A cache does not keep more room than this for texts that are written as UTF-8.
const KEPT: usize = 1 << 16;

macro_rules! by_grammar {
    ($self:ident, $pattern:ident => $body:expr) => {
        match $self.grammar {
            Grammar::R50k => {
                type $pattern = R50k;
                $body
            }
            Grammar::Cl100k => {
                type $pattern = Cl100k;
                $body
            }
            Grammar::O200k => {
                type $pattern = O200k;
                $body
            }
        }
    };
}

impl Encoding {
    /// An encoding of your own: `ranks` are the tokens with their ids, which are also the order of merges; `pattern` is
    /// the regular expression of an encoding of OpenAI, as tiktoken writes it.
    ///
    /// # Errors
    ///
    /// [`BadVocabulary`] if the pattern is another, the ids 0 to 255 are not the 256 bytes, or a token is not the merge
    /// of two.
    pub fn from_ranks(
        name: &str,
        pattern: &str,
        ranks: Vec<(Vec<u8>, u32)>,
        special_tokens: impl IntoIterator<Item = (String, u32)>,
    ) -> Result<Self, BadVocabulary> {
        let grammar = Grammar::from_pattern(pattern).ok_or_else(|| {
            BadVocabulary(format!(
                "the pattern of {name} is none of gpt2, r50k_base, p50k_base, cl100k_base, o200k_base"
            ))
        })?;
        let vocab = Vocab::from_ranks(ranks).map_err(BadVocabulary)?;
        Ok(Self::new(name, grammar, Arc::new(vocab), Specials::new(special_tokens)))
    }

    /// The regular expression that splits text, as tiktoken writes it.
    pub fn pattern(&self) -> &'static str {
        self.grammar.pattern()
    }

    pub(super) fn new(name: &str, grammar: Grammar, vocab: Arc<Vocab>, specials: Specials) -> Self {
        Self { name: name.into(), grammar, vocab, specials, caches: Caches::default() }
    }

    /// The name, such as `o200k_base`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of tokens of `text`; text that looks like a special token is text.
    pub fn count(&self, text: &str) -> usize {
        self.count_with(text, |_, _| false)
    }

    /// Number of tokens of a text as CPython keeps it.
    pub fn count_text(&self, text: Text<'_>) -> usize {
        self.caches.with(|cache| self.count_in(text, cache))
    }

    fn count_in(&self, text: Text<'_>, cache: &mut Cache) -> usize {
        let mut room = std::mem::take(&mut cache.text);
        let bytes = text.utf8(&mut room);
        let total = by_grammar!(self, P => count::count::<P>(&self.vocab, bytes, cache, |_, _| false));
        if room.len() <= KEPT {
            cache.text = room;
        }
        total
    }

    /// Numbers of tokens of many texts, counted by at most `threads` threads.
    pub fn count_batch<T: AsRef<str> + Sync>(&self, texts: &[T], threads: usize) -> Vec<usize> {
        self.count_texts(&texts.iter().map(|text| Text::Utf8(text.as_ref())).collect::<Vec<_>>(), threads)
    }

    /// The same for texts as CPython keeps them.
    pub fn count_texts(&self, texts: &[Text<'_>], threads: usize) -> Vec<usize> {
        let size = texts.iter().map(|text| text.size()).sum();
        share_out(texts, size, threads, |jobs| {
            // One cache for all that a thread counts.
            self.caches.with(|cache| {
                for (text, total) in jobs {
                    *total = self.count_in(*text, cache);
                }
            });
        })
    }

    /// The tokens of many texts, found by at most `threads` threads.
    pub fn encode_batch<T: AsRef<str> + Sync>(&self, texts: &[T], threads: usize) -> Vec<Vec<u32>> {
        let size = texts.iter().map(|text| text.as_ref().len()).sum();
        share_out(texts, size, threads, |jobs| {
            for (text, ids) in jobs {
                *ids = self.encode(text.as_ref());
            }
        })
    }

    fn count_with(&self, text: &str, stop: impl FnMut(&Batch, usize) -> bool) -> usize {
        self.caches.with(|cache| by_grammar!(self, P => count::count::<P>(&self.vocab, text.as_bytes(), cache, stop)))
    }

    /// Number of tokens of `text` if it is at most `limit`, else `None`, without looking at the rest.
    pub fn count_until(&self, text: &str, limit: usize) -> Option<usize> {
        let total = self.count_with(text, |_, total| total > limit);
        (total <= limit).then_some(total)
    }

    /// Length and tokens of the beginning of `text` whose pieces stay the same whatever follows.
    pub(super) fn settled(&self, text: &str) -> (usize, usize) {
        let source = Growing { bytes: text.as_bytes(), open: Cell::new(false) };
        let mut settled = 0;
        while settled < text.len() {
            let end = by_grammar!(self, P => P::piece(&source, settled));
            if source.open.get() {
                break;
            }
            settled = end;
        }
        // The end of the beginning must not decide anything either, so the pieces of the whole text are counted.
        let mut tokens = 0;
        self.count_with(text, |batch, _| {
            tokens += batch.pieces().take_while(|(_, end, _)| *end <= settled).map(|(.., count)| count).sum::<usize>();
            batch.pieces().last().is_none_or(|(_, end, _)| end >= settled)
        });
        (settled, tokens)
    }

    /// The longest beginning of `text` that consists of at most its first `limit` tokens and of whole characters.
    pub fn truncate<'t>(&self, text: &'t str, limit: usize) -> &'t str {
        whole(text, self.truncate_bytes(text, limit))
    }

    /// Length in bytes of the first `limit` tokens of `text`; may end inside a character.
    pub fn truncate_bytes(&self, text: &str, limit: usize) -> usize {
        let mut end = text.len();
        let mut before = 0;
        self.count_with(text, |batch, total| {
            if total > limit {
                for (start, stop, count) in batch.pieces() {
                    if before + count > limit {
                        let mut ids = Vec::new();
                        self.encode_piece(&text.as_bytes()[start..stop], &mut ids);
                        let kept = ids.iter().take(limit - before);
                        end = start + kept.map(|&id| self.vocab.width(id)).sum::<usize>();
                        return true;
                    }
                    before += count;
                }
            }
            before = total;
            false
        });
        end
    }

    /// The tokens of `text`; text that looks like a special token is text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 4 + 1);
        self.encode_into(text, &mut ids);
        ids
    }

    fn encode_into(&self, text: &str, ids: &mut Vec<u32>) {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let end = by_grammar!(self, P => P::piece(&bytes, at));
            self.encode_piece(&bytes[at..end], ids);
            at = end;
        }
    }

    #[inline]
    fn encode_piece(&self, piece: &[u8], ids: &mut Vec<u32>) {
        match self.vocab.find(piece) {
            NONE => bpe::encode(&self.vocab, piece, ids),
            id => ids.push(id),
        }
    }

    /// The tokens of `text`, where the special tokens that `allowed` accepts are special.
    pub fn encode_with_special(&self, text: &str, mut allowed: impl FnMut(&str) -> bool) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 4 + 1);
        let mut at = 0;
        while let Some((start, token, id)) = self.specials.find(text, at, &mut allowed) {
            self.encode_into(&text[at..start], &mut ids);
            ids.push(id);
            at = start + token.len();
        }
        self.encode_into(&text[at..], &mut ids);
        ids
    }

    /// The first special token in `text` that `wanted` accepts.
    pub fn find_special<'t>(&self, text: &'t str, wanted: impl FnMut(&str) -> bool) -> Option<&'t str> {
        self.specials.find(text, 0, wanted).map(|(_, token, _)| token)
    }

    /// The bytes of `ids`, which need not be UTF-8.
    ///
    /// # Errors
    ///
    /// [`UnknownToken`] for the first id that is no token.
    pub fn decode_bytes(&self, ids: &[u32]) -> Result<Vec<u8>, UnknownToken> {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for &id in ids {
            bytes.extend_from_slice(self.token_bytes(id).ok_or(UnknownToken(id))?);
        }
        Ok(bytes)
    }

    /// The bytes of one token, special or not.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.vocab.token(id).or_else(|| self.specials.text(id).map(str::as_bytes))
    }

    /// The id of exactly these bytes, special or not.
    pub fn token_of(&self, bytes: &[u8]) -> Option<u32> {
        match self.vocab.find(bytes) {
            NONE => std::str::from_utf8(bytes).ok().and_then(|text| self.specials.id(text)),
            id => Some(id),
        }
    }

    /// The special tokens and their ids.
    pub fn special_tokens(&self) -> impl Iterator<Item = (&str, u32)> {
        self.specials.iter()
    }

    /// Whether an id is a special token.
    pub fn is_special(&self, id: u32) -> bool {
        self.specials.text(id).is_some()
    }

    /// The highest id.
    pub fn max_token(&self) -> u32 {
        let specials = self.specials.iter().map(|(_, id)| id).max().unwrap_or(0);
        specials.max((self.vocab.len() as u32).saturating_sub(1))
    }

    /// All tokens that are not special, in the order of their ids.
    pub fn tokens(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (0..self.vocab.len() as u32).filter_map(|id| Some((id, self.vocab.token(id)?)))
    }
}

/// Has threads `work` on texts of so many bytes; they take the next few as they get free, as texts differ in length.
fn share_out<T: Sync, R: Send + Default + Clone>(
    texts: &[T],
    size: usize,
    threads: usize,
    work: impl Fn(&mut dyn Iterator<Item = (&T, &mut R)>) + Sync,
) -> Vec<R> {
    let threads = threads.min(size / WORTH_A_THREAD + 1).min(texts.len().max(1));
    let mut results = vec![R::default(); texts.len()];
    let share = (texts.len() / (threads * 16)).max(1);
    let jobs = Mutex::new(texts.chunks(share).zip(results.chunks_mut(share)));
    let run = || {
        let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
        work(&mut std::iter::from_fn(next).flat_map(|(texts, results)| texts.iter().zip(results)));
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Without another thread this one does all of it.
            let _ = std::thread::Builder::new().spawn_scoped(scope, run);
        }
        run();
    });
    results
}

/// The longest beginning of `text` of at most `end` bytes and of whole characters.
pub fn whole(text: &str, mut end: usize) -> &str {
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or(text)
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Encoding '{}'>", self.name)
    }
}

//! Offline token counters, exact to the token for every encoding that OpenAI publishes.
//!
//! ```text
//! text ──► pieces (mask, scan) ──► look-up (key, cache, vocab) ──► count
//!              └─ not ASCII: cut       └─ no token: merging, bpe, long
//! ```
//!
//! Not here: what a request costs beside its text; those rules are `python/ragmeter/tokens/messages.py`.

// Ids and lengths of pieces are far below 2^32; hashes are cut on purpose.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod bpe;
mod cache;
mod class;
mod count;
mod counter;
mod cut;
mod cycle;
mod encoding;
mod fetch;
mod foreign;
mod key;
mod lengths;
mod long;
mod mask;
mod merging;
mod models;
mod registry;
mod repeats;
mod scan;
mod special;
#[cfg(target_arch = "x86_64")]
mod sse2;
mod symbols;
mod text;
mod vocab;

pub use counter::Counter;
pub use encoding::{BadVocabulary, Encoding, UnknownToken, whole};
pub use models::{ModelEncoding, encoding_for, known_encoding};
pub use registry::EncodingName;
pub use text::Text;

//! Notice: what ledgers and deliveries have to say to people.

use std::sync::OnceLock;

/// Hears what the ledger has to say to people: the text, and whether it is bad news.
pub type Notice = Box<dyn Fn(&str, bool) + Send + Sync>;

static NOTICE: OnceLock<Notice> = OnceLock::new();

/// Lets `notice` hear what ledgers and deliveries have to say; the first one stays.
pub fn set_notice(notice: Notice) {
    let _ = NOTICE.set(notice);
}

pub(crate) fn say(text: &str, bad: bool) {
    if let Some(notice) = NOTICE.get() {
        notice(text, bad);
    }
}

//! What the log has said about refused peers. Who is refused knocks again and again, for ever; a reason is said once, and
//! again only after some minutes or when it changes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use mpreg_types::Time;

/// For so long a reason that was said is no news.
const QUIET: Duration = Duration::from_mins(10);
/// Reasons remembered; what is beyond is said each time.
const REMEMBERED_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Refusals(RefCell<BTreeMap<String, Time>>);

impl Refusals {
    /// True if `what`, a reason with the peer's address if that is known, has not been said lately.
    pub(super) fn is_news(&self, what: String, now: Time) -> bool {
        let mut said = self.0.borrow_mut();
        said.retain(|_, at| now.since(*at) < QUIET);
        if said.contains_key(&what) {
            return false;
        }
        if said.len() < REMEMBERED_MAX {
            said.insert(what, now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_once_in_some_minutes_and_another_one_at_once() {
        let refusals = Refusals::default();
        let now = Time::from_millis(5);
        let later = now + QUIET;
        assert!(refusals.is_news("a: other secret".to_owned(), now));
        assert!(!refusals.is_news("a: other secret".to_owned(), now));
        assert!(refusals.is_news("a: other cluster".to_owned(), now));
        assert!(refusals.is_news("b: other secret".to_owned(), now));
        assert!(!refusals.is_news("a: other secret".to_owned(), Time::from_millis(100)));
        assert!(refusals.is_news("a: other secret".to_owned(), later));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let refusals = Refusals::default();
        for number in 0..2 * REMEMBERED_MAX {
            assert!(refusals.is_news(number.to_string(), Time::ZERO));
        }
        assert_eq!(refusals.0.borrow().len(), REMEMBERED_MAX);
    }
}

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::NameError;

/// A glob over dotted names: `*` stands for any characters, dots included; everything else for itself.
///
/// Used by `catalog`, `watch`, `export`, `import_` and `rules`. Topic filters have a syntax of their own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern(Arc<str>);

const BYTES_MAX: usize = 255;
const RULE: &str =
    "it takes 1 to 255 letters, digits, '_', '-', '.', and '*' for any characters, dots included";

impl NamePattern {
    /// Parses `text`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_-.*".contains(&c);
        if (1..=BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::new("name pattern", text, RULE))
        }
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if it stands for exactly one name.
    pub fn is_literal(&self) -> bool {
        !self.0.contains('*')
    }

    /// True if it covers all of `name`. Greedy with one step back to the last `*`: linear for most, and never more than
    /// the product of both lengths, which are bounded.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        // Where to go on if what follows the last star does not fit: after the star, one character later.
        let mut retry: Option<(usize, usize)> = None;
        while n < name.len() {
            if pattern.get(p) == Some(&b'*') {
                retry = Some((p + 1, n));
                p += 1;
            } else if pattern.get(p) == Some(&name[n]) {
                p += 1;
                n += 1;
            } else if let Some((after_star, from)) = retry {
                retry = Some((after_star, from + 1));
                (p, n) = (after_star, from + 1);
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|c| *c == b'*')
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl TryFrom<String> for NamePattern {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        NamePattern::parse(pattern).unwrap().matches(name)
    }

    #[test]
    fn a_star_stands_for_any_characters_dots_included() {
        for (pattern, yes, no) in [
            ("shop.*", "shop.score shop.eu.score shop.", "shop shops.score xshop.score"),
            ("*.score", "shop.score a.b.score", "score shop.scores"),
            ("shop.*.eu*", "shop.a.eu shop.a.b.eu.c shop.eu.eu", "shop.eu shop.a.us"),
            ("*", "a a.b.c", ""),
            ("shop.score", "shop.score", "shop.score2 shop.scor Shop.score"),
            ("a**b", "ab a.b axxb", "a b"),
        ] {
            for name in yes.split_whitespace() {
                assert!(matches(pattern, name), "{pattern} should cover {name}");
            }
            for name in no.split_whitespace() {
                assert!(!matches(pattern, name), "{pattern} should not cover {name}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for bad in ["", "a b", "a?", "shop.[ab]", "ä*", &"*".repeat(256)] {
            assert!(NamePattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    /// Every way to let each star take some characters.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|taken| naive(rest, &name[taken..])),
            Some((first, rest)) => name.first() == Some(first) && naive(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn it_matches_as_the_definition_says(pattern in "[ab.*]{1,8}", name in "[ab.]{0,10}") {
            prop_assert_eq!(matches(&pattern, &name), naive(pattern.as_bytes(), name.as_bytes()));
        }
    }
}

use std::fmt;

/// Why a piece of text is not a name, version or constraint. Quotes the text and says what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameError {
    what: &'static str,
    text: String,
    rule: &'static str,
}

/// Longest part of a bad name that an error repeats.
const QUOTED_CHARS_MAX: usize = 80;

impl NameError {
    /// `what` names the kind of text ("function name"), `rule` says what it must look like.
    pub fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        Self { what, text: text.chars().take(QUOTED_CHARS_MAX).collect(), rule }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a {}: {}", self.text, self.what, self.rule)
    }
}

impl std::error::Error for NameError {}

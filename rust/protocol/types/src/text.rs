use serde::{Deserialize, Serialize};

/// Text from somebody else (a doc, an error message, a reason): data, at most 64 KiB, never trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ForeignText(String);

impl ForeignText {
    /// Longest text that is kept.
    pub const BYTES_MAX: usize = 64 * 1024;

    /// Takes `text`, cut at [`Self::BYTES_MAX`] on a character boundary.
    pub fn new(text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.len() > Self::BYTES_MAX {
            let end = (0..=Self::BYTES_MAX).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
            text.truncate(end);
        }
        Self(text)
    }

    /// The text as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ForeignText {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<ForeignText> for String {
    fn from(text: ForeignText) -> Self {
        text.0
    }
}

/// `text` with control characters written as escapes, fit for a log line or a terminal.
pub fn escape_control(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_characters() {
        let text = ForeignText::new("é".repeat(ForeignText::BYTES_MAX));
        assert_eq!(text.as_str().len(), ForeignText::BYTES_MAX);
        let odd = ForeignText::new(format!("x{}", "é".repeat(ForeignText::BYTES_MAX)));
        assert_eq!(odd.as_str().len(), ForeignText::BYTES_MAX - 1);
    }

    #[test]
    fn escapes_reach_no_terminal() {
        assert_eq!(escape_control("a\x1b[31m\nb"), "a\\u{1b}[31m\\nb");
    }
}

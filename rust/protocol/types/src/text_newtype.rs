/// Defines a parsed text newtype: cheap to clone, ordered, and checked on every way in, serde included.
///
/// `$check` is `fn(&str) -> bool`, `$normalise` turns accepted text into its one canonical form.
macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:path, $normalise:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Parses `text`, or says which rule of the grammar it breaks.
            pub fn parse(text: &str) -> Result<Self, crate::NameError> {
                if $check(text) {
                    let normalise: fn(&str) -> std::borrow::Cow<'_, str> = $normalise;
                    Ok(Self(normalise(text).as_ref().into()))
                } else {
                    Err(crate::NameError::new($what, text, $rule))
                }
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::NameError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = crate::NameError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

pub(crate) use text_newtype;

/// A DNS label of at most 63 characters, `_` allowed inside: `[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?`.
pub(crate) fn is_label(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'-';
    let edge = |c: &u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|&c| inner(c))
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
}

/// A dotted name: 1 to 16 segments `[A-Za-z0-9_-]{1,64}`, 255 bytes in all.
pub(crate) fn is_dotted(text: &str) -> bool {
    let segment = |s: &str| {
        (1..=64).contains(&s.len()) && s.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-')
    };
    text.len() <= 255 && text.split('.').count() <= 16 && text.split('.').all(segment)
}

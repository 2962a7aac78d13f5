use crate::FunctionName;
use crate::text_newtype::{is_dotted, text_newtype};

text_newtype!(
    /// A function's identity across renames; its name unless the owner gave another one.
    FunctionId,
    "function id",
    "it takes 1 to 16 segments of letters, digits, '_' and '-' (64 at most) joined by '.', 255 bytes in all",
    is_dotted,
    |text| text.into()
);

impl From<&FunctionName> for FunctionId {
    fn from(name: &FunctionName) -> Self {
        Self(name.as_str().into())
    }
}

use crate::text_newtype::{is_dotted, text_newtype};

text_newtype!(
    /// Name a function is called by: dotted, case-sensitive, ASCII.
    FunctionName,
    "function name",
    "it takes 1 to 16 segments of letters, digits, '_' and '-' (64 at most) joined by '.', 255 bytes in all",
    is_dotted,
    |text| text.into()
);

impl FunctionName {
    /// True for names under `mpreg.`, which are the mesh's own.
    pub fn is_reserved(&self) -> bool {
        self.as_str() == "mpreg" || self.as_str().starts_with("mpreg.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        for good in ["a", "shop.score", "A-b_9.c", &["s"; 16].join(".")] {
            assert_eq!(FunctionName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a/b", "ä", &["s"; 17].join("."), &"x".repeat(65)] {
            let error = FunctionName::parse(bad).unwrap_err().to_string();
            assert!(error.contains("is not a function name"), "{error}");
        }
    }

    #[test]
    fn the_meshs_own_names() {
        assert!(FunctionName::parse("mpreg.catalog").unwrap().is_reserved());
        assert!(!FunctionName::parse("mpregx.catalog").unwrap().is_reserved());
    }
}

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{FunctionVersion, NameError};

/// Which versions a caller takes: comparators joined by ",", all of which must hold.
///
/// `>=1.2,<2`, `==1.2.0`, `^1.2` (cargo), `~=1.2` (PEP 440), `!=1.3`, `*`; a bare version means exactly it.
/// A pre-release matches only if a comparator names a pre-release of the same three numbers.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionConstraint(Vec<Comparator>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Comparator {
    operator: Operator,
    version: FunctionVersion,
    /// How many numbers were written: `~=1.2` and `~=1.2.0` differ.
    written: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Operator {
    Exact,
    Not,
    AtLeast,
    Above,
    AtMost,
    Below,
    Caret,
    Compatible,
}

/// Longest first, so that ">=" is not read as ">".
const OPERATORS: [(&str, Operator); 8] = [
    ("==", Operator::Exact),
    ("!=", Operator::Not),
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("~=", Operator::Compatible),
    (">", Operator::Above),
    ("<", Operator::Below),
    ("^", Operator::Caret),
];

const COMPARATORS_MAX: usize = 8;
const RULE: &str =
    "it takes comparators like >=1.2,<2 or ==1.2.0, ^1.2, ~=1.2, !=1.3, *, or a bare version, at most 8";

impl VersionConstraint {
    /// `*`: any release.
    pub const ANY: Self = Self(Vec::new());

    /// Parses `text`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let error = || NameError::new("version constraint", text, RULE);
        if text.trim() == "*" {
            return Ok(Self::ANY);
        }
        let comparators = text
            .split(',')
            .map(|part| Comparator::parse(part.trim()).ok_or_else(error))
            .collect::<Result<Vec<_>, _>>()?;
        if comparators.len() > COMPARATORS_MAX { Err(error()) } else { Ok(Self(comparators)) }
    }

    /// `^version`: what a caller who knows `version` can use.
    pub fn compatible_with(version: &FunctionVersion) -> Self {
        Self(vec![Comparator { operator: Operator::Caret, version: version.clone(), written: 3 }])
    }

    /// True if every comparator takes `version`.
    pub fn matches(&self, version: &FunctionVersion) -> bool {
        let asked_for = !version.is_prerelease()
            || self.0.iter().any(|c| c.version.is_prerelease() && c.version.same_numbers(version));
        asked_for && self.0.iter().all(|comparator| comparator.matches(version))
    }

    /// True for `*`.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }
}

impl Comparator {
    fn parse(text: &str) -> Option<Self> {
        let (operator, rest) = OPERATORS
            .iter()
            .find_map(|(sign, operator)| text.strip_prefix(sign).map(|rest| (*operator, rest)))
            .unwrap_or((Operator::Exact, text));
        let rest = rest.trim();
        let written = rest.split('-').next()?.split('.').count();
        // PEP 440: "~=1" has no last part to vary.
        if operator == Operator::Compatible && written < 2 {
            return None;
        }
        Some(Self { operator, version: FunctionVersion::parse(rest).ok()?, written })
    }

    fn matches(&self, version: &FunctionVersion) -> bool {
        match self.operator {
            Operator::Exact => version == &self.version,
            Operator::Not => version != &self.version,
            Operator::AtLeast => version >= &self.version,
            Operator::Above => version > &self.version,
            Operator::AtMost => version <= &self.version,
            Operator::Below => version < &self.version,
            Operator::Caret => version >= &self.version && self.same_series(version),
            Operator::Compatible => version >= &self.version && self.same_prefix(version),
        }
    }

    /// Cargo's caret: the left-most number that is not 0 stays.
    fn same_series(&self, version: &FunctionVersion) -> bool {
        let v = &self.version;
        match (v.major(), v.minor(), self.written) {
            (0, 0, 1) => version.major() == 0,
            (0, 0, 2) => version.major() == 0 && version.minor() == 0,
            (0, 0, _) => version.same_numbers(v),
            (0, minor, _) => version.major() == 0 && version.minor() == minor,
            (major, _, _) => version.major() == major,
        }
    }

    /// PEP 440's compatible release: all written numbers but the last stay.
    fn same_prefix(&self, version: &FunctionVersion) -> bool {
        version.major() == self.version.major()
            && (self.written < 3 || version.minor() == self.version.minor())
    }
}

impl fmt::Display for Comparator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = OPERATORS.iter().find(|(_, o)| *o == self.operator).map_or("", |(sign, _)| sign);
        let v = &self.version;
        let numbers = [v.major(), v.minor(), v.patch()].map(|n| n.to_string());
        write!(f, "{sign}{}", numbers[..self.written.clamp(1, 3)].join("."))?;
        if v.is_prerelease() {
            let full = v.to_string();
            f.write_str(&full[full.find('-').unwrap_or(full.len())..])?;
        }
        Ok(())
    }
}

impl fmt::Display for VersionConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_any() {
            return f.write_str("*");
        }
        for (index, comparator) in self.0.iter().enumerate() {
            write!(f, "{}{comparator}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for VersionConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for VersionConstraint {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<VersionConstraint> for String {
    fn from(constraint: VersionConstraint) -> Self {
        constraint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(constraint: &str, version: &str) -> bool {
        VersionConstraint::parse(constraint).unwrap().matches(&FunctionVersion::parse(version).unwrap())
    }

    #[test]
    fn every_operator() {
        let rows = [
            (">=1.2,<2", "1.2.0 1.9.9", "1.1.9 2.0.0 2.0.0-rc.1"),
            ("==1.2.0", "1.2.0", "1.2.1"),
            ("1.2", "1.2.0", "1.2.1 1.3.0"),
            ("^1.2", "1.2.0 1.9.0", "2.0.0 1.1.0"),
            ("^0.2.3", "0.2.3 0.2.9", "0.3.0 0.2.2"),
            ("^0.0.3", "0.0.3", "0.0.4"),
            ("^0.0", "0.0.9", "0.1.0"),
            ("^0", "0.9.0", "1.0.0"),
            ("~=1.2", "1.2.0 1.9.0", "2.0.0 1.1.0"),
            ("~=1.2.3", "1.2.3 1.2.9", "1.3.0"),
            ("!=1.3", "1.2.0", "1.3.0"),
            ("> 1 , <= 3", "2.0.0 3.0.0", "1.0.0 3.0.1"),
            ("*", "0.0.0 9.9.9", "1.0.0-rc.1"),
            (">=2.0.0-rc.1", "2.0.0-rc.1 2.0.0-rc.2 2.0.0", "2.0.0-beta 2.1.0-rc.1"),
        ];
        for (constraint, yes, no) in rows {
            for version in yes.split(' ') {
                assert!(matches(constraint, version), "{constraint} should take {version}");
            }
            for version in no.split(' ') {
                assert!(!matches(constraint, version), "{constraint} should refuse {version}");
            }
        }
    }

    #[test]
    fn what_is_no_constraint() {
        for bad in ["", "1.x", ">=", "~=1", "=>1", "1 2", ">=1,,<2", "1,2,3,4,5,6,7,8,9", "==1.2.*"] {
            assert!(VersionConstraint::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn shown_text_parses_to_the_same() {
        for text in [">=1.2,<2", "~=1.2", "~=1.2.0", "^0.0", "*", "==1.0.0-rc.1", "!=3"] {
            let constraint = VersionConstraint::parse(text).unwrap();
            assert_eq!(constraint.to_string(), text);
            assert_eq!(VersionConstraint::parse(&constraint.to_string()).unwrap(), constraint);
        }
    }
}

use std::fmt;

use semver::{BuildMetadata, Prerelease, Version};
use serde::{Deserialize, Serialize};

use crate::NameError;

/// Version of a function: `major.minor.patch[-pre]` (<https://semver.org>), missing parts are 0.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FunctionVersion(Version);

const RULE: &str = "it takes one to three numbers and perhaps a pre-release, as 1.2.0 or 2.0.0-rc.1";

impl FunctionVersion {
    /// 1.0.0, what a function has unless it was given another one.
    pub const ONE: Self = Self::new(1, 0, 0);

    /// From its three numbers.
    pub const fn new(major: u64, minor: u64, patch: u64) -> Self {
        Self(Version::new(major, minor, patch))
    }

    /// Parses `text`; no build metadata, no leading "v", no wildcards.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let error = || NameError::new("version", text, RULE);
        let (numbers, pre) = text.trim().split_once('-').unwrap_or((text.trim(), ""));
        if text.contains('-') && pre.is_empty() {
            return Err(error());
        }
        let mut parts = [0_u64; 3];
        for (index, part) in numbers.split('.').enumerate() {
            let digits = !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
            let slot = parts.get_mut(index).filter(|_| digits).ok_or_else(error)?;
            *slot = part.parse().map_err(|_| error())?;
        }
        let pre = Prerelease::new(pre).map_err(|_| error())?;
        let [major, minor, patch] = parts;
        Ok(Self(Version { major, minor, patch, pre, build: BuildMetadata::EMPTY }))
    }

    /// First number: rises when callers break.
    pub fn major(&self) -> u64 {
        self.0.major
    }

    /// Second number.
    pub fn minor(&self) -> u64 {
        self.0.minor
    }

    /// Third number.
    pub fn patch(&self) -> u64 {
        self.0.patch
    }

    /// True for 2.0.0-rc.1 and the like.
    pub fn is_prerelease(&self) -> bool {
        !self.0.pre.is_empty()
    }

    /// True if both have the same three numbers.
    pub fn same_numbers(&self, other: &Self) -> bool {
        (self.major(), self.minor(), self.patch()) == (other.major(), other.minor(), other.patch())
    }
}

impl fmt::Display for FunctionVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for FunctionVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for FunctionVersion {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<FunctionVersion> for String {
    fn from(version: FunctionVersion) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_parts_are_zero() {
        for (text, full) in
            [("1", "1.0.0"), ("1.2", "1.2.0"), (" 1.2.3 ", "1.2.3"), ("2.0-rc.1", "2.0.0-rc.1")]
        {
            assert_eq!(FunctionVersion::parse(text).unwrap().to_string(), full);
        }
    }

    #[test]
    fn what_is_no_version() {
        for bad in ["", "v1", "1.x", "1.2.3.4", "1..2", "1.2-", "1.0.0+b1", "-1", "99999999999999999999"] {
            assert!(FunctionVersion::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_prerelease_is_older() {
        assert!(FunctionVersion::parse("2.0.0-rc.1").unwrap() < FunctionVersion::new(2, 0, 0));
    }
}

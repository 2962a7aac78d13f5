use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{NameError, Resource};

/// A set of resources; sorted, so equal sets have equal bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceSet(BTreeSet<Resource>);

impl ResourceSet {
    /// The empty set, which every function satisfies.
    pub const EMPTY: Self = Self(BTreeSet::new());

    /// Parses each text as a resource.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, NameError> {
        texts.into_iter().map(Resource::parse).collect::<Result<_, _>>().map(Self)
    }

    /// True if everything in `asked` is here.
    pub fn covers(&self, asked: &Self) -> bool {
        asked.0.is_subset(&self.0)
    }

    /// What is in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.0.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Resource> for ResourceSet {
    fn from_iter<T: IntoIterator<Item = Resource>>(resources: T) -> Self {
        Self(resources.into_iter().collect())
    }
}

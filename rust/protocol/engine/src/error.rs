use mpreg_catalog::CatalogError;
use mpreg_membership::{AddressesError, ConfigError};
use mpreg_types::{FunctionName, FunctionVersion};

/// Why an input by the own user was not taken, or an engine not built. The state did not change in any of these cases.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Two fields of the configuration contradict each other.
    #[error("configuration: {what}")]
    Config {
        /// The relation that is broken.
        what: &'static str,
    },
    /// Two fields of membership's configuration contradict each other.
    #[error(transparent)]
    Membership(#[from] ConfigError),
    /// The catalog does not take the entry, or its configuration contradicts itself.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Too many addresses, or one is too long.
    #[error(transparent)]
    Addresses(#[from] AddressesError),
    /// The node offers that version of that name already.
    #[error(
        "{name} {version} is registered on this node already: give it another version, or remove it first"
    )]
    AlreadyRegistered {
        /// Its name.
        name: FunctionName,
        /// Its version.
        version: FunctionVersion,
    },
    /// The node does not offer it.
    #[error("{name} {version} is not registered on this node")]
    NotRegistered {
        /// Its name.
        name: FunctionName,
        /// Its version.
        version: FunctionVersion,
    },
    /// The node has started already.
    #[error("the node has started already")]
    Started,
    /// The node has said goodbye.
    #[error("the node has left the cluster")]
    Left,
}

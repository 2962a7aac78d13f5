use std::sync::LazyLock;

use mpreg_node::{Faults, Network};

static NETWORK: LazyLock<Network> = LazyLock::new(|| Network::with_faults(Faults::new()));

/// The network of this process in which tests cut, slow and pause.
pub(crate) fn test_network() -> Network {
    NETWORK.clone()
}

//! What a node or client is started with. Python's `Config` has the same fields and checks their names and types;
//! here they become the parsed words of `mpreg-types`, once.

use std::path::PathBuf;
use std::time::Duration;

use mpreg_types::{ClusterId, HopBudget, Instance, NodeName, ResourceSet};
use serde::Deserialize;

/// What a node is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// What it is; replicas share it.
    pub name: NodeName,
    /// The part of its id after "/"; `None` = the first six hex digits of its `NodeId`.
    pub instance: Option<Instance>,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Offered by every function of this node.
    #[serde(default)]
    pub resources: ResourceSet,
    /// One address to listen on; port 0 = the system chooses.
    pub listen: String,
    /// Members of the own cluster.
    #[serde(default)]
    pub seeds: Vec<String>,
    /// Nodes of other clusters to link to. Checked; links are not dialled before federation stands.
    #[serde(default)]
    pub links: Vec<String>,
    /// Other clusters accepted.
    #[serde(default)]
    pub trust: Vec<ClusterId>,
    /// Borders a call may cross.
    pub max_hops: HopBudget,
    /// Which of the node's processes this is.
    #[serde(default)]
    pub part: Part,
    /// The rest.
    pub settings: Settings,
}

/// Which of a node's processes this is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The only one.
    #[default]
    Whole,
    /// The member, whose workers run its functions.
    Parent {
        /// Where they connect to, in a directory that nobody else may enter.
        socket: PathBuf,
        /// How many there shall be.
        workers: u32,
    },
    /// Runs functions for its parent.
    Worker {
        /// Where the parent is.
        socket: PathBuf,
        /// Which worker of it this is, from 1 on.
        number: u32,
        /// Where the node listens, for those who ask here.
        address: String,
    },
}

/// What a client is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// Its name in logs and rules.
    pub name: NodeName,
    /// Its cluster; `None` = whatever the entry node's is.
    #[serde(default)]
    pub cluster: Option<ClusterId>,
    /// Entry nodes, in the order they are tried.
    pub addresses: Vec<String>,
    /// The rest.
    pub settings: Settings,
}

/// Settings that nodes and clients share.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where a node keeps its key and its data.
    pub data_dir: Option<PathBuf>,
    /// Address told to others instead of the listen address.
    pub advertise: Option<String>,
    /// Listen and dial beyond loopback without keys; written in code or on the command line only.
    pub insecure: bool,
    /// File of the shared secret; `None` = the user's default place.
    pub secret_file: Option<PathBuf>,
    /// PEM of the own cluster's certificate authorities.
    pub tls_ca: Option<PathBuf>,
    /// PEM of the own certificate chain.
    pub tls_cert: Option<PathBuf>,
    /// PEM of the own private key.
    pub tls_key: Option<PathBuf>,
    /// For tests: links of this node can be cut, slowed and paused. Nodes in memory always can.
    pub faults: bool,
    /// Largest value, bytes.
    pub max_value_bytes: u64,
    /// Large values being received or held at one time, bytes per node.
    pub receive_bytes: u64,
    /// `async def` calls running at one time, per node.
    pub concurrency: u32,
    /// Worker threads for plain `def`.
    pub threads: u32,
    /// Calls waiting for a free slot, per node.
    pub waiting: u32,
    /// Longest frame that is read, bytes.
    pub max_frame_bytes: u32,
    /// Bytes under way on one connection before its sender waits.
    pub connection_window: u64,
    /// Bytes to be written on one connection before those who send wait.
    pub out_high_water: u64,
    /// Calls of one side of a connection that wait for their reply.
    pub pending_calls: u32,
    /// Connections of one node.
    pub connections: u32,
    /// Handshakes under way at one node.
    pub half_open: u32,
    /// Time for a handshake, seconds.
    #[serde(with = "seconds")]
    pub handshake_timeout: Duration,
    /// Time for running calls to end when a node leaves, seconds.
    #[serde(with = "seconds")]
    pub drain_timeout: Duration,
    /// Time between membership probes, seconds.
    #[serde(with = "seconds")]
    pub probe_interval: Duration,
    /// Up to this many members every pair keeps a connection; beyond, a few do and others are dialled on demand.
    pub full_mesh_max: usize,
    /// Connections that this node dialled on demand are closed when nothing was on them for so long, seconds.
    #[serde(with = "seconds")]
    pub idle_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: None,
            advertise: None,
            insecure: false,
            secret_file: None,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            faults: false,
            max_value_bytes: 1 << 30,
            receive_bytes: 2 << 30,
            concurrency: 10_000,
            threads: 40,
            waiting: 10_000,
            max_frame_bytes: 128 << 10,
            connection_window: 16 << 20,
            out_high_water: 4 << 20,
            pending_calls: 65_536,
            connections: 10_000,
            half_open: 1024,
            handshake_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(10),
            probe_interval: Duration::from_millis(300),
            full_mesh_max: 64,
            idle_after: Duration::from_mins(1),
        }
    }
}

impl Settings {
    /// True if certificates are configured: then nothing goes over TCP in plaintext.
    pub fn has_keys(&self) -> bool {
        self.tls_cert.is_some()
    }
}

/// Seconds as a float, the unit of every duration that Python names.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

//! Where a node runs: its directory, its configuration, and one function that says who it is.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;

use bytes::Bytes;
use mpreg_node::{
    Dispatcher, End, FunctionSpec, Invocation, InvocationKey, Mailbox, Network, Node, NodeConfig, NodeError,
    Replies, Settings, now,
};
use mpreg_types::{
    ClusterId, ContractHash, ForeignText, FunctionId, FunctionName, FunctionVersion, HopBudget, LeaveReason,
    NodeName, Payload, ResourceSet, Scope,
};

use crate::line::SOON;

static SCRATCHES: AtomicU64 = AtomicU64::new(0);

/// A directory of its own that goes with the test.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let number = SCRATCHES.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mpreg-n-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A node called `name` that listens on `memory:NAME` and shares the secret of the others here.
    pub(crate) fn config(&self, name: &str, seeds: &[&str], settings: Settings) -> NodeConfig {
        NodeConfig {
            name: NodeName::parse(name).unwrap(),
            instance: None,
            cluster: ClusterId::parse("eu").unwrap(),
            resources: ResourceSet::EMPTY,
            listen: format!("memory:{name}"),
            seeds: seeds.iter().map(|seed| format!("memory:{seed}")).collect(),
            links: Vec::new(),
            trust: Vec::new(),
            max_hops: HopBudget::NONE,
            part: mpreg_node::Part::Whole,
            settings: Settings { secret_file: Some(self.path("secret")), ..settings },
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Answers every call at once with the bytes it was made with.
#[derive(Debug)]
struct Answering(&'static [u8]);

impl Dispatcher for Answering {
    fn deliver(&self, invocations: &mut Vec<Invocation>) {
        let mut replies = Replies::default();
        for mut invocation in invocations.drain(..) {
            if invocation.ticket.begin(now()) {
                invocation.ticket.succeed(Payload::from(self.0.to_vec()), &mut replies);
            }
        }
        replies.flush();
    }

    fn resume(&self, _: InvocationKey) {}

    fn cancel(&self, _: InvocationKey) {}

    fn mailbox(&self) -> Option<Arc<Mailbox>> {
        None
    }
}

/// What every function of these tests answers.
pub(crate) const ANSWER: &[u8] = &[0xc3];

/// A started node; it stops with the test.
#[derive(Debug)]
pub(crate) struct Running(Node);

impl Running {
    pub(crate) fn start(config: NodeConfig, network: &Network) -> Result<Self, NodeError> {
        Self::begin(Node::within(config, network.clone())?)
    }

    pub(crate) fn begin(node: Node) -> Result<Self, NodeError> {
        ended(|end| node.start(end))?;
        Ok(Self(node))
    }

    /// Offers the function `name`.
    pub(crate) fn offer(&self, name: &str) {
        self.offer_by(name, Arc::new(Answering(ANSWER)));
    }

    /// Offers the function `name`, which `dispatcher` runs.
    pub(crate) fn offer_by(&self, name: &str, dispatcher: Arc<dyn Dispatcher>) {
        let name = FunctionName::parse(name).unwrap();
        let spec = FunctionSpec {
            streaming: false,
            id: FunctionId::from(&name),
            name,
            version: FunctionVersion::parse("1.0.0").unwrap(),
            resources: ResourceSet::EMPTY,
            tags: std::collections::BTreeMap::new(),
            scope: Scope::Cluster,
            idempotent: false,
            concurrency: None,
            timeout: None,
            contract: ContractHash::of("()"),
            signature: ForeignText::new("()"),
            doc: ForeignText::new(""),
            threaded: false,
        };
        self.0.register(spec, dispatcher, Arc::new(())).unwrap();
    }

    pub(crate) fn node(&self) -> &Node {
        &self.0
    }

    /// Leaves, and waits until it has.
    pub(crate) fn stop(&self) {
        ended(|end| self.0.stop(LeaveReason::GracefulShutdown, end)).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// What `node` answers to a look that has no parameters.
pub(crate) fn looked(node: &Node, verb: &str) -> Bytes {
    let (tell, told) = channel();
    let end = Box::new(move |answer| drop(tell.send(answer)));
    node.caller().look(verb, Bytes::from_static(&[0x80]), SOON, end);
    told.recv_timeout(SOON).unwrap().unwrap()
}

/// Runs an operation of the control thread to its end.
pub(crate) fn ended(begin: impl FnOnce(End)) -> Result<(), NodeError> {
    let (tell, told) = channel();
    begin(Box::new(move |result| drop(tell.send(result.map(drop)))));
    told.recv_timeout(SOON).unwrap()
}

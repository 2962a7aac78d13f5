//! `_mpreg.NodeCore`: one start of a node.

use std::sync::Arc;

use mpreg_node::{Caller, Dispatcher, Invocation, InvocationKey, Item, Mailbox, Node, NodeConfig, NodeError};
use mpreg_types::{FunctionName, FunctionVersion, LeaveReason};
use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::bridge::Bridge;
use crate::call::Call;
use crate::hooks::{config_error, node_error};
use crate::loops;
use crate::registration::{self, Function, Mode};
use crate::report::decoded;
use crate::serving::Serves;
use crate::settings;
use crate::thread_pool::ThreadPool;
use crate::watch::Watched;

/// Hands calls to the loop that started the node; until then they wait here.
#[derive(Debug, Default)]
struct LoopDispatcher {
    home: Mutex<Home>,
}

#[derive(Debug, Default)]
struct Home {
    mailbox: Option<Arc<Mailbox>>,
    serves: Option<Serves>,
}

impl Dispatcher for LoopDispatcher {
    fn deliver(&self, invocations: &mut Vec<Invocation>) {
        let mailbox = self.home.lock().mailbox.clone();
        // Without a loop nothing can run: the tickets answer for the dropped calls.
        if let Some(mailbox) = mailbox {
            mailbox.push_all(invocations.drain(..).map(|invocation| Item::Invoke(Box::new(invocation))));
        }
        invocations.clear();
    }

    fn resume(&self, key: InvocationKey) {
        if let Some(mailbox) = &self.home.lock().mailbox {
            mailbox.push(Item::Resume(key));
        }
    }

    fn cancel(&self, key: InvocationKey) {
        if let Some(mailbox) = &self.home.lock().mailbox {
            mailbox.push(Item::Cancel(key));
        }
    }

    fn mailbox(&self) -> Option<Arc<Mailbox>> {
        self.home.lock().mailbox.clone()
    }
}

/// Nodes in memory, and those of a test that wants faults, meet in one network of the process.
fn within(config: NodeConfig) -> Result<Node, NodeError> {
    if config.settings.faults || config.listen.starts_with("memory:") {
        Node::within(config, crate::test_network::test_network())
    } else {
        Node::new(config)
    }
}

/// `_mpreg.NodeCore`.
#[pyclass(name = "NodeCore", module = "mpreg._mpreg", frozen)]
#[derive(Debug)]
pub(crate) struct NodeCore {
    generation: u32,
    node: Node,
    on_loop: Arc<LoopDispatcher>,
    threads: Arc<ThreadPool>,
    watched: Arc<Watched>,
}

impl NodeCore {
    pub(crate) fn caller(&self) -> Caller {
        self.node.caller()
    }

    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        if self.generation == mpreg_node::generation() {
            Ok(())
        } else {
            Err(config_error(py, "this node was made before fork; create it in the child"))
        }
    }
}

#[pymethods]
impl NodeCore {
    #[new]
    fn py_new(py: Python<'_>, settings: &Bound<'_, PyAny>) -> PyResult<Self> {
        let config: NodeConfig = settings::read(settings)?;
        let threads = Arc::new(ThreadPool::new(config.settings.threads as usize));
        let node = within(config).map_err(|error| node_error(py, &error))?;
        let watched = Watched::new(node.clone());
        Ok(Self { generation: mpreg_node::generation(), node, on_loop: Arc::default(), threads, watched })
    }

    fn register(&self, registration: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = registration.py();
        self.check_process(py)?;
        let (spec, function) = registration::read(registration, self.node.max_value_bytes())?;
        let dispatcher: Arc<dyn Dispatcher> = match function.mode {
            Mode::Thread => self.threads.clone(),
            Mode::Async | Mode::Inline => self.on_loop.clone(),
        };
        let handler: Arc<Function> = Arc::new(function);
        py.detach(|| self.node.register(spec, dispatcher, handler)).map_err(|error| node_error(py, &error))
    }

    fn remove(&self, py: Python<'_>, name: &str, version: &str) -> PyResult<()> {
        self.check_process(py)?;
        let bad = |error: mpreg_types::NameError| config_error(py, error.to_string());
        let (name, version) =
            (FunctionName::parse(name).map_err(bad)?, FunctionVersion::parse(version).map_err(bad)?);
        py.detach(|| self.node.remove(&name, &version)).map_err(|error| node_error(py, &error))
    }

    fn start<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Call>> {
        self.check_process(py)?;
        let bridge: Arc<Bridge> = loops::current_bridge(py)?;
        *self.on_loop.home.lock() =
            Home { mailbox: Some(bridge.mailbox.clone()), serves: Some(bridge.serve()) };
        self.watched.serve_on(&bridge);
        bridge.request(py, decoded(), |report| self.node.start(report.into_callback()))
    }

    fn stop<'py>(&self, py: Python<'py>, reason: &str) -> PyResult<Bound<'py, Call>> {
        self.check_process(py)?;
        let reason = LeaveReason::parse(reason).map_err(|error| config_error(py, error.to_string()))?;
        let (threads, on_loop) = (self.threads.clone(), self.on_loop.clone());
        loops::current_bridge(py)?.request(py, decoded(), |report| {
            let end = report.into_callback();
            let end = Box::new(move |result| {
                // Joining may take a second, and this runs on the control thread: leave it to a thread of its own.
                std::thread::spawn(move || threads.close());
                on_loop.home.lock().serves = None;
                end(result);
            });
            self.node.stop(reason, end);
        })
    }

    fn ended<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Call>> {
        self.check_process(py)?;
        loops::current_bridge(py)?.request(py, decoded(), |report| self.node.ended(report.into_callback()))
    }

    #[getter]
    fn id(&self) -> String {
        self.node.id()
    }

    #[getter]
    fn instance(&self) -> String {
        self.node.instance().to_string()
    }

    #[getter]
    fn address(&self) -> String {
        self.node.address()
    }

    fn fingerprint(&self, py: Python<'_>) -> String {
        py.detach(|| self.node.fingerprint())
    }

    fn kill(&self, py: Python<'_>) {
        py.detach(|| self.node.kill());
        self.on_loop.home.lock().serves = None;
    }

    fn pause(&self, py: Python<'_>, paused: bool) {
        py.detach(|| self.node.pause(paused));
    }

    fn block(&self, other: &Bound<'_, Self>, blocked: bool) {
        let other = other.get();
        self.node.block(&other.node, blocked);
    }

    fn slow(&self, other: &Bound<'_, Self>, seconds: f64) {
        self.node.slow(&other.get().node, std::time::Duration::from_secs_f64(seconds.clamp(0.0, 3600.0)));
    }
}

impl Drop for NodeCore {
    fn drop(&mut self) {
        // A child made by fork owns nothing of its parent's node.
        if self.generation == mpreg_node::generation() {
            self.node.kill();
        }
    }
}

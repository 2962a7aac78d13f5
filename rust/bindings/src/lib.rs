//! The extension module `_mpreg`: conversions, bridge, dispatcher and exceptions, nothing else.
//!
//! Three rings meet here. `codec` turns Python values into bytes and back. The *bridge* (`bridge`, `call`, `futures`,
//! `jobs`, `worker`, `thread_pool`, `blocking`) carries calls between an interpreter and the mesh in batches. The classes
//! (`endpoint`, `remote`, `node_core`, `client_core`) are what the Python package stands on; `_mpreg.pyi` documents them.

mod allocator;
mod blocking;
mod bridge;
mod call;
mod client_core;
mod codec;
mod completion;
mod context;
mod coroutine;
mod endpoint;
mod exit;
mod futures;
mod graph_events;
mod graph_run;
mod hooks;
mod invocation;
mod item_sink;
mod jobs;
mod lifecycle;
mod log;
mod loop_callbacks;
mod loops;
mod names;
mod node_core;
mod plain;
mod ports;
mod quiet_lanes;
mod reading;
mod registration;
mod remote;
mod report;
mod serving;
mod settings;
mod step;
mod stream;
mod targets;
mod test_network;
mod thread_pool;
mod thread_streams;
mod wake;
mod watch;
mod worker;

use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: allocator::BySize = allocator::BySize;

/// Private to the package `mpreg`.
#[pymodule(gil_used = false)]
fn _mpreg(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    codec::module::add_to(module)?;
    names::add_to(module)?;
    targets::add_to(module)?;
    module.add_function(wrap_pyfunction!(hooks::set_hooks, module)?)?;
    module.add_function(wrap_pyfunction!(log::log_to, module)?)?;
    module.add_function(wrap_pyfunction!(loops::refuse_on_serving_loop, module)?)?;
    module.add("ambient", context::ambient(module.py())?)?;
    module.add_class::<call::Call>()?;
    module.add_class::<stream::Stream>()?;
    module.add_class::<context::CallContext>()?;
    module.add_class::<endpoint::Endpoint>()?;
    module.add_class::<endpoint::CallerCore>()?;
    module.add_class::<endpoint::BlockingCore>()?;
    module.add_class::<remote::RemoteCore>()?;
    module.add_class::<step::Step>()?;
    module.add_class::<node_core::NodeCore>()?;
    module.add_class::<client_core::ClientCore>()?;
    call::register(module.py())?;
    lifecycle::add_to(module)
}

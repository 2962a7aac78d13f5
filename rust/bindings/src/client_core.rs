//! `_mpreg.ClientCore`: a client's connections.

use mpreg_node::{Caller, Client, ClientConfig, NodeError};
use pyo3::prelude::*;

use crate::blocking;
use crate::call::Call;
use crate::hooks::{config_error, node_error};
use crate::loops;
use crate::report::decoded;
use crate::settings;

fn within(config: ClientConfig) -> Result<Client, NodeError> {
    if config.addresses.iter().any(|address| address.starts_with("memory:")) {
        Client::within(config, crate::test_network::test_network())
    } else {
        Client::new(config)
    }
}

/// `_mpreg.ClientCore`.
#[pyclass(name = "ClientCore", module = "mpreg._mpreg", frozen)]
#[derive(Debug)]
pub(crate) struct ClientCore {
    generation: u32,
    client: Client,
}

impl ClientCore {
    pub(crate) fn caller(&self) -> Caller {
        self.client.caller()
    }

    fn is_own(&self) -> bool {
        self.generation == mpreg_node::generation()
    }

    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_own() {
            Ok(())
        } else {
            Err(config_error(py, "this client was made before fork; create it in the child"))
        }
    }
}

#[pymethods]
impl ClientCore {
    #[new]
    fn py_new(py: Python<'_>, settings: &Bound<'_, PyAny>) -> PyResult<Self> {
        let config: ClientConfig = settings::read(settings)?;
        let client = within(config).map_err(|error| node_error(py, &error))?;
        Ok(Self { generation: mpreg_node::generation(), client })
    }

    fn open<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Call>> {
        self.check_process(py)?;
        loops::current_bridge(py)?.request(py, decoded(), |report| self.client.open(report.into_callback()))
    }

    fn open_blocking(&self, py: Python<'_>) -> PyResult<()> {
        self.check_process(py)?;
        blocking::request(py, |report| self.client.open(report.into_callback())).map(drop)
    }

    /// In a child made by fork there is nothing to close: the client is its parent's.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Call>> {
        loops::current_bridge(py)?.request(py, decoded(), |report| {
            if self.is_own() {
                self.client.close(report.into_callback());
            } else {
                report.into_callback()(Ok(mpreg_node::nil()));
            }
        })
    }

    fn close_blocking(&self, py: Python<'_>) -> PyResult<()> {
        if !self.is_own() {
            return Ok(());
        }
        blocking::request(py, |report| self.client.close(report.into_callback())).map(drop)
    }

    #[getter]
    fn entry(&self) -> Option<String> {
        self.client.entry_label()
    }
}

impl Drop for ClientCore {
    fn drop(&mut self) {
        if self.is_own() {
            self.client.close(Box::new(|_| ()));
        }
    }
}

//! The end of the interpreter, for the threads that are not ending it.
//!
//! Until Python 3.14 a thread that wants the interpreter while it finalizes is ended by `pthread_exit`, and Rust frames
//! on its stack turn that into an abort of the process. So whoever waits in Rust stays there once the exit has begun
//! (the process ends with it), and whoever runs Python code under Rust frames is asked to come out by `SystemExit`.
#![expect(unsafe_code, reason = "PyThreadState_SetAsyncExc has no safe wrapper in pyo3")]

use std::ffi::c_long;
use std::sync::OnceLock;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use pyo3::exceptions::PySystemExit;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

/// How long those asked to come out are waited for. What sleeps longer than that without the interpreter does not
/// want it again before the process is gone.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often it is looked whether they have.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The thread that ends the interpreter, once it does.
static ENDING: OnceLock<ThreadId> = OnceLock::new();

/// This thread ends the interpreter.
pub(crate) fn begin() {
    // A second end of one process is the first one's.
    let _ = ENDING.set(std::thread::current().id());
}

/// True once this process ends its interpreter.
pub(crate) fn has_begun() -> bool {
    ENDING.get().is_some()
}

/// For a thread that has waited without the interpreter and would take it now: never returns once the exit has begun.
pub(crate) fn hold_back() {
    if ENDING.get().is_some_and(|ending| *ending != std::thread::current().id()) {
        loop {
            std::thread::park();
        }
    }
}

/// How Python names this thread.
pub(crate) fn this_thread(py: Python<'_>) -> PyResult<c_long> {
    py.import(intern!(py, "_thread"))?.call_method0(intern!(py, "get_ident"))?.extract()
}

/// Raises `SystemExit` in the Python code of these threads, at their next step.
pub(crate) fn interrupt(py: Python<'_>, threads: &[c_long]) {
    let exception = py.get_type::<PySystemExit>();
    for thread in threads {
        // SAFETY: attached; an unknown thread is ignored, and the class is kept by the call.
        unsafe { ffi::PyThreadState_SetAsyncExc(*thread, exception.as_ptr()) };
    }
}

/// Waits a moment, without the interpreter, until `done`.
pub(crate) fn await_or_give_up(py: Python<'_>, done: impl Fn() -> bool + Sync) {
    py.detach(|| {
        let give_up = Instant::now() + PATIENCE;
        while !done() && Instant::now() < give_up {
            std::thread::sleep(LOOK_EVERY);
        }
    });
}

//! The bridges of the process: one per asyncio loop, found by the loop that runs on this thread.

use std::cell::RefCell;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::bridge::Bridge;
use crate::exit;
use crate::hooks::config_error;
use crate::watch;

thread_local! {
    /// The last loop of this thread, by address, and its bridge. The bridge holds the loop, so no other gets its address.
    static LAST: RefCell<Option<(usize, Arc<Bridge>)>> = const { RefCell::new(None) };
}

static ALL: Mutex<Vec<Arc<Bridge>>> = Mutex::new(Vec::new());

fn running_loop(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let get = GET.get_or_try_init(py, || {
        let events = py.import(intern!(py, "asyncio.events"))?;
        Ok::<_, PyErr>(events.getattr(intern!(py, "_get_running_loop"))?.unbind())
    })?;
    let running = get.bind(py).call0()?;
    Ok((!running.is_none()).then_some(running))
}

/// The bridge of the loop that runs on this thread, made at its first use.
pub(crate) fn current_bridge(py: Python<'_>) -> PyResult<Arc<Bridge>> {
    let Some(running) = running_loop(py)? else {
        let why = "no event loop runs on this thread: call inside a coroutine, or use mpreg.SyncClient, \
                   `with node.running() as mesh:`, or ctx.sync inside a plain function of a node";
        return Err(config_error(py, why));
    };
    let address = running.as_ptr() as usize;
    let last =
        LAST.with_borrow(|last| last.as_ref().filter(|(at, _)| *at == address).map(|(_, b)| b.clone()));
    match last {
        Some(bridge) => Ok(bridge),
        None => find_or_open(py, &running, address),
    }
}

fn find_or_open(py: Python<'_>, running: &Bound<'_, PyAny>, address: usize) -> PyResult<Arc<Bridge>> {
    // Loops that were closed meanwhile are let go: nothing else tells us of their end.
    let all = ALL.lock().clone();
    let (dead, alive): (Vec<_>, Vec<_>) = all.into_iter().partition(|bridge| bridge.is_dead(py));
    for bridge in &dead {
        bridge.close(py);
    }
    ALL.lock().retain(|bridge| !dead.iter().any(|gone| Arc::ptr_eq(gone, bridge)));
    let found = alive.into_iter().find(|bridge| bridge.event_loop(py).is(running));
    let bridge = if let Some(bridge) = found {
        bridge
    } else {
        let bridge = Bridge::open(running)?;
        watch::ensure_runs();
        ALL.lock().push(bridge.clone());
        bridge
    };
    LAST.set(Some((address, bridge.clone())));
    Ok(bridge)
}

/// A blocking call on a loop that runs handlers would wait for itself: it is an error that names the way out.
#[pyfunction]
#[pyo3(signature = (verb, /))]
pub(crate) fn refuse_on_serving_loop(py: Python<'_>, verb: &str) -> PyResult<()> {
    let Some(running) = running_loop(py)? else { return Ok(()) };
    let serves = ALL.lock().iter().any(|bridge| bridge.serves() && bridge.event_loop(py).is(&running));
    if serves {
        return Err(config_error(
            py,
            format!(
                "{verb} would block the event loop that runs a node's functions: use `await` with that node (inside \
                 its functions: ctx.node)"
            ),
        ));
    }
    Ok(())
}

/// True if some loop may drain.
pub(crate) fn any_alive() -> bool {
    !ALL.lock().is_empty()
}

/// Has some loop drain soon.
pub(crate) fn wake_any() {
    if let Some(bridge) = ALL.lock().last() {
        bridge.mailbox.wake();
    }
}

/// The interpreter ends: Python code that keeps another thread's loop from draining is asked to come out.
pub(crate) fn end_stuck(py: Python<'_>) {
    let Ok(own) = exit::this_thread(py) else { return };
    let all = ALL.lock().clone();
    let others: Vec<_> =
        all.into_iter().filter(|bridge| bridge.thread != own && !bridge.is_dead(py)).collect();
    for bridge in &others {
        bridge.mailbox.wake();
    }
    let drained = |bridge: &Arc<Bridge>| !bridge.mailbox.progress().0;
    exit::await_or_give_up(py, || others.iter().all(drained));
    let stuck: Vec<_> = others.iter().filter(|bridge| !drained(bridge)).map(|bridge| bridge.thread).collect();
    exit::interrupt(py, &stuck);
    if !stuck.is_empty() {
        exit::await_or_give_up(py, || others.iter().all(drained));
    }
}

/// Ends every bridge: the process ends.
pub(crate) fn close_all(py: Python<'_>) {
    LAST.set(None);
    let all = std::mem::take(&mut *ALL.lock());
    for bridge in all {
        bridge.close(py);
    }
}

/// Forgets every bridge without touching it: this is a child made by `fork`.
pub(crate) fn forget_all() {
    std::mem::forget(LAST.take());
    // The lock may be held by a thread that does not exist here.
    if let Some(mut all) = ALL.try_lock() {
        std::mem::forget(std::mem::take(&mut *all));
    }
}

//! Log lines of the mesh (tracing events) into Python's `logging`, without the threads of the mesh ever touching Python.
//!
//! A line is put in a queue and some loop is woken, whose next drain hands the batch over. Without a sink, or without
//! any loop, warnings and errors go to stderr at once, and after a second if no loop comes for them: nothing that
//! matters is silent, also while Python is stuck.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mpreg_types::escape_control;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::{loops, watch};

/// Lines that wait for Python; more are counted and told of as one.
const LINES_MAX: usize = 4096;
/// How long Python may take to come for a line.
const OVERDUE: Duration = Duration::from_secs(1);

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());
static WAITING: AtomicUsize = AtomicUsize::new(0);
static LOST: AtomicUsize = AtomicUsize::new(0);
static SINK: Mutex<Option<Py<PyAny>>> = Mutex::new(None);
/// Least level that is wanted, as `logging` counts.
static LEVEL: AtomicU32 = AtomicU32::new(WARNING);

const WARNING: u32 = 30;

struct Line {
    since: Instant,
    /// It went to stderr already.
    told: bool,
    level: u32,
    logger: String,
    message: String,
    fields: Vec<(&'static str, String)>,
}

/// Where log lines go: `sink(level, logger, message, fields)`, or stderr.
#[pyfunction]
#[pyo3(signature = (sink, level, /))]
pub(crate) fn log_to(sink: Option<Py<PyAny>>, level: u32) {
    LEVEL.store(level, Ordering::Release);
    *SINK.lock() = sink;
    // Somebody else's subscriber is there already (an embedding program): it has the lines.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(ToPython));
}

/// For a drain: hands over what waits.
pub(crate) fn deliver(py: Python<'_>) {
    if WAITING.load(Ordering::Acquire) == 0 {
        return;
    }
    let lines = {
        let mut lines = LINES.lock();
        WAITING.store(0, Ordering::Release);
        std::mem::take(&mut *lines)
    };
    let lost = LOST.swap(0, Ordering::AcqRel);
    let sink = SINK.lock().as_ref().map(|sink| sink.clone_ref(py));
    for line in lines {
        match &sink {
            Some(sink) => {
                if let Err(error) = hand_over(sink.bind(py), &line) {
                    error.write_unraisable(py, None);
                }
            }
            None => to_stderr(&line),
        }
    }
    if lost > 0 {
        let message = format!("{lost} log lines were lost: the loop did not take them in time");
        to_stderr(&Line { message, ..Line::new(WARNING, "mpreg".to_owned()) });
    }
}

/// Nothing has come for these lines since a while: what matters goes to stderr now, and to Python when it comes.
/// True if lines wait.
pub(crate) fn tell_overdue() -> bool {
    if WAITING.load(Ordering::Acquire) == 0 {
        return false;
    }
    let mut lines = LINES.lock();
    for line in lines.iter_mut().filter(|line| !line.told && line.since.elapsed() >= OVERDUE) {
        line.told = true;
        to_stderr(line);
    }
    true
}

fn hand_over(sink: &Bound<'_, PyAny>, line: &Line) -> PyResult<()> {
    let fields = PyDict::new(sink.py());
    for (name, value) in &line.fields {
        fields.set_item(name, value)?;
    }
    sink.call1((line.level, &line.logger, &line.message, fields)).map(drop)
}

fn to_stderr(line: &Line) {
    if line.level < WARNING {
        return;
    }
    let mut text = format!("{}: {}", line.logger, escape_control(&line.message));
    for (name, value) in &line.fields {
        // Writing to a String does not fail.
        let _ = write!(text, " {name}={}", escape_control(value));
    }
    text.push('\n');
    // A closed stderr has no reader to miss it.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

struct ToPython;

impl<S: Subscriber> Layer<S> for ToPython {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let level = python_level(*event.metadata().level());
        let target = event.metadata().target();
        if level < LEVEL.load(Ordering::Acquire) || !target.starts_with("mpreg") {
            return;
        }
        let mut line = Line::new(level, logger_of(target));
        event.record(&mut line);
        let has_sink = SINK.lock().is_some();
        if !has_sink || !loops::any_alive() {
            return to_stderr(&line);
        }
        let mut lines = LINES.lock();
        if lines.len() >= LINES_MAX {
            LOST.fetch_add(1, Ordering::AcqRel);
            return;
        }
        lines.push(line);
        WAITING.store(lines.len(), Ordering::Release);
        drop(lines);
        loops::wake_any();
        // A loop that is stuck is not woken twice.
        watch::stir();
    }
}

impl Line {
    fn new(level: u32, logger: String) -> Self {
        Self { since: Instant::now(), told: false, level, logger, message: String::new(), fields: Vec::new() }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" { self.message = text } else { self.fields.push((field.name(), text)) }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.fields.push((field.name(), value.to_owned()));
        }
    }
}

/// `mpreg_node::driver::outputs` becomes `mpreg.node`.
fn logger_of(target: &str) -> String {
    target.split("::").next().unwrap_or("mpreg").replacen('_', ".", 1)
}

fn python_level(level: Level) -> u32 {
    match level {
        Level::ERROR => 40,
        Level::WARN => WARNING,
        Level::INFO => 20,
        Level::DEBUG | Level::TRACE => 10,
    }
}

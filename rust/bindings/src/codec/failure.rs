//! What went wrong with a value, and where inside it.
//!
//! The path is put together while the error travels outwards, so values that are fine never pay for it.

use pyo3::exceptions::{PyException, PyMemoryError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use std::fmt::Write as _;

/// The result of each step of the codec. Boxed: the good case stays one machine word.
pub(crate) type Coded<T> = Result<T, Box<Failure>>;

/// How many steps of a path a message shows: a container that contains itself would fill a screen.
const SHOWN_STEPS: usize = 16;
/// How much of a key or a text from elsewhere a message quotes.
const SHOWN_CHARS: usize = 60;

/// Which exception it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Encode,
    Decode,
    TooLarge,
    /// The arguments do not fit the signature: `TypeError`.
    Arguments,
}

/// One step from a container to something inside it.
#[derive(Debug)]
pub(crate) enum Step {
    Index(usize),
    /// As `repr` shows it.
    Key(String),
    Field(String),
    /// Written as it is (a path from a foreign converter).
    Raw(String),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
    /// Innermost first.
    path: Vec<Step>,
    /// "argument 'rows'", "result": what the path starts from.
    root: Option<String>,
    cause: Option<PyErr>,
    /// The cause is raised as it is (`KeyboardInterrupt`, `MemoryError`).
    bare: bool,
}

impl Failure {
    #[cold]
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Box<Self> {
        let message = message.into();
        Box::new(Self { kind, message, path: Vec::new(), root: None, cause: None, bare: false })
    }

    #[cold]
    pub(crate) fn encode(message: impl Into<String>) -> Box<Self> {
        Self::new(Kind::Encode, message)
    }

    #[cold]
    pub(crate) fn decode(message: impl Into<String>) -> Box<Self> {
        Self::new(Kind::Decode, message)
    }

    /// What Python raised in between.
    #[cold]
    pub(crate) fn python(py: Python<'_>, kind: Kind, error: PyErr) -> Box<Self> {
        let bare = !error.is_instance_of::<PyException>(py) || error.is_instance_of::<PyMemoryError>(py);
        let mut failure = Self::new(kind, shorten(&error.to_string()));
        failure.cause = Some(error);
        failure.bare = bare;
        failure
    }

    /// Must not be swallowed by a union that tries its next alternative.
    pub(crate) fn is_bare(&self) -> bool {
        self.bare
    }

    /// It happened inside the value, not at its top.
    pub(crate) fn is_deep(&self) -> bool {
        !self.path.is_empty()
    }

    #[cold]
    pub(crate) fn at(mut self: Box<Self>, step: Step) -> Box<Self> {
        self.path.push(step);
        self
    }

    #[cold]
    pub(crate) fn at_index(self: Box<Self>, index: usize) -> Box<Self> {
        self.at(Step::Index(index))
    }

    #[cold]
    pub(crate) fn at_key(self: Box<Self>, key: &Bound<'_, PyAny>) -> Box<Self> {
        self.at(Step::Key(shown(key)))
    }

    #[cold]
    pub(crate) fn at_field(self: Box<Self>, name: &str) -> Box<Self> {
        self.at(Step::Field(name.to_owned()))
    }

    #[cold]
    pub(crate) fn under(mut self: Box<Self>, root: impl Into<String>) -> Box<Self> {
        self.root.get_or_insert_with(|| root.into());
        self
    }

    /// "argument 'rows'[3].price: expected float, got str".
    fn text(&self) -> String {
        let mut text = self.root.clone().unwrap_or_else(|| "value".to_owned());
        for step in self.path.iter().rev().take(SHOWN_STEPS) {
            // Writing to a String cannot fail.
            let _ = match step {
                Step::Index(index) => write!(text, "[{index}]"),
                Step::Key(key) => write!(text, "[{key}]"),
                Step::Field(name) => write!(text, ".{name}"),
                Step::Raw(path) => write!(text, "{path}"),
            };
        }
        if self.path.len() > SHOWN_STEPS {
            text.push('…');
        }
        text.push_str(": ");
        text.push_str(&self.message);
        text
    }

    #[cold]
    #[expect(clippy::boxed_local, reason = "failures travel boxed; here they end")]
    pub(crate) fn into_error(mut self: Box<Self>, py: Python<'_>) -> PyErr {
        if self.kind == Kind::Arguments {
            return pyo3::exceptions::PyTypeError::new_err(self.message);
        }
        let cause = self.cause.take();
        match cause {
            Some(cause) if self.bare => cause,
            cause => match class(py, self.kind) {
                Ok(class) => {
                    let error = PyErr::from_type(class, self.text());
                    error.set_cause(py, cause);
                    error
                }
                Err(error) => error,
            },
        }
    }
}

/// The exception classes belong to the Python package; it is imported when the first error is raised.
fn class(py: Python<'_>, kind: Kind) -> PyResult<Bound<'_, PyType>> {
    static ENCODE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static DECODE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static TOO_LARGE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let (cell, name) = match kind {
        Kind::Encode => (&ENCODE, "EncodeError"),
        Kind::Decode | Kind::Arguments => (&DECODE, "DecodeError"),
        Kind::TooLarge => (&TOO_LARGE, "TooLargeError"),
    };
    cell.import(py, "mpreg._errors", name).cloned()
}

/// `repr`, or the name of its type if that fails or is too long to be of use.
#[cold]
pub(crate) fn shown(value: &Bound<'_, PyAny>) -> String {
    match value.repr().and_then(|repr| Ok(repr.to_str()?.to_owned())) {
        Ok(text) => shorten(&text),
        Err(_) => type_name(value),
    }
}

/// "int", "pandas.core.frame.DataFrame".
#[cold]
pub(crate) fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().fully_qualified_name().map_or_else(|_| "object".to_owned(), |name| name.to_string())
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS * 4) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

//! The last start of the node, kept in `data_dir/node.incarnation`: so the next one is later, whatever the clock says.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use mpreg_types::Incarnation;

use crate::error::NodeError;

const FILE: &str = "node.incarnation";
/// Written first, then renamed: nobody ever reads half of it.
const FRESH: &str = ".node.incarnation";

/// The last start that was kept in `directory`, if any.
pub(crate) fn load(directory: &Path) -> Result<Option<Incarnation>, NodeError> {
    let path = directory.join(FILE);
    let kept = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error),
        Ok(text) => text.trim().parse().map_err(|_| io::Error::other("it does not hold a number")),
    };
    kept.map(|number| Some(Incarnation(number))).map_err(|error| {
        NodeError::config(format!(
            "the node's last start {} cannot be read: {error}; delete it, the members of the cluster know it too",
            path.display()
        ))
    })
}

/// Keeps `incarnation` in `directory`.
pub(crate) fn keep(directory: &Path, incarnation: Incarnation) -> Result<(), NodeError> {
    write(directory, incarnation).map_err(|error| {
        NodeError::config(format!(
            "the node's start cannot be kept in {}: {error}; check data_dir",
            directory.display()
        ))
    })
}

fn write(directory: &Path, incarnation: Incarnation) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let fresh = directory.join(FRESH);
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    writeln!(file, "{incarnation}")?;
    file.sync_all()?;
    fs::rename(fresh, directory.join(FILE))
}

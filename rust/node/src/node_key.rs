//! The node's Ed25519 key: drawn at start, or kept in `data_dir/node.key`.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::entropy::random_bytes;
use crate::error::NodeError;

const FILE: &str = "node.key";

/// The 32 secret bytes of the key.
pub(crate) fn load_or_draw(data_dir: Option<&Path>) -> Result<[u8; 32], NodeError> {
    let Some(directory) = data_dir else {
        return random_bytes()
            .map_err(|error| NodeError::config(format!("no random bytes from the system: {error}")));
    };
    let path = directory.join(FILE);
    keep(&path).map_err(|error| {
        NodeError::config(format!(
            "the node's key {} cannot be used: {error}; check data_dir",
            path.display()
        ))
    })
}

fn keep(path: &Path) -> std::io::Result<[u8; 32]> {
    match fs::read(path) {
        Ok(bytes) => {
            if fs::symlink_metadata(path)?.mode() & 0o077 != 0 {
                return Err(std::io::Error::other("group or others may read it; chmod 600 it"));
            }
            bytes.try_into().map_err(|_| std::io::Error::other("it does not hold exactly 32 bytes"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let directory = path.parent().unwrap_or(Path::new("."));
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            let secret = random_bytes()?;
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(&secret)?;
            file.sync_all()?;
            Ok(secret)
        }
        Err(error) => Err(error),
    }
}

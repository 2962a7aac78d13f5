//! The secret that keyless processes of one user share (`secret_file`).
//!
//! Whoever comes first writes a temporary file (0600) and hard-links it into place, so two processes that start at
//! the same moment agree on one secret and nobody ever reads half of it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use mpreg_wire::handshake::Secret;

use crate::entropy::random_bytes;
use crate::error::NodeError;

/// Reads the secret at `path`, or at the user's default place, making it if nobody has.
pub(crate) fn load(path: Option<&Path>) -> Result<Secret, NodeError> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => default_path()?,
    };
    read_or_create(&path).map(Secret::new).map_err(|error| {
        NodeError::config(format!(
            "the shared secret {} cannot be used: {error}; set secret_file to a file of your own (mode 0600)",
            path.display()
        ))
    })
}

const BYTES: usize = 32;

fn read_or_create(path: &Path) -> io::Result<[u8; BYTES]> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(path)?;
            read(path)
        }
        result => result,
    }
}

fn read(path: &Path) -> io::Result<[u8; BYTES]> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(io::Error::other("group or others may read it; chmod 600 it"));
    }
    fs::read(path)?.try_into().map_err(|_| io::Error::other("it does not hold exactly 32 bytes"))
}

fn create(path: &Path) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let suffix = random_bytes::<8>()?.map(|b| format!("{b:02x}")).concat();
    let temporary = directory.join(format!(".secret-{suffix}"));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let linked = file
        .write_all(&random_bytes::<BYTES>()?)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&temporary, path));
    fs::remove_file(&temporary)?;
    match linked {
        // Somebody was faster: theirs is the secret.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// `$XDG_STATE_HOME/mpreg/secret`, else `.local/state` of the home, else a private folder in the temporary directory.
fn default_path() -> Result<PathBuf, NodeError> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| home().map(|home| home.join(".local/state")));
    if let Some(state) = state {
        let directory = state.join("mpreg");
        if fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory).is_ok()
            && is_writable(&directory)
        {
            return Ok(directory.join("secret"));
        }
    }
    let uid = rustix::process::getuid().as_raw();
    let directory = std::env::temp_dir().join(format!("mpreg-{uid}"));
    private_directory(&directory, uid).map_err(|error| {
        NodeError::config(format!(
            "no home directory is writable and {} cannot be used: {error}; set secret_file",
            directory.display()
        ))
    })?;
    Ok(directory.join("secret"))
}

fn is_writable(directory: &Path) -> bool {
    rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok()
}

/// The temporary directory is everybody's: take a folder there only if it is ours, real and closed to others.
fn private_directory(directory: &Path, uid: u32) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = fs::symlink_metadata(directory)?;
    if !metadata.is_dir() || metadata.uid() != uid || metadata.mode() & 0o077 != 0 {
        return Err(io::Error::other("it belongs to somebody else or is open to others"));
    }
    Ok(())
}

/// `$HOME`, or the passwd entry's where it is unset (services, cron).
fn home() -> Option<PathBuf> {
    if let Some(home) = std::env::var_os("HOME").filter(|home| !home.is_empty()) {
        return Some(PathBuf::from(home));
    }
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.len() >= 6 && fields[2] == uid).then(|| PathBuf::from(fields[5]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> PathBuf {
        let name = random_bytes::<8>().unwrap().map(|b| format!("{b:02x}")).concat();
        std::env::temp_dir().join(format!("mpreg-test-{name}"))
    }

    #[test]
    fn many_processes_agree_on_one_secret() {
        let path = scratch().join("state/mpreg/secret");
        let secrets: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| read_or_create(&path).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(secrets.windows(2).all(|pair| pair[0] == pair[1]));
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "temporary files stay behind");
    }

    #[test]
    fn an_open_or_short_file_is_refused_with_the_remedy() {
        let directory = scratch();
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("secret");
        fs::write(&path, [7; 32]).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let error = load(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("chmod 600") && error.contains("secret_file"), "{error}");
        fs::write(&path, [7; 31]).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        assert!(load(Some(&path)).unwrap_err().to_string().contains("32 bytes"));
    }
}

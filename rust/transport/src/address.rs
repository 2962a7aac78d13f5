use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// Where a node listens or is dialled: `127.0.0.1:7400`, `[::1]:7400`, `host.name:7400`, `unix:/path`, `memory:name`.
///
/// Whether TCP carries TLS is a matter of configuration, not of the address: there is no way to ask for plaintext.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A host name or IP literal, and a port; port 0 lets the system choose when listening.
    Tcp {
        /// Name or literal, without brackets.
        host: Arc<str>,
        /// Port.
        port: u16,
    },
    /// A unix socket on this machine.
    Unix(PathBuf),
    /// A listener of the same process, by name.
    Memory(Arc<str>),
}

/// Text that is no address; quotes it and says what one looks like.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not an address: {rule}")]
pub struct AddressError {
    text: String,
    rule: &'static str,
}

/// Longest address that is taken; a DNS name has at most 253 characters, a socket path 107.
const ADDRESS_BYTES_MAX: usize = 512;
/// `sun_path` of Linux without its closing zero; macOS has three less and says so itself.
const UNIX_PATH_BYTES_MAX: usize = 107;
const MEMORY_NAME_BYTES_MAX: usize = 128;

impl Address {
    /// Parses `text`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let fail = |rule| Err(AddressError { text: text.chars().take(ADDRESS_BYTES_MAX).collect(), rule });
        if text.len() > ADDRESS_BYTES_MAX {
            return fail("it is longer than 512 bytes");
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') && path.len() <= UNIX_PATH_BYTES_MAX && !path.contains('\0') {
                Ok(Self::Unix(PathBuf::from(path)))
            } else {
                fail("a unix socket is unix:/absolute/path of at most 107 bytes")
            };
        }
        if let Some(name) = text.strip_prefix("memory:") {
            let fits = (1..=MEMORY_NAME_BYTES_MAX).contains(&name.len())
                && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"_.-/:".contains(&c));
            return if fits {
                Ok(Self::Memory(name.into()))
            } else {
                fail("a memory listener is memory:name, 1 to 128 of A-Z, a-z, 0-9 and _ . - / :")
            };
        }
        match Self::host_and_port(text) {
            Some((host, port)) => Ok(Self::Tcp { host: host.into(), port }),
            None => fail("it takes host:port, [ipv6]:port, unix:/path or memory:name"),
        }
    }

    fn host_and_port(text: &str) -> Option<(&str, u16)> {
        let (host, port) = text.rsplit_once(':')?;
        // `u16::from_str` takes a sign; an address does not.
        let port = port.bytes().all(|c| c.is_ascii_digit()).then(|| port.parse().ok())??;
        if let Some(literal) = host.strip_prefix('[') {
            let literal = literal.strip_suffix(']')?;
            return literal.parse::<Ipv6Addr>().is_ok().then_some((literal, port));
        }
        let name = |c: u8| c.is_ascii_alphanumeric() || b"_.-".contains(&c);
        ((1..=253).contains(&host.len()) && host.bytes().all(name)).then_some((host, port))
    }

    /// True if traffic to it cannot leave this machine. A host name other than `localhost` counts as outside: what
    /// it resolves to may change.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp { host, .. } => {
                host.eq_ignore_ascii_case("localhost")
                    || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
                    || host.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
            }
            Self::Unix(_) | Self::Memory(_) => true,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Memory(name) => write!(f, "memory:{name}"),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl From<std::net::SocketAddr> for Address {
    fn from(address: std::net::SocketAddr) -> Self {
        Self::Tcp { host: address.ip().to_string().into(), port: address.port() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_prints_as_it_was_written() {
        for text in
            ["127.0.0.1:0", "[::1]:7400", "seed.example.org:65535", "unix:/run/mpreg/a.sock", "memory:a/1"]
        {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_rule() {
        for text in [
            "",
            "host",
            ":1",
            "host:",
            "host:+1",
            "host:65536",
            "host:-1",
            "a b:1",
            "::1:1",
            "[::1",
            "[x]:1",
            "unix:relative",
            "unix:",
            "memory:",
            "memory:a b",
            "tcp://a:1",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.to_string().contains("is not an address"), "{error}");
        }
        let long = format!("unix:/{}", "x".repeat(200));
        assert!(Address::parse(&long).is_err());
    }

    #[test]
    fn only_literals_and_localhost_count_as_local() {
        for (text, local) in [
            ("127.9.0.1:1", true),
            ("[::1]:1", true),
            ("LOCALHOST:1", true),
            ("unix:/a", true),
            ("memory:a", true),
            ("0.0.0.0:1", false),
            ("10.0.0.1:1", false),
            ("localhost.evil.org:1", false),
        ] {
            assert_eq!(Address::parse(text).unwrap().is_local(), local, "{text}");
        }
    }
}

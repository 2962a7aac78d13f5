use std::fmt;

use bytes::Bytes;
use mpreg_types::{ClusterId, NodeName};

/// Which end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Opened it; its streams are odd.
    Dialer,
    /// Accepted it; its streams are even.
    Acceptor,
}

impl Side {
    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }

    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Dialer => 0,
            Self::Acceptor => 1,
        }
    }
}

/// What the transport knows of the connection before the first frame.
#[derive(Debug, Clone)]
pub struct Channel {
    /// This end.
    pub side: Side,
    /// Keying material of the TLS session (RFC 5705, RFC 9266), so that no proof can be relayed into another one.
    pub exporter: Option<Bytes>,
    /// Whom the peer's verified certificate names.
    pub certificate: Option<CertifiedName>,
}

impl Channel {
    /// Without TLS.
    pub const fn plain(side: Side) -> Self {
        Self { side, exporter: None, certificate: None }
    }
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateKind {
    /// `.../node/NAME`: a node, its workers, or a client.
    Node,
    /// `.../client/NAME`: a client only.
    Client,
}

impl CertificateKind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Client => "client",
        }
    }
}

/// The URI SAN of a certificate: `spiffe://<cluster>/node/<name>` or `spiffe://<cluster>/client/<name>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedName {
    /// The cluster, which chose the CA.
    pub cluster: ClusterId,
    /// Node or client.
    pub kind: CertificateKind,
    /// Its name.
    pub name: NodeName,
}

impl CertifiedName {
    /// Parses a URI SAN; `None` if it is no name of the mesh.
    pub fn parse(uri: &str) -> Option<Self> {
        let mut parts = uri.strip_prefix("spiffe://")?.split('/');
        let cluster = ClusterId::parse(parts.next()?).ok()?;
        let kind = match parts.next()? {
            "node" => CertificateKind::Node,
            "client" => CertificateKind::Client,
            _ => return None,
        };
        let name = NodeName::parse(parts.next()?).ok()?;
        parts.next().is_none().then_some(Self { cluster, kind, name })
    }
}

impl fmt::Display for CertifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}/{}", self.cluster, self.kind.as_str(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_certificates() {
        for good in ["spiffe://eu/node/pricing", "spiffe://eu-1/client/Ann"] {
            assert_eq!(CertifiedName::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "https://eu/node/pricing",
            "spiffe://eu/node",
            "spiffe://eu/node/",
            "spiffe://eu/node/a/b",
            "spiffe://eu/admin/a",
            "spiffe://EU/node/a",
            "spiffe:///node/a",
            "spiffe://eu/node/a?x",
        ] {
            assert_eq!(CertifiedName::parse(bad), None, "{bad}");
        }
    }
}

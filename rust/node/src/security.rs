//! What a node or client may do without keys, and what it proves itself with.
//!
//! Without certificates only this machine is reachable, unless `insecure=True` was written in code or on the command
//! line; and every keyless process proves the secret that the processes of one user share.

use std::net::IpAddr;

use mpreg_transport::{Address, Tls, TlsFiles};
use mpreg_types::ClusterId;
use mpreg_wire::handshake::SecretRule;

use crate::config::Settings;
use crate::error::NodeError;
use crate::secret;

/// What handshakes are made with.
#[derive(Debug, Clone)]
pub(crate) struct Security {
    pub(crate) secret: SecretRule,
    pub(crate) tls: Option<Tls>,
    insecure: bool,
}

impl Security {
    /// Reads the certificates, or the shared secret.
    pub(crate) fn load(settings: &Settings, cluster: Option<&ClusterId>) -> Result<Self, NodeError> {
        let tls = load_tls(settings, cluster)?;
        let secret = match (&tls, settings.insecure, &settings.secret_file) {
            (Some(_), _, _) => SecretRule::None,
            // Declared on purpose: the secret is offered, and demanded only where it was given by name.
            (None, true, None) => secret::load(None).map_or(SecretRule::None, SecretRule::Offered),
            (None, _, file) => SecretRule::Demanded(secret::load(file.as_deref())?),
        };
        Ok(Self { secret, tls, insecure: settings.insecure })
    }

    /// Refuses an address that others could reach while nothing is proved.
    pub(crate) fn check(&self, verb: &str, address: &Address) -> Result<(), NodeError> {
        if self.tls.is_some() || self.insecure || is_on_this_machine(address) {
            return Ok(());
        }
        Err(NodeError::config(format!(
            "without certificates a process may {verb} loopback addresses only, and {address} is none: \
             set tls_ca, tls_cert and tls_key, or write insecure=True in the code (the command line: --insecure)"
        )))
    }
}

fn load_tls(settings: &Settings, cluster: Option<&ClusterId>) -> Result<Option<Tls>, NodeError> {
    let (ca, certificate, key) = match (&settings.tls_ca, &settings.tls_cert, &settings.tls_key) {
        (None, None, None) => return Ok(None),
        (Some(ca), Some(certificate), Some(key)) => (ca.clone(), certificate.clone(), key.clone()),
        _ => {
            return Err(NodeError::config(
                "tls_ca, tls_cert and tls_key belong together: set all three or none",
            ));
        }
    };
    let files = TlsFiles { ca, certificate, key, trusted: std::collections::BTreeMap::new() };
    let named = cluster.map_or_else(|| Tls::cluster_of(&files), |cluster| Ok(cluster.clone()));
    let cluster = named.map_err(|error| NodeError::config(error.to_string()))?;
    let tls = Tls::from_files(&cluster, &files).map_err(|error| NodeError::config(error.to_string()))?;
    Ok(Some(tls))
}

fn is_on_this_machine(address: &Address) -> bool {
    match address {
        Address::Unix(_) | Address::Memory(_) => true,
        Address::Tcp { host, .. } => {
            host.eq_ignore_ascii_case("localhost")
                || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_needs_no_keys_and_everything_else_does() {
        let security = Security { secret: SecretRule::None, tls: None, insecure: false };
        for local in ["127.0.0.1:0", "localhost:7000", "[::1]:0", "memory:a", "unix:/tmp/x/s"] {
            assert!(security.check("listen on", &Address::parse(local).unwrap()).is_ok(), "{local}");
        }
        for open in ["0.0.0.0:0", "10.1.2.3:7000", "example.com:7000", "[::]:0"] {
            let error = security.check("listen on", &Address::parse(open).unwrap()).unwrap_err().to_string();
            assert!(error.contains("insecure=True") && error.contains("tls_cert"), "{error}");
        }
        let insecure = Security { insecure: true, ..security };
        assert!(insecure.check("dial", &Address::parse("10.1.2.3:7000").unwrap()).is_ok());
    }
}

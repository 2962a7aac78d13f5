use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use mpreg_types::ClusterId;
use mpreg_wire::handshake::{CertificateKind, CertifiedName};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use thiserror::Error;
use webpki::{EndEntityCert, KeyUsage};

use crate::CertificateError;
use crate::certificate_error::name_of;
use crate::certificate_verifier::CertificateVerifier;

/// The files that make a node's or client's certificate work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// CA certificates of the own cluster (`tls_ca`); several in one file while one replaces the other.
    pub ca: PathBuf,
    /// The own certificate chain, leaf first (`tls_cert`).
    pub certificate: PathBuf,
    /// Its private key (`tls_key`); nobody but the owner may read or write the file.
    pub key: PathBuf,
    /// CA certificates of other clusters (`trusted_cas`).
    pub trusted: BTreeMap<ClusterId, PathBuf>,
}

/// Mutual TLS 1.3 of one node or client: its certificate, and the CAs of the clusters it trusts.
///
/// No session tickets and no early data: every connection proves who is at both ends afresh, and nothing can be replayed.
#[derive(Debug, Clone)]
pub struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    verifier: Arc<CertificateVerifier>,
    name: CertifiedName,
}

/// Why certificates cannot be used; names the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file is missing or not readable.
    #[error("{path}: {why}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// It is not PEM, or holds nothing of the kind that belongs there.
    #[error("{path}: {why}", path = path.display())]
    NotPem {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Others than the owner can read or write the key.
    #[error("{path} has mode {mode:03o}, so others may read or write the key: chmod 600 it", path = path.display())]
    KeyIsOpen {
        /// The key file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The own certificate has no usable name.
    #[error("{path}: {why}", path = path.display())]
    Certificate {
        /// The certificate file.
        path: PathBuf,
        /// What is wrong.
        why: CertificateError,
    },
    /// The own certificate is for another cluster.
    #[error("the certificate is for cluster {found:?}, but this process belongs to {wanted:?}")]
    OtherCluster {
        /// In the certificate.
        found: ClusterId,
        /// In the configuration.
        wanted: ClusterId,
    },
    /// Key and certificate do not belong together, or rustls refuses them.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Larger than any sensible chain or bundle of CAs.
const PEM_BYTES_MAX: u64 = 1 << 20;
const ALPN: &[u8] = b"mpreg";
const EXPORTER_LABEL: &[u8] = b"EXPORTER-mpreg-handshake";

impl Tls {
    /// The cluster that the own certificate names: what a client without a configured cluster belongs to.
    pub fn cluster_of(files: &TlsFiles) -> Result<ClusterId, TlsError> {
        let chain = certificates(&files.certificate, &read(&files.certificate)?)?;
        let name = claimed_name(&chain);
        let name = name.map_err(|why| TlsError::Certificate { path: files.certificate.clone(), why })?;
        Ok(name.cluster)
    }

    /// Reads and checks everything; the own certificate must be for `cluster` and verify against `files.ca` today.
    pub fn from_files(cluster: &ClusterId, files: &TlsFiles) -> Result<Self, TlsError> {
        let chain = certificates(&files.certificate, &read(&files.certificate)?)?;
        let key_pem = read_key(&files.key)?;
        let key = PrivateKeyDer::from_pem_slice(&key_pem)
            .map_err(|why| TlsError::NotPem { path: files.key.clone(), why: why.to_string() })?;
        let mut anchors = HashMap::from([(cluster.clone(), trust_anchors(&files.ca)?)]);
        for (trusted, path) in &files.trusted {
            anchors.entry(trusted.clone()).or_default().extend(trust_anchors(path)?);
        }
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        let verifier = Arc::new(CertificateVerifier::new(anchors, algorithms));
        let name = own_name(&verifier, &chain)
            .map_err(|why| TlsError::Certificate { path: files.certificate.clone(), why })?;
        if name.cluster != *cluster {
            return Err(TlsError::OtherCluster { found: name.cluster, wanted: cluster.clone() });
        }
        Ok(Self {
            client: Arc::new(client_config(&verifier, chain.clone(), key.clone_key())?),
            server: Arc::new(server_config(&verifier, chain, key)?),
            verifier,
            name,
        })
    }

    /// The own identity.
    pub fn name(&self) -> &CertifiedName {
        &self.name
    }

    pub(crate) fn dialling(&self) -> Result<rustls::Connection, rustls::Error> {
        // The name is checked by the verifier against the certificate's own SAN; this one is never sent or compared.
        let nobody = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
        Ok(ClientConnection::new(self.client.clone(), nobody)?.into())
    }

    pub(crate) fn accepting(&self) -> Result<rustls::Connection, rustls::Error> {
        Ok(ServerConnection::new(self.server.clone())?.into())
    }

    /// Checks again, at `now`, a chain that was verified in a handshake; certificates end and CAs are replaced while
    /// connections live.
    pub fn recheck(&self, peer: &PeerCertificate, now: UnixTime) -> Result<(), CertificateError> {
        let Some((leaf, rest)) = peer.chain.split_first() else {
            return Err(CertificateError::Unreadable("there is none".into()));
        };
        self.verifier.check(leaf, rest, peer.usage, now).map(|_| ())
    }
}

/// A peer's proven identity and what binds it to this one TLS connection.
#[derive(Debug, Clone)]
pub struct PeerCertificate {
    /// Who it is.
    pub name: CertifiedName,
    /// TLS exporter (RFC 8446, 7.5): equal at both ends of this connection and at no other.
    pub exporter: Bytes,
    chain: Vec<CertificateDer<'static>>,
    usage: KeyUsage,
}

impl PeerCertificate {
    /// Of a connection whose TLS handshake is complete.
    pub(crate) fn of(connection: &rustls::Connection) -> Result<Self, CertificateError> {
        let unreadable = |why: &dyn std::fmt::Display| CertificateError::Unreadable(why.to_string());
        let chain: Vec<_> = connection
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .map(|c| c.clone().into_owned())
            .collect();
        let leaf = chain.first().ok_or_else(|| unreadable(&"there is none"))?;
        let name = name_of(&EndEntityCert::try_from(leaf).map_err(|e| unreadable(&e))?)?;
        let exporter = connection
            .export_keying_material([0_u8; 32], EXPORTER_LABEL, None)
            .map_err(|e| unreadable(&e))?;
        let usage = match connection {
            rustls::Connection::Client(_) => KeyUsage::server_auth(),
            rustls::Connection::Server(_) => KeyUsage::client_auth(),
        };
        Ok(Self { name, exporter: Bytes::copy_from_slice(&exporter), chain, usage })
    }
}

fn own_name(
    verifier: &CertificateVerifier,
    chain: &[CertificateDer<'static>],
) -> Result<CertifiedName, CertificateError> {
    let usage = match claimed_name(chain)?.kind {
        CertificateKind::Node => KeyUsage::server_auth(),
        CertificateKind::Client => KeyUsage::client_auth(),
    };
    let Some((leaf, rest)) = chain.split_first() else {
        return Err(CertificateError::Unreadable("there is none".into()));
    };
    verifier.check(leaf, rest, usage, UnixTime::now())
}

/// The name in the own certificate, not yet verified.
fn claimed_name(chain: &[CertificateDer<'static>]) -> Result<CertifiedName, CertificateError> {
    let leaf = chain.first().ok_or_else(|| CertificateError::Unreadable("there is none".into()))?;
    name_of(&EndEntityCert::try_from(leaf).map_err(|e| CertificateError::Unreadable(e.to_string()))?)
}

fn client_config(
    verifier: &Arc<CertificateVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    Ok(config)
}

fn server_config(
    verifier: &Arc<CertificateVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier.clone())
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

fn trust_anchors(path: &Path) -> Result<Vec<TrustAnchor<'static>>, TlsError> {
    certificates(path, &read(path)?)?
        .iter()
        .map(|certificate| match webpki::anchor_from_trusted_cert(certificate) {
            Ok(anchor) => Ok(anchor.to_owned()),
            Err(why) => Err(TlsError::NotPem { path: path.into(), why: why.to_string() }),
        })
        .collect()
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let not_pem = |why: String| TlsError::NotPem { path: path.into(), why };
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|why| not_pem(why.to_string()))?;
    if found.is_empty() { Err(not_pem("there is no certificate in it".into())) } else { Ok(found) }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let file = |why| TlsError::File { path: path.into(), why };
    read_all(File::open(path).map_err(file)?).map_err(file)
}

/// The mode is read from the open file, so nobody can swap it in between.
fn read_key(path: &Path) -> Result<Vec<u8>, TlsError> {
    let error = |why| TlsError::File { path: path.into(), why };
    let file = File::open(path).map_err(error)?;
    let mode = file.metadata().map_err(error)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(TlsError::KeyIsOpen { path: path.into(), mode });
    }
    read_all(file).map_err(error)
}

fn read_all(file: File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(PEM_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

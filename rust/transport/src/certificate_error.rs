use mpreg_types::ClusterId;
use mpreg_wire::handshake::CertifiedName;
use thiserror::Error;

/// Why a certificate does not prove who somebody is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The bytes are no certificate, or there is none.
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    /// There is none, or several, and it is not clear which is meant.
    #[error("the certificate has {0} URI names, and needs exactly one: spiffe://<cluster>/node/<name>")]
    NotOneName(usize),
    /// The one there is has another form.
    #[error(
        "{0:?} in the certificate is not spiffe://<cluster>/node/<name> or spiffe://<cluster>/client/<name>"
    )]
    BadName(String),
    /// No CA is known for the cluster in the name.
    #[error(
        "no CA is known for cluster \"{0}\": add it to trusted_cas, or give both sides certificates of one cluster"
    )]
    UnknownCluster(ClusterId),
    /// The cluster's CA did not sign it, or not for this, or not for today.
    #[error("the certificate of {name} does not hold: {why}")]
    NotSigned {
        /// Whose certificate.
        name: CertifiedName,
        /// What the check says.
        why: String,
    },
    /// A client's certificate where a node's is needed.
    #[error("{0} is a client's certificate, and only a node's may accept connections")]
    NotANode(CertifiedName),
}

/// Longest name an error repeats.
const QUOTED_CHARS_MAX: usize = 200;

/// The identity in an end-entity certificate: its single URI SAN (the form of SPIFFE ids).
pub(crate) fn name_of(certificate: &webpki::EndEntityCert<'_>) -> Result<CertifiedName, CertificateError> {
    let names: Vec<&str> = certificate.valid_uri_names().collect();
    let [uri] = names[..] else { return Err(CertificateError::NotOneName(names.len())) };
    CertifiedName::parse(uri)
        .ok_or_else(|| CertificateError::BadName(uri.chars().take(QUOTED_CHARS_MAX).collect()))
}

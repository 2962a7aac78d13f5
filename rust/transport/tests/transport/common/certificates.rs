use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use mpreg_transport::{Tls, TlsError, TlsFiles};
use mpreg_types::ClusterId;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::Scratch;

/// A certificate authority in files, as an operator has it.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    scratch: Scratch,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "mpreg test CA");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let scratch = Scratch::new();
        fs::write(scratch.path("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, scratch }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.scratch.path("ca.pem")
    }

    /// Writes a certificate with these URI names and its key; returns the files.
    pub(crate) fn issue(&self, names: &[&str]) -> TlsFiles {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names =
            names.iter().map(|name| SanType::URI((*name).try_into().unwrap())).collect();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = names.concat().replace(['/', ':'], "_");
        let files = TlsFiles {
            ca: self.ca(),
            certificate: self.scratch.path(&format!("{file}.pem")),
            key: self.scratch.path(&format!("{file}.key")),
            trusted: BTreeMap::new(),
        };
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
        files
    }

    /// What a process of `cluster` with the certificate `name` uses.
    pub(crate) fn tls(&self, cluster: &str, name: &str) -> Result<Tls, TlsError> {
        Tls::from_files(&ClusterId::parse(cluster).unwrap(), &self.issue(&[name]))
    }
}

//! How a certificate vouches for a node's key, for members that never shook hands with the node: its holder signs the key
//! once at start (the delegation), which travels with the chain in the node's facts.
//!
//! A delegation is the number of a TLS signature scheme (two bytes) and the signature, over a domain tag, the cluster, the
//! name, the node key and the certificate itself. So it ends with the certificate and fits no other name or key.

use std::path::Path;

use bytes::Bytes;
use mpreg_types::{ClusterId, NodeKey, NodeName};
use mpreg_wire::handshake::{CertificateKind, CertifiedName};
use rustls::SignatureScheme;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::config::Settings;
use crate::error::NodeError;

const DOMAIN: &[u8] = b"mpreg node key delegation 1";
/// Longest chain that is looked at.
const CHAIN_MAX: usize = 8;

/// The own certificate and the CAs of the own cluster.
#[derive(Debug)]
pub(crate) struct Certificates {
    cluster: ClusterId,
    anchors: Vec<TrustAnchor<'static>>,
    /// DER, end entity first.
    pub(crate) chain: Vec<Bytes>,
    /// Its word for the node key.
    pub(crate) delegation: Bytes,
}

impl Certificates {
    /// Reads the files, which TLS has checked before, and signs `key`; `None` without certificates.
    pub(crate) fn load(
        settings: &Settings,
        cluster: &ClusterId,
        name: &NodeName,
        key: NodeKey,
    ) -> Result<Option<Self>, NodeError> {
        let (Some(ca), Some(certificate), Some(private)) =
            (&settings.tls_ca, &settings.tls_cert, &settings.tls_key)
        else {
            return Ok(None);
        };
        let chain = pem(certificate)?;
        let anchors = pem(ca)?;
        let anchors = anchors.iter().map(|ca| webpki::anchor_from_trusted_cert(ca).map(|ca| ca.to_owned()));
        let anchors = anchors.collect::<Result<_, _>>().map_err(|why| unusable(ca, &why))?;
        let Some(leaf) = chain.first() else { return Err(unusable(certificate, &"there is none")) };
        let private_der = PrivateKeyDer::from_pem_file(private).map_err(|why| unusable(private, &why))?;
        let delegation = delegate(&private_der, &message(cluster, name, key, leaf))
            .map_err(|why| unusable(private, &why))?;
        let chain = chain.iter().map(|part| Bytes::copy_from_slice(part)).collect();
        Ok(Some(Self { cluster: cluster.clone(), anchors, chain, delegation }))
    }

    /// True if the own cluster's CA vouches for a node `name` whose holder delegated it to `key`, at `now`.
    pub(crate) fn vouch_for(
        &self,
        name: &NodeName,
        key: NodeKey,
        chain: &[Bytes],
        delegation: &[u8],
        now: UnixTime,
    ) -> bool {
        let chain: Vec<CertificateDer<'_>> =
            chain.iter().take(CHAIN_MAX).map(|part| CertificateDer::from(&part[..])).collect();
        let Some((leaf, rest)) = chain.split_first() else { return false };
        let Ok(certificate) = EndEntityCert::try_from(leaf) else { return false };
        let said =
            CertifiedName { cluster: self.cluster.clone(), kind: CertificateKind::Node, name: name.clone() };
        let named: Vec<&str> = certificate.valid_uri_names().collect();
        let usage = KeyUsage::server_auth();
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        matches!(named[..], [uri] if CertifiedName::parse(uri).as_ref() == Some(&said))
            && certificate
                .verify_for_usage(algorithms.all, &self.anchors, rest, now, usage, None, None)
                .is_ok()
            && is_signed(&certificate, &message(&self.cluster, name, key, leaf), delegation)
    }
}

/// What the holder of `leaf` signs.
fn message(cluster: &ClusterId, name: &NodeName, key: NodeKey, leaf: &[u8]) -> Vec<u8> {
    let mut message = DOMAIN.to_vec();
    for part in [cluster.as_str().as_bytes(), name.as_str().as_bytes(), key.as_bytes(), leaf] {
        message.extend_from_slice(&(part.len() as u64).to_be_bytes());
        message.extend_from_slice(part);
    }
    message
}

fn delegate(private: &PrivateKeyDer<'_>, message: &[u8]) -> Result<Bytes, rustls::Error> {
    let key = rustls::crypto::ring::sign::any_supported_type(private)?;
    let offered =
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes();
    let signer = key
        .choose_scheme(&offered)
        .ok_or_else(|| rustls::Error::General("no signature scheme for this kind of key".to_owned()))?;
    let mut delegation = u16::from(signer.scheme()).to_be_bytes().to_vec();
    delegation.extend(signer.sign(message)?);
    Ok(delegation.into())
}

fn is_signed(certificate: &EndEntityCert<'_>, message: &[u8], delegation: &[u8]) -> bool {
    let Some((scheme, signature)) = delegation.split_first_chunk::<2>() else { return false };
    let scheme = SignatureScheme::from(u16::from_be_bytes(*scheme));
    let known = rustls::crypto::ring::default_provider().signature_verification_algorithms.mapping;
    let algorithms = known.iter().filter(|(known, _)| *known == scheme).flat_map(|(_, all)| all.iter());
    algorithms.into_iter().any(|one| certificate.verify_signature(*one, message, signature).is_ok())
}

fn pem(path: &Path) -> Result<Vec<CertificateDer<'static>>, NodeError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    found.map_err(|why| unusable(path, &why))
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> NodeError {
    NodeError::config(format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
        KeyUsagePurpose, SanType,
    };

    use super::*;

    const KEY: NodeKey = NodeKey::from_bytes([3; 32]);

    /// A CA in a directory of its own, and the certificates of nodes in it.
    struct Authority(CertifiedIssuer<'static, KeyPair>, PathBuf);

    impl Authority {
        fn new(place: &str) -> Self {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            let path = std::env::temp_dir().join(format!("mpreg-ca-{}-{place}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("ca"), issuer.pem()).unwrap();
            Self(issuer, path)
        }

        fn certificates(&self, uri: &str, name: &str) -> Certificates {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let key = KeyPair::generate().unwrap();
            std::fs::write(self.1.join("cert"), params.signed_by(&key, &self.0).unwrap().pem()).unwrap();
            std::fs::write(self.1.join("key"), key.serialize_pem()).unwrap();
            let settings = Settings {
                tls_ca: Some(self.1.join("ca")),
                tls_cert: Some(self.1.join("cert")),
                tls_key: Some(self.1.join("key")),
                ..Settings::default()
            };
            let (cluster, name) = (ClusterId::parse("eu").unwrap(), NodeName::parse(name).unwrap());
            Certificates::load(&settings, &cluster, &name, KEY).unwrap().unwrap()
        }
    }

    impl Drop for Authority {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.1);
        }
    }

    fn vouches(by: &Certificates, for_it: &Certificates, name: &str, key: NodeKey) -> bool {
        let name = NodeName::parse(name).unwrap();
        by.vouch_for(&name, key, &for_it.chain, &for_it.delegation, UnixTime::now())
    }

    #[test]
    fn a_delegation_holds_for_its_name_and_key_under_the_own_ca_only() {
        let (own, foreign) = (Authority::new("own"), Authority::new("foreign"));
        let a = own.certificates("spiffe://eu/node/a", "a");
        let b = own.certificates("spiffe://eu/node/b", "b");
        assert!(vouches(&a, &b, "b", KEY) && vouches(&b, &a, "a", KEY));
        assert!(!vouches(&a, &b, "a", KEY), "another name");
        assert!(!vouches(&a, &b, "b", NodeKey::from_bytes([4; 32])), "another key");
        let stranger = foreign.certificates("spiffe://eu/node/b", "b");
        assert!(!vouches(&a, &stranger, "b", KEY), "another CA");
        let client = own.certificates("spiffe://eu/client/b", "b");
        assert!(!vouches(&a, &client, "b", KEY), "a client's");
        let mixed = Certificates { delegation: a.delegation.clone(), ..b };
        assert!(!vouches(&a, &mixed, "b", KEY), "another's delegation");
        let empty = Certificates { chain: Vec::new(), ..a };
        assert!(!vouches(&mixed, &empty, "a", KEY), "no certificate");
        let broken = Certificates { delegation: Bytes::from_static(&[1]), ..empty };
        assert!(!vouches(&mixed, &broken, "a", KEY), "half a delegation");
    }
}

use std::collections::HashMap;
use std::sync::Arc;

use mpreg_types::ClusterId;
use mpreg_wire::handshake::{CertificateKind, CertifiedName};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError as RustlsCertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage};

use crate::CertificateError;
use crate::certificate_error::name_of;

/// Checks peers' certificates by the rule of the mesh: **the name's cluster chooses the CA**. A chain is verified
/// against that cluster's CAs only, never against a common store, so no trusted cluster can sign names of another.
///
/// Host names play no part: a connection is to whoever proves the identity, wherever it was dialled.
#[derive(Debug)]
pub(crate) struct CertificateVerifier {
    anchors: HashMap<ClusterId, Vec<TrustAnchor<'static>>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl CertificateVerifier {
    pub(crate) fn new(
        anchors: HashMap<ClusterId, Vec<TrustAnchor<'static>>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self { anchors, algorithms }
    }

    /// Who the holder of `end_entity` is, if that cluster's CA says so.
    pub(crate) fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: KeyUsage,
        now: UnixTime,
    ) -> Result<CertifiedName, CertificateError> {
        let certificate = EndEntityCert::try_from(end_entity)
            .map_err(|error| CertificateError::Unreadable(error.to_string()))?;
        let name = name_of(&certificate)?;
        let Some(anchors) = self.anchors.get(&name.cluster) else {
            return Err(CertificateError::UnknownCluster(name.cluster));
        };
        let verified =
            certificate.verify_for_usage(self.algorithms.all, anchors, intermediates, now, usage, None, None);
        match verified {
            Ok(_) => Ok(name),
            Err(why) => Err(CertificateError::NotSigned { name, why: why.to_string() }),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }
}

fn refused(error: CertificateError) -> Error {
    Error::InvalidCertificate(RustlsCertificateError::Other(OtherError(Arc::new(error))))
}

/// TLS 1.3 is the only version offered, so this is never asked; if it is, the answer is no.
fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig))
}

impl ServerCertVerifier for CertificateVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let name = self.check(end_entity, intermediates, KeyUsage::server_auth(), now).map_err(refused)?;
        if name.kind == CertificateKind::Client {
            return Err(refused(CertificateError::NotANode(name)));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for CertificateVerifier {
    /// No hints: a peer has one certificate and shows it.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, intermediates, KeyUsage::client_auth(), now).map_err(refused)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

//! Who is at the other end: both sides say hello at once, then both prove it.
//!
//! No sockets, no clock, no randomness: the nonce and the key are handed in, bytes go in and out. Each proof is over H =
//! SHA-256(domain tag, both hellos, TLS exporter if any, side and role of the prover). So nothing in a hello can be
//! stripped or downgraded, and no proof can be sent back or relayed into another connection. (The idea is that of the
//! signed transcript in SIGMA, <https://webee.technion.ac.il/~hugo/sigma-pdf.pdf>.)
//!
//! Invariant: a [`PeerIdentity`] exists only after the signature over H and whatever else was demanded have been
//! checked. The types keep the order: [`Handshake`], then [`AwaitingProof`], then [`PeerIdentity`].

mod awaiting_proof;
mod channel;
mod error;
mod hello;
mod local;
mod peer_identity;
mod proof;
mod refusal;
mod secret;
mod transcript;
mod version_range;

use mpreg_types::{ClusterId, Incarnation, NodeId};

pub use awaiting_proof::AwaitingProof;
pub use channel::{CertificateKind, CertifiedName, Channel, Side};
pub use error::{HandshakeError, handshake_payload};
pub use local::{LocalHello, Policy};
pub use peer_identity::PeerIdentity;
pub use refusal::Refusal;
pub use secret::{Secret, SecretRule};
pub use version_range::VersionRange;

use crate::Role;
use hello::Hello;
use proof::Proof;
use transcript::Transcript;

/// One side of a handshake that has said hello and waits for the other's.
#[derive(Debug)]
pub struct Handshake {
    local: LocalHello,
    policy: Policy,
    channel: Channel,
    hello: Vec<u8>,
}

impl Handshake {
    /// Send [`Self::hello`] at once, whatever the side.
    pub fn new(local: LocalHello, policy: Policy, channel: Channel) -> Self {
        debug_assert_ne!(local.role, Role::Gateway, "granted, never declared");
        debug_assert!(
            local.cluster.is_some() || local.role == Role::Client,
            "only a client may have no cluster"
        );
        let hello = Hello::encode(&local);
        Self { local, policy, channel, hello }
    }

    /// Payload of the own [`FrameKind::Hello`](crate::FrameKind::Hello).
    pub fn hello(&self) -> &[u8] {
        &self.hello
    }

    /// The peer's hello. `known` tells the highest incarnation that was seen of a node.
    pub fn on_hello(
        self,
        payload: &[u8],
        known: impl FnOnce(NodeId) -> Option<Incarnation>,
    ) -> Result<AwaitingProof, Refusal> {
        let (hello, version) = Hello::decode(payload, self.local.versions)?;
        let node = hello.node();
        if hello.key == self.local.signer.key() {
            return Err(Refusal::Itself { node });
        }
        let (role, cluster) = self.grant(&hello)?;
        self.check_certificate(&hello, &cluster)?;
        if let Some(known) = known(node)
            && known > hello.incarnation
        {
            return Err(Refusal::StaleIncarnation { known, said: hello.incarnation });
        }
        if hello.demands_secret && self.local.secret.secret().is_none() {
            return Err(Refusal::SecretDemanded);
        }
        let transcript = Transcript::new(&self.channel, &self.hello, payload);
        let proof = Proof::encode(&self.local, &transcript.message(self.channel.side, self.local.role));
        let expected = transcript.message(self.channel.side.other(), hello.role);
        let demanded = hello.demands_secret || self.local.secret.is_demanded();
        let peer = PeerIdentity {
            node,
            key: hello.key,
            incarnation: hello.incarnation,
            role,
            cluster,
            name: hello.name,
            instance: hello.instance,
            addresses: hello.addresses,
            version,
            features: hello.features & self.local.features,
            declared: self.channel.certificate.is_none(),
            limits: hello.limits,
            delegation: None,
            token: None,
        };
        // The peer that demands the secret will refuse a side with another one: better both know at once.
        let secret = self.local.secret.secret().filter(|_| demanded).cloned();
        Ok(AwaitingProof::new(peer, proof, expected, secret))
    }

    /// What the peer will be, and of which cluster, if that is acceptable.
    fn grant(&self, hello: &Hello) -> Result<(Role, ClusterId), Refusal> {
        let not_accepted = || Refusal::RoleNotAccepted {
            role: hello.role,
            accepted: self.policy.roles.iter().copied().collect(),
        };
        let said = hello.cluster.as_ref().or(self.channel.certificate.as_ref().map(|name| &name.cluster));
        let own = self.local.cluster.as_ref();
        let (role, cluster) = match (said, own) {
            (Some(said), Some(own)) if said != own => {
                let (refusing, refused) = (own.clone(), said.clone());
                if hello.role != Role::Node {
                    return Err(Refusal::OtherCluster { role: hello.role, refusing, refused });
                }
                if !self.policy.trust.contains(said) {
                    return Err(Refusal::ForeignCluster { refusing, refused });
                }
                (Role::Gateway, said)
            }
            // A client that names no cluster takes that of its entry node.
            (Some(cluster), _) | (None, Some(cluster)) => (hello.role, cluster),
            // Two clients.
            (None, None) => return Err(not_accepted()),
        };
        if self.policy.roles.contains(&role) { Ok((role, cluster.clone())) } else { Err(not_accepted()) }
    }

    fn check_certificate(&self, hello: &Hello, cluster: &ClusterId) -> Result<(), Refusal> {
        let Some(certificate) = &self.channel.certificate else {
            return if self.policy.certificate { Err(Refusal::NoCertificate) } else { Ok(()) };
        };
        // A node's certificate will do for a client, never the other way round.
        let kind = if hello.role == Role::Client { certificate.kind } else { CertificateKind::Node };
        let said = CertifiedName { cluster: cluster.clone(), kind, name: hello.name.clone() };
        if *certificate == said {
            Ok(())
        } else {
            Err(Refusal::CertificateMismatch {
                certificate: certificate.to_string().into(),
                said: said.to_string().into(),
            })
        }
    }
}

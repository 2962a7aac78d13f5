//! How a node or client gets connections: its network, its handshakes, and what it says of itself.

use std::sync::Arc;
use std::time::Duration;

use mpreg_transport::{
    Address, Counters, DialError, Established, HandshakeFailure, Handshakes, Link, Network, Tls,
};
use mpreg_types::{ClusterId, Incarnation, Instance, NodeId, NodeName, Signer};
use mpreg_wire::handshake::{LocalHello, Policy, Side};
use mpreg_wire::verify::Ed25519;
use mpreg_wire::{Limits, Role};

use crate::config::Settings;
use crate::entropy::random_bytes;
use crate::error::NodeError;
use crate::security::Security;

/// What this side says of itself in every handshake.
#[derive(Debug, Clone)]
pub(crate) struct Introduction {
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) role: Role,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) name: NodeName,
    pub(crate) instance: Option<Instance>,
}

/// What changes of that while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    /// Where it can be dialled.
    pub(crate) addresses: Vec<String>,
    /// Which start it is.
    pub(crate) incarnation: Incarnation,
}

impl Introduction {
    /// With a certificate its name counts: a client takes it, a node must have been given the same.
    fn take_name_of(&mut self, tls: &Tls) -> Result<(), NodeError> {
        let certified = tls.name();
        if self.role == Role::Node && certified.name != self.name {
            return Err(NodeError::config(format!(
                "the certificate is for {}, and this node is called {}: use its own certificate, or that name",
                certified.name, self.name
            )));
        }
        self.name = certified.name.clone();
        self.cluster = Some(certified.cluster.clone());
        Ok(())
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Doorway {
    pub(crate) network: Network,
    pub(crate) security: Security,
    handshakes: Handshakes,
    introduction: Introduction,
    limits: Limits,
    policy: Policy,
    /// Names the node for the faults of a test.
    pub(crate) label: Option<Arc<str>>,
}

/// Why a dial gave no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KnockError {
    /// Nothing that listens was reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// Somebody was, and the handshake failed.
    #[error("{0}")]
    Handshake(#[from] HandshakeFailure),
    /// The own rules forbid it.
    #[error("{0}")]
    Forbidden(NodeError),
}

impl Doorway {
    pub(crate) fn new(
        settings: &Settings,
        mut introduction: Introduction,
        policy: Policy,
        network: Network,
        label: Option<Arc<str>>,
    ) -> Result<Self, NodeError> {
        let security = Security::load(settings, introduction.cluster.as_ref())?;
        if let Some(tls) = &security.tls {
            introduction.take_name_of(tls)?;
        }
        let limits = Limits {
            max_value_bytes: settings.max_value_bytes,
            receive_bytes: settings.receive_bytes,
            handshake_timeout: settings.handshake_timeout,
            max_frame_bytes: settings.max_frame_bytes,
            connection_window: settings.connection_window,
            out_high_water: settings.out_high_water,
            pending_calls: settings.pending_calls,
            connections: settings.connections,
            half_open: settings.half_open,
            ..Limits::default()
        };
        limits.check().map_err(|error| NodeError::config(error.to_string()))?;
        let handshakes = Handshakes::new(
            limits.clone(),
            security.tls.clone(),
            Arc::new(Ed25519),
            Arc::new(Counters::default()),
        );
        let policy = Policy { certificate: security.tls.is_some(), ..policy };
        Ok(Self { network, security, handshakes, introduction, limits, policy, label })
    }

    /// Dials one address and shakes hands.
    pub(crate) async fn dial(
        &self,
        address: &Address,
        standing: Standing,
        within: Duration,
        known: impl FnOnce(NodeId) -> Option<Incarnation>,
    ) -> Result<Established, KnockError> {
        self.security.check("dial", address).map_err(KnockError::Forbidden)?;
        let link = self.network.dial(address, self.label.as_ref(), within).await?;
        self.shake(link, Side::Dialer, standing, known).await
    }

    /// Proves both sides of a link.
    pub(crate) async fn shake(
        &self,
        link: Link,
        side: Side,
        standing: Standing,
        known: impl FnOnce(NodeId) -> Option<Incarnation>,
    ) -> Result<Established, KnockError> {
        let intro = &self.introduction;
        let nonce =
            random_bytes().map_err(|error| KnockError::Forbidden(NodeError::config(error.to_string())))?;
        let local = LocalHello {
            cluster: intro.cluster.clone(),
            instance: intro.instance.clone(),
            addresses: standing.addresses,
            limits: self.limits.for_peer(),
            secret: self.security.secret.clone(),
            ..LocalHello::new(
                intro.signer.clone(),
                standing.incarnation,
                intro.role,
                intro.name.clone(),
                nonce,
            )
        };
        Ok(self.handshakes.shake(link, side, local, self.policy.clone(), known).await?)
    }
}

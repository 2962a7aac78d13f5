use std::rc::Rc;
use std::time::Duration;

use mpreg_engine::{Addresses, DialId, DialOutcome, Input};
use mpreg_transport::{Address, Established, HandshakeFailure};
use mpreg_types::NodeId;
use mpreg_wire::handshake::{HandshakeError, Refusal};

use super::Driver;
use crate::doorway::{Doorway, KnockError};
use crate::error::NodeError;

/// How long one dial may take, handshake included.
const DIAL_MAX: Duration = Duration::from_secs(2);

/// A dial that ended.
pub(super) struct Dialled {
    dial: DialId,
    expect: Option<NodeId>,
    result: Result<Established, DialOutcome>,
    /// The peer knows a later start of this node, or refuses for a reason that dialling again does not change.
    fatal: Option<NodeError>,
}

impl Driver {
    /// Dials all addresses of one peer side by side; the first handshake that succeeds wins.
    pub(super) fn dial(&mut self, dial: DialId, expect: Option<NodeId>, addresses: &Addresses) {
        let (doorway, own, me) = (self.doorway.clone(), self.addresses.clone(), self.shared.me.node);
        let (report, addresses) = (self.dialled.0.clone(), addresses.to_vec());
        let (label, runtime, refusals) =
            (self.shared.label.clone(), self.runtime.clone(), self.refusals.clone());
        let task = tokio::task::spawn_local(async move {
            let mut outcome = Err(DialOutcome::Failed);
            let mut fatal = None;
            for text in &addresses {
                if own.contains(text) {
                    outcome = Err(DialOutcome::Myself);
                    continue;
                }
                match knock(&doorway, text, &own).await {
                    Ok(established) if established.peer().node == me => outcome = Err(DialOutcome::Myself),
                    Ok(established) => {
                        outcome = Ok(established);
                        break;
                    }
                    Err(error) => {
                        tracing::debug!(node = %label, address = %text, %error, "dial failed");
                        if let Some(reason) = refusal_of(&error)
                            && refusals.is_news(format!("{text} {reason}"), runtime.clock.now())
                        {
                            tracing::warn!(node = %label, address = %text, %reason, "no connection: refused");
                        }
                        outcome = Err(outcome_of(&error));
                        fatal = fatal_of(&error).or(fatal);
                    }
                }
            }
            // The driver has ended: nobody wants the connection any more.
            let _ = report.send(Dialled { dial, expect, result: outcome, fatal });
        });
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(task.abort_handle());
    }

    /// Takes a dialled connection into use, and tells the engine.
    pub(super) fn dial_ended(&mut self, dialled: Dialled) {
        let Dialled { dial, expect, result, fatal } = dialled;
        let outcome = match result {
            Ok(established) => {
                let node = established.peer().node;
                match expect.filter(|expected| *expected != node) {
                    Some(_) => DialOutcome::OtherNode { found: node },
                    None => self.take(established, node),
                }
            }
            Err(outcome) => outcome,
        };
        if let Some(error) = fatal {
            self.fatal = Some(error);
        }
        self.hear(Input::Dialled { dial, outcome });
    }

    fn take(&mut self, established: Established, node: NodeId) -> DialOutcome {
        match established.run(&self.runtime.io_handle(), self.switch.clone()) {
            Ok(_) => DialOutcome::Connected { node },
            Err(error) => {
                tracing::warn!(node = %self.shared.label, %error, "a connection could not be moved to its thread");
                DialOutcome::Failed
            }
        }
    }
}

async fn knock(doorway: &Rc<Doorway>, text: &str, own: &[String]) -> Result<Established, KnockError> {
    let address =
        Address::parse(text).map_err(|error| KnockError::Forbidden(NodeError::config(error.to_string())))?;
    doorway.dial(&address, own.to_vec(), DIAL_MAX, |_| None).await
}

fn outcome_of(error: &KnockError) -> DialOutcome {
    match error {
        KnockError::Dial(error) if error.is_refused() => DialOutcome::Refused,
        _ => DialOutcome::Failed,
    }
}

/// A refusal is news for people: it says what to change.
fn refusal_of(error: &KnockError) -> Option<&HandshakeError> {
    match error {
        KnockError::Handshake(HandshakeFailure::Refused(refused)) => Some(refused),
        _ => None,
    }
}

fn fatal_of(error: &KnockError) -> Option<NodeError> {
    match error {
        KnockError::Handshake(HandshakeFailure::Refused(
            HandshakeError::Refused(refusal) | HandshakeError::RefusedByPeer(refusal),
        )) if matches!(refusal, Refusal::StaleIncarnation { .. }) => {
            Some(NodeError::config(refusal.to_string()))
        }
        _ => None,
    }
}

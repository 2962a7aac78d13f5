use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mpreg_engine::{Addresses, DialId, DialOutcome, Engine, Input};
use mpreg_transport::{Address, Established, HandshakeFailure};
use mpreg_types::{MemberState, NodeId};
use mpreg_wire::handshake::{HandshakeError, Refusal};
use tokio::time::timeout;

use super::Driver;
use super::anew::{known_start, refused_start};
use crate::command::Command;
use crate::doorway::{Doorway, KnockError, Standing};
use crate::error::NodeError;

/// How long one dial may take, handshake included.
const DIAL_MAX: Duration = Duration::from_secs(2);
/// Most addresses of one name that are dialled.
const PLACES_MAX: usize = 8;

/// A dial that ended.
pub(super) struct Dialled {
    dial: DialId,
    expect: Option<NodeId>,
    result: Result<Established, DialOutcome>,
}

impl Driver {
    /// Dials all addresses of one peer side by side; the first handshake that succeeds wins.
    pub(super) fn dial(&mut self, dial: DialId, expect: Option<NodeId>, addresses: &Addresses) {
        let (doorway, standing, engine) = (self.doorway.clone(), self.standing(), self.engine.clone());
        let (report, addresses) = (self.dialled.0.clone(), addresses.to_vec());
        let (shared, runtime, refusals) = (self.shared.clone(), self.runtime.clone(), self.refusals.clone());
        let state = |node| self.engine.borrow().membership().member(node).map(|member| member.state);
        let state = expect.and_then(state);
        let is_awaited = matches!(state, None | Some(MemberState::Alive));
        let task = tokio::task::spawn_local(async move {
            let mut outcome = Err(DialOutcome::Failed);
            for text in &places(addresses, &standing.addresses).await {
                if standing.addresses.contains(text) {
                    outcome = Err(DialOutcome::Myself);
                    continue;
                }
                match knock(&doorway, text, &standing, &engine).await {
                    Ok(established) if established.peer().node == shared.node => {
                        outcome = Err(DialOutcome::Myself);
                    }
                    Ok(established) => {
                        outcome = Ok(established);
                        break;
                    }
                    Err(error) => {
                        tracing::debug!(node = %shared.label, address = %text, %error, "dial failed");
                        if is_silence(&error) {
                            // Of a member that is suspected or down nothing else is to be expected.
                            if is_awaited
                                && refusals.is_news(format!("{text} is silent"), runtime.clock.now())
                            {
                                tracing::warn!(node = %shared.label, address = %text, "no connection: a process listens there and does not answer; it is stopped or overloaded, or no node");
                            }
                        } else if let Some(reason) = refusal_of(&error)
                            && refusals.is_news(format!("{text} {reason}"), runtime.clock.now())
                        {
                            tracing::warn!(node = %shared.label, address = %text, %reason, "no connection: refused");
                        }
                        if let Some((known, said)) = refused_start(&error) {
                            shared.command(Command::Outstarted { known, said, dialled: true });
                        }
                        outcome = Err(outcome_of(&error));
                    }
                }
            }
            // The driver has ended: nobody wants the connection any more.
            let _ = report.send(Dialled { dial, expect, result: outcome });
        });
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(task.abort_handle());
    }

    /// Takes a dialled connection into use, and tells the engine.
    pub(super) fn dial_ended(&mut self, dialled: Dialled) {
        let Dialled { dial, expect, result } = dialled;
        let outcome = match result {
            Ok(established) => {
                let node = established.peer().node;
                let taken = self.take(established, node);
                // A connection like any other all the same: the node that was found uses it already, and what it sends
                // on it must not be lost.
                match expect.filter(|expected| *expected != node) {
                    Some(_) => DialOutcome::OtherNode { found: node },
                    None => taken,
                }
            }
            Err(outcome) => outcome,
        };
        self.hear(Input::Dialled { dial, outcome });
    }

    fn take(&mut self, established: Established, node: NodeId) -> DialOutcome {
        match established.run(&self.runtime.io_handle(), self.switch.clone()) {
            Ok(connection) => {
                self.newest.set(connection.id());
                DialOutcome::Connected { node }
            }
            Err(error) => {
                tracing::warn!(node = %self.shared.label, %error, "a connection could not be moved to its thread");
                DialOutcome::Failed
            }
        }
    }
}

/// A name that leads to several processes (a headless service of Kubernetes) stands for each of them but this one. Left to
/// the resolver, the first of them would always be this one: it is the nearest (RFC 6724, rule 9).
async fn places(addresses: Vec<String>, own: &[String]) -> Vec<String> {
    let mut places = Vec::new();
    for text in addresses {
        let resolved = match Address::parse(&text) {
            Ok(Address::Tcp { host, port }) if host.parse::<IpAddr>().is_err() => {
                let lookup = tokio::net::lookup_host((&*host, port));
                // What cannot be resolved is dialled by its name, which says so.
                timeout(DIAL_MAX, lookup)
                    .await
                    .ok()
                    .and_then(Result::ok)
                    .map_or_else(Vec::new, Iterator::collect)
            }
            _ => Vec::new(),
        };
        places.extend(behind(text, &resolved, own));
    }
    places
}

/// The places behind `name`, or the name itself if there are not several.
fn behind(name: String, resolved: &[SocketAddr], own: &[String]) -> Vec<String> {
    let all: BTreeSet<&SocketAddr> = resolved.iter().collect();
    if all.len() < 2 {
        return vec![name];
    }
    let others = resolved.iter().map(SocketAddr::to_string).filter(|place| !own.contains(place));
    others.take(PLACES_MAX).collect()
}

async fn knock(
    doorway: &Doorway,
    text: &str,
    standing: &Standing,
    engine: &RefCell<Engine>,
) -> Result<Established, KnockError> {
    let address =
        Address::parse(text).map_err(|error| KnockError::Forbidden(NodeError::config(error.to_string())))?;
    doorway.dial(&address, standing.clone(), DIAL_MAX, |node| known_start(engine, node)).await
}

fn outcome_of(error: &KnockError) -> DialOutcome {
    match error {
        KnockError::Dial(error) if error.is_refused() => DialOutcome::Refused,
        _ => DialOutcome::Failed,
    }
}

/// The link stood, and nobody said anything in time.
fn is_silence(error: &KnockError) -> bool {
    matches!(
        error,
        KnockError::Handshake(HandshakeFailure::Refused(HandshakeError::Refused(Refusal::TooSlow { .. })))
    )
}

/// A refusal is news for people: it says what to change.
fn refusal_of(error: &KnockError) -> Option<&HandshakeError> {
    match error {
        KnockError::Handshake(HandshakeFailure::Refused(refused)) => Some(refused),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn a_name_of_several_processes_is_all_of_them_but_this_one() {
        let all = resolved(&["10.9.0.2:7000", "10.9.0.3:7000", "[fd00::1]:7000"]);
        let own = ["10.9.0.2:7000".to_owned()];
        let found = behind("mesh:7000".to_owned(), &all, &own);
        assert_eq!(found, ["10.9.0.3:7000", "[fd00::1]:7000"]);
        assert!(found.iter().all(|place| Address::parse(place).is_ok()));
    }

    #[test]
    fn a_name_of_one_process_or_of_nobody_stays_a_name() {
        for all in [&[][..], &["10.9.0.2:7000"], &["10.9.0.2:7000", "10.9.0.2:7000"]] {
            let found = behind("mesh:7000".to_owned(), &resolved(all), &["10.9.0.2:7000".to_owned()]);
            assert_eq!(found, ["mesh:7000"]);
        }
    }

    #[test]
    fn only_so_many_of_one_name_are_dialled() {
        let all: Vec<SocketAddr> = (1..=200).map(|host| SocketAddr::from(([10, 9, 0, host], 7000))).collect();
        assert_eq!(behind("mesh:7000".to_owned(), &all, &[]).len(), PLACES_MAX);
    }
}

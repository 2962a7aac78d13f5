//! What a node has done so far and whom it is connected to: the answer to `mpreg.stats`.

use bytes::Bytes;
use mpreg_engine::MemberRow;
use mpreg_types::{Builtin, FunctionVersion, MemberState, Target};
use mpreg_wire::Role;

use super::Driver;
use crate::look::CandidateRow;
use crate::stats_view::{ConnectionStats, FunctionStats, NodeStats};

impl Driver {
    /// The answer, encoded.
    pub(super) fn stats(&self) -> Bytes {
        mpreg_wire::message::encode(&self.node_stats()).into()
    }

    fn node_stats(&self) -> NodeStats {
        let load = self.shared.workload.load();
        let (connections, refused) = {
            let switch = self.switch.lock();
            (switch.connections(), switch.switch.counters().refused)
        };
        let count = |role: Role| connections.iter().filter(|open| open.peer().role == role).count() as u64;
        NodeStats {
            node: self.shared.label.clone(),
            at_us: self.runtime.clock.now().as_micros(),
            in_flight: load.in_flight,
            queued: load.queued,
            refused,
            clients: count(Role::Client),
            workers: count(Role::Worker),
            functions: self.functions_called(),
            connections: self.connections_to_members(),
        }
    }

    /// Of those that were never called there is nothing to say.
    fn functions_called(&self) -> Vec<FunctionStats> {
        let all = self.shared.functions.all().into_iter();
        let rows = all.map(|(_, entry)| FunctionStats::new(&entry.spec, &entry.slots));
        rows.filter(|row| row.calls > 0 || row.in_flight > 0).collect()
    }

    /// Each is asked for an answer, so that the next reading has its round trip.
    fn connections_to_members(&self) -> Vec<ConnectionStats> {
        let snapshot = self.shared.snapshot.load();
        let cluster = &self.shared.config.cluster;
        let members = self.engine.borrow().members();
        let mut rows = Vec::new();
        for connection in self.peers.used() {
            let node = connection.peer().node;
            // It has room for a ping, or enough to do.
            if connection.send_ping().is_ok() {
                connection.flush();
            }
            rows.push(ConnectionStats {
                node: members
                    .iter()
                    .find(|row| row.node_id == node)
                    .map_or_else(|| node.short(), |row| format!("{cluster}/{}", row.id)),
                rtt_us: connection.rtt().map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
                in_flight: snapshot.peer(node).map_or(0, |peer| peer.in_flight()),
            });
        }
        rows
    }

    /// A target for the builtin function of each member that may answer and that calls can reach from here.
    pub(super) fn builtin_of_all(&self, builtin: Builtin) -> Bytes {
        let cluster = &self.shared.config.cluster;
        let (members, snapshot) = (self.engine.borrow().members(), self.shared.snapshot.load());
        let living = |row: &MemberRow| matches!(row.state, MemberState::Alive | MemberState::Suspect);
        // The snapshot is what the calls are routed by; it follows within milliseconds.
        let routed = |row: &MemberRow| {
            row.node_id == self.shared.node
                || snapshot.peer(row.node_id).is_some_and(|peer| peer.incarnation() == row.incarnation)
        };
        let rows = members.into_iter().filter(|row| living(row) && routed(row)).map(|row| CandidateRow {
            node: format!("{cluster}/{}", row.id),
            target: Target::Direct {
                node: row.node_id,
                incarnation: row.incarnation,
                function: builtin.id(),
                version: FunctionVersion::ONE,
            },
        });
        mpreg_wire::message::encode(&rows.collect::<Vec<_>>()).into()
    }
}

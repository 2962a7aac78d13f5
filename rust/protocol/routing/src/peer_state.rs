use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use mpreg_types::{ConnectionId, Incarnation, Load, MemberState, NodeId, Time};

use crate::circuit::{Circuit, CircuitState};
use crate::load::{MeanLoad, PeerLoad};

/// What changes with every call about one start of a node (the own one included), as atomics that every thread of this
/// process and every snapshot share.
///
/// All loads and stores are relaxed: each value stands for itself, and a value that is a moment old leads at worst to a
/// refused call, which is tried elsewhere.
#[derive(Debug)]
pub struct PeerState {
    node: NodeId,
    incarnation: Incarnation,
    own: bool,
    /// 0 = none.
    connection: AtomicU64,
    member: AtomicU8,
    draining: AtomicBool,
    /// 0 = unknown.
    rtt_us: AtomicU32,
    load: PeerLoad,
    mean: Arc<MeanLoad>,
    circuit: Circuit,
    /// Of the whole cluster, shared by all its nodes.
    dials_on_demand: Arc<AtomicBool>,
}

/// Round trips below this are equal.
const RTT_EQUAL_US: u32 = 1_000;

impl PeerState {
    pub(crate) fn new(
        node: NodeId,
        incarnation: Incarnation,
        own: bool,
        mean: Arc<MeanLoad>,
        dials_on_demand: Arc<AtomicBool>,
    ) -> Self {
        Self {
            node,
            incarnation,
            own,
            connection: AtomicU64::new(0),
            member: AtomicU8::new(member_code(MemberState::Alive)),
            draining: AtomicBool::new(false),
            rtt_us: AtomicU32::new(0),
            load: PeerLoad::default(),
            mean,
            circuit: Circuit::default(),
            dials_on_demand,
        }
    }

    /// A worker process of the own node: it stands for the node, and is reached by a connection.
    pub fn of_worker(own: &Self) -> Self {
        Self::new(own.node, own.incarnation, false, Arc::default(), Arc::default())
    }

    /// The node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Its start.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// True for the node whose snapshot this is.
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// The connection to it, if one stands. Always `None` for the own node, which needs none.
    pub fn connection(&self) -> Option<ConnectionId> {
        match self.connection.load(Ordering::Relaxed) {
            0 => None,
            id => Some(ConnectionId(id)),
        }
    }

    /// True for another node that a call may choose without a connection: it is dialled for the call.
    pub fn is_dialled_on_demand(&self) -> bool {
        !self.own && self.dials_on_demand.load(Ordering::Relaxed)
    }

    /// True if a call can go there at once.
    pub(crate) fn is_at_hand(&self) -> bool {
        self.own || self.connection().is_some()
    }

    /// A connection stands, or another one takes the place of the former.
    pub fn set_connection(&self, connection: ConnectionId) {
        assert!(connection.0 != 0, "0 stands for no connection");
        self.connection.store(connection.0, Ordering::Relaxed);
    }

    /// `connection` is gone; changes nothing if another one took its place meanwhile.
    pub fn clear_connection(&self, connection: ConnectionId) {
        let _ = self.connection.compare_exchange(connection.0, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Membership's view of it.
    pub fn member(&self) -> MemberState {
        member_of(self.member.load(Ordering::Relaxed))
    }

    /// Written by the engine alone.
    pub fn set_member(&self, state: MemberState) {
        self.member.store(member_code(state), Ordering::Relaxed);
    }

    /// True: it leaves and takes no new work.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Set from its facts by the engine, and at once by whoever reads its refusal.
    pub fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    /// Smoothed round trip, if it was measured.
    pub fn rtt_us(&self) -> Option<u32> {
        match self.rtt_us.load(Ordering::Relaxed) {
            0 => None,
            rtt => Some(rtt),
        }
    }

    /// A round trip took `sample_us`: smoothed with weight 1/8 (RFC 6298).
    pub fn measured_rtt(&self, sample_us: u32) {
        let sample = sample_us.max(1);
        let smoothed = self.rtt_us().map_or(sample, |old| old - old / 8 + sample / 8);
        self.rtt_us.store(smoothed.max(1), Ordering::Relaxed);
    }

    /// Calls of this process that it has not answered yet.
    pub fn in_flight(&self) -> u32 {
        self.load.in_flight()
    }

    /// This process sent it a call.
    pub fn call_sent(&self) {
        self.load.sent();
    }

    /// A call of [`Self::call_sent`] ended, whatever way.
    pub fn call_ended(&self) {
        self.load.ended();
    }

    /// It said how busy it is, with a reply. For the own node its switch says so, whenever that changes.
    pub fn report_load(&self, load: Load, now: Time) {
        self.load.replied(now);
        self.load.report(load, now, &self.mean);
    }

    /// It said how busy it is, with the answer to a probe: so that those who call it seldom know it, too.
    pub fn probed_load(&self, load: Load, now: Time) {
        self.load.report(load, now, &self.mean);
    }

    /// When it replied last to a call: what tells whether its connection is used for calls.
    pub fn replied_at(&self) -> Option<Time> {
        self.load.replied_at()
    }

    /// Its load as far as known: reported in the last [`crate::LOAD_FRESH`] and corrected by own calls since.
    pub fn known_load(&self, now: Time) -> Option<u32> {
        self.load.known(now)
    }

    /// Its load for comparisons; unknown counts as the mean of all peers.
    pub fn load(&self, now: Time) -> u32 {
        self.load.estimate(now, &self.mean)
    }

    /// Its circuit breaker, which callers tell of answers and broken connections.
    pub fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// True if calls should go elsewhere until its circuit had a pause.
    pub(crate) fn circuit_is_open(&self, now: Time) -> bool {
        self.circuit.state(now) == CircuitState::Open
    }

    /// True if `self` is the better one of two: lower load, then a clearly shorter round trip. Neither is better than
    /// the other when both are equal, and an unknown round trip is equal to every other.
    pub(crate) fn is_better_than(&self, other: &Self, now: Time) -> bool {
        let (a, b) = (self.load(now), other.load(now));
        a < b || (a == b && self.is_nearer_than(other))
    }

    fn is_nearer_than(&self, other: &Self) -> bool {
        // The own node is nearer than any other, whatever nobody measured.
        let rtt = |peer: &Self| if peer.own { Some(1) } else { peer.rtt_us() };
        match (rtt(self), rtt(other)) {
            (Some(a), Some(b)) => b >= RTT_EQUAL_US && a < b && b > a.saturating_mul(2),
            _ => false,
        }
    }
}

fn member_code(state: MemberState) -> u8 {
    match state {
        MemberState::Alive => 0,
        MemberState::Suspect => 1,
        MemberState::Down => 2,
        MemberState::Left => 3,
    }
}

fn member_of(code: u8) -> MemberState {
    match code {
        0 => MemberState::Alive,
        1 => MemberState::Suspect,
        2 => MemberState::Down,
        _ => MemberState::Left,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> PeerState {
        PeerState::new(NodeId::from_bytes([1; 16]), Incarnation(1), false, Arc::default(), Arc::default())
    }

    fn at(rtt_us: u32) -> PeerState {
        let peer = peer();
        peer.measured_rtt(rtt_us);
        peer
    }

    #[test]
    fn a_late_close_does_not_hide_the_connection_that_took_its_place() {
        let peer = peer();
        peer.set_connection(ConnectionId(1));
        peer.set_connection(ConnectionId(2));
        peer.clear_connection(ConnectionId(1));
        assert_eq!(peer.connection(), Some(ConnectionId(2)));
        peer.clear_connection(ConnectionId(2));
        assert_eq!(peer.connection(), None);
    }

    #[test]
    fn round_trips_are_equal_below_a_millisecond_or_within_a_factor_of_two() {
        let now = Time::ZERO;
        for (near, far, better) in [
            (100, 999, false),
            (100, 1_000, true),
            (900, 1_800, false),
            (900, 1_801, true),
            (5_000, 9_000, false),
        ] {
            assert_eq!(at(near).is_better_than(&at(far), now), better, "{near} us and {far} us");
            assert!(!at(far).is_better_than(&at(near), now), "{far} us and {near} us");
        }
        assert!(!at(100).is_better_than(&peer(), now), "unknown is equal");
        assert!(!peer().is_better_than(&at(90_000), now), "unknown is equal");
    }

    #[test]
    fn load_comes_before_round_trip() {
        let now = Time::from_millis(1);
        let (near, far) = (at(100), at(90_000));
        near.report_load(Load { in_flight: 3, queued: 0 }, now);
        far.report_load(Load { in_flight: 1, queued: 1 }, now);
        assert!(far.is_better_than(&near, now));
    }

    #[test]
    fn every_member_state_is_kept() {
        let peer = peer();
        for state in [MemberState::Suspect, MemberState::Down, MemberState::Left, MemberState::Alive] {
            peer.set_member(state);
            assert_eq!(peer.member(), state);
        }
    }
}

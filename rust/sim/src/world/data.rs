//! The data side: what a node's io thread and its callers do with switch and call table.

use std::sync::Arc;

use bytes::Bytes;
use mpreg_graph::sealed;
use mpreg_routing::Snapshot;
use mpreg_rpc::{CallTable, Completion, NotSent, Output, SWITCH_BRIDGE, SendFailure, Switch, bridge_of};
use mpreg_types::{CallHead, ConnectionId, NodeId, Payload, ReplyHead, StreamId};
use mpreg_wire::{
    Process as Sender, decode_call, decode_reply, decode_started, encode_call, encode_reply, encode_started,
};

use super::World;
use super::boot::BRIDGE;
use super::desk::Desk;
use crate::frame::Frame;
use crate::graphs::{DESK_BRIDGE, Graphs, Knock};
use crate::item::{Item, Spot};
use crate::job::{Job, JobKey};
use crate::ledger::Ending;

impl World {
    /// Lets all call tables at `place` act.
    pub(crate) fn with_tables(
        &mut self,
        place: usize,
        mut act: impl FnMut(&mut CallTable, &mut Desk<'_>, &mut Vec<Completion>),
    ) {
        self.with_table(place, BRIDGE, &mut act);
        self.with_table(place, DESK_BRIDGE, &mut act);
    }

    /// Lets a call table at `place` act, and takes down what ended.
    pub(crate) fn with_table(
        &mut self,
        place: usize,
        bridge: u16,
        act: impl FnOnce(&mut CallTable, &mut Desk<'_>, &mut Vec<Completion>),
    ) {
        let Some(process) = &mut self.places[place].process else { return };
        let Some(mut table) = process.table_of(bridge).and_then(Option::take) else { return };
        let (start, snapshot) = (process.start, process.snapshot.clone());
        let mut done = Vec::new();
        act(&mut table, &mut Desk { world: self, place, snapshot }, &mut done);
        let process = self.places[place].process.as_mut().filter(|process| process.start == start);
        if let Some(home) = process.and_then(|process| process.table_of(bridge)) {
            *home = Some(table);
        }
        if bridge == DESK_BRIDGE {
            self.desk_calls_ended(place, done);
        } else {
            for completion in done {
                self.completed(place, completion);
            }
        }
        self.arm(place);
    }

    fn completed(&mut self, place: usize, completion: Completion) {
        let Completion { key, outcome } = completion;
        let Some(process) = &mut self.places[place].process else { return };
        if let Some(graph) = process.graph_calls.remove(&key) {
            return self.graph_ended(graph, outcome);
        }
        // `call` has noted the key before this is asked, also of a call that ends while it begins.
        let Some(call) = process.calls.remove(&key) else {
            return self.ledger.strays.push((place, key));
        };
        let total = outcome.as_ref().ok().and_then(|success| success.value.head.as_ref().try_into().ok());
        let error = outcome.err().map(|failure| (failure.body.code, failure.executed));
        if let Some(fate) = self.ledger.fates.get_mut(&call) {
            if let Some(stream) = &mut fate.stream {
                stream.total = total.map(u32::from_be_bytes);
            }
            fate.endings.push(Ending { at: self.now, error });
        }
    }

    /// Lets the switch at `place` act, and does what it wants.
    pub(crate) fn with_switch(&mut self, place: usize, act: impl FnOnce(&mut Switch, &mut Vec<Output>)) {
        let Some(process) = &mut self.places[place].process else { return };
        let Some(mut switch) = process.switch.take() else { return };
        let mut out = Vec::new();
        act(&mut switch, &mut out);
        while !out.is_empty() {
            let mut more = Vec::new();
            for output in out {
                self.carry_out_data(place, &mut switch, output, &mut more);
            }
            out = more;
        }
        if let Some(process) = &mut self.places[place].process {
            process.switch = Some(switch);
        }
        self.arm(place);
    }

    fn carry_out_data(&mut self, place: usize, switch: &mut Switch, output: Output, more: &mut Vec<Output>) {
        match output {
            Output::Invoke(invocation) => {
                assert!(
                    self.now < invocation.deadline,
                    "a call was handed to its function after its deadline"
                );
                let (key, function) = (JobKey::Remote(invocation.key), invocation.function);
                let from = self.wires.get(&invocation.from).zip(self.side_of(place, invocation.from));
                let peer = from.map_or(place, |(wire, side)| wire.ends[1 - side].place);
                self.hand_over(place, key, function, Job::remote(invocation), peer);
            }
            Output::Gather { key, step, arguments, deadline } => {
                self.knock(place, Knock::Gather(JobKey::Remote(key), step, arguments, deadline));
            }
            Output::CancelGather { key } => self.knock(place, Knock::Ungather(JobKey::Remote(key))),
            Output::Keep { .. } => unreachable!("no node of the simulator has workers"),
            Output::CancelLocal { key, .. } => self.stop_job(place, JobKey::Remote(key)),
            Output::Reply { to, stream, head, value } => self.reply(place, to, stream, &head, value),
            Output::CancelRemote { to, stream } => self.write(place, to, Frame::Cancel(stream)),
            Output::Dial { node } => self.wanted(place, node),
            Output::Item { to, stream, head, value } => self.write_item(place, to, stream, &head, value),
            Output::ItemCredit { to, stream, bytes } => {
                self.write(place, to, Frame::Credit { stream, bytes });
            }
            Output::Resume { key, .. } => self.resume_stream(place, JobKey::Remote(key)),
            Output::Breach { on, stream } => self.breach(place, on, stream),
            Output::Started { to, tokens } => {
                let mut payload = Vec::new();
                encode_started(tokens, &mut payload);
                self.write(place, to, Frame::Started(payload.into()));
            }
            Output::Forward { relay, to, head, value } => {
                let outcome = self.send_call(place, to, &head, &value);
                let outcome = outcome.map_err(|why| NotSent { why, head, value });
                switch.forwarded(relay, outcome, self.now, more);
            }
        }
    }

    pub(crate) fn reply(
        &mut self,
        place: usize,
        to: ConnectionId,
        stream: StreamId,
        head: &ReplyHead,
        value: Payload,
    ) {
        let mut meta = Vec::new();
        encode_reply(head, &mut meta);
        self.write(place, to, Frame::Reply { stream, meta: meta.into(), value });
    }

    /// Sends a call of this process: grants in it become those of who gets it.
    pub(crate) fn send_sealed(
        &mut self,
        place: usize,
        to: ConnectionId,
        head: &CallHead,
        value: &Payload,
    ) -> Result<StreamId, SendFailure> {
        let wire = self.side_of(place, to).zip(self.wires.get(&to));
        let peer = wire.map(|(side, wire)| self.places[wire.ends[1 - side].place].id);
        let sealed = peer.and_then(|peer| sealed(head, peer));
        self.send_call(place, to, sealed.as_ref().unwrap_or(head), value)
    }

    pub(crate) fn send_call(
        &mut self,
        place: usize,
        to: ConnectionId,
        head: &CallHead,
        value: &Payload,
    ) -> Result<StreamId, SendFailure> {
        let side = self.side_of(place, to).ok_or(SendFailure::Closed)?;
        let wire = self.wires.get_mut(&to).ok_or(SendFailure::Closed)?;
        let stream = wire.ways[side].next_call()?;
        let sender = Sender { node: self.places[place].id, incarnation: self.places[place].incarnation };
        let mut meta = Vec::new();
        encode_call(head, sender, &mut meta);
        self.write(place, to, Frame::Call { stream, meta: meta.into(), value: value.clone() });
        Ok(stream)
    }

    /// The engine published: callers and the switch choose by it from now on.
    pub(crate) fn published(&mut self, place: usize, snapshot: Arc<Snapshot>) {
        let now = self.now;
        if let Some(process) = &mut self.places[place].process {
            process.snapshot = snapshot.clone();
        }
        self.with_tables(place, |table, desk, done| table.snapshot_changed(now, desk, done));
        self.desk_sees(place);
        self.with_switch(place, |switch, out| switch.snapshot_changed(snapshot, now, out));
    }

    /// A frame of the data plane arrives.
    pub(crate) fn data_frame(&mut self, here: usize, there: usize, on: ConnectionId, frame: Frame) {
        match frame {
            Frame::Call { stream, meta, value } => {
                let head = self.read_call(here, there, on, &meta);
                let now = self.now;
                self.with_switch(here, |switch, out| {
                    if let Some(head) = head {
                        switch.call(on, stream, head, value, now, out);
                    }
                });
            }
            Frame::Cancel(stream) => {
                let now = self.now;
                self.with_switch(here, |switch, out| switch.cancel(on, stream, now, out));
            }
            Frame::Reply { stream, meta, value } => self.reply_arrives(here, on, stream, &meta, value),
            Frame::Item { stream, meta, value } => self.item_arrives(here, on, stream, &meta, value),
            Frame::Credit { stream, bytes } => {
                self.with_switch(here, |switch, out| switch.credit(on, stream, bytes, out));
            }
            Frame::Started(payload) => self.started_arrives(here, on, &payload),
            Frame::Opened | Frame::Goodbye { .. } | Frame::End(_) | Frame::Control { .. } => {}
        }
    }

    fn read_call(&mut self, here: usize, there: usize, on: ConnectionId, meta: &Bytes) -> Option<CallHead> {
        let side = self.side_of(here, on)?;
        let node: NodeId = self.places[there].id;
        let sender = Sender { node, incarnation: self.wires.get(&on)?.incarnations[1 - side] };
        let process = self.places[here].process.as_mut()?;
        let head = decode_call(meta, sender, &mut process.targets);
        assert!(head.is_ok(), "a call of an honest caller cannot be read: {head:?}");
        head.ok()
    }

    fn reply_arrives(
        &mut self,
        here: usize,
        on: ConnectionId,
        stream: StreamId,
        meta: &[u8],
        value: Payload,
    ) {
        let now = self.now;
        let head = decode_reply(meta);
        assert!(head.is_ok(), "a reply of an honest callee cannot be read: {head:?}");
        let (Ok(head), Some(side)) = (head, self.side_of(here, on)) else { return };
        let free = self.wires.get_mut(&on).is_some_and(|wire| wire.ways[side].answered(stream));
        let bridge = bridge_of(head.token);
        if bridge == SWITCH_BRIDGE {
            self.with_switch(here, |switch, out| switch.reply(on, stream, head, value, now, out));
        } else {
            self.with_table(here, bridge, |table, desk, done| {
                table.reply(on, stream, head, value, now, desk, done);
            });
        }
        if free {
            self.with_tables(here, |table, desk, done| table.writable(on, now, desk, done));
            self.with_switch(here, |switch, out| switch.writable(on, now, out));
        }
    }

    fn started_arrives(&mut self, here: usize, on: ConnectionId, payload: &[u8]) {
        let now = self.now;
        let tokens = decode_started(payload);
        assert!(tokens.is_ok(), "a start report of an honest callee cannot be read: {tokens:?}");
        let is_relay = |token: &u64| bridge_of(*token) == SWITCH_BRIDGE;
        let (relayed, own): (Vec<u64>, Vec<u64>) = tokens.into_iter().flatten().partition(is_relay);
        for token in own {
            let bridge = bridge_of(token);
            self.with_table(here, bridge, |table, desk, done| table.started(on, token, now, desk, done));
        }
        if !relayed.is_empty() {
            self.with_switch(here, |switch, out| switch.started(on, &relayed, now, out));
        }
    }

    pub(crate) fn tick(&mut self, spot: Spot) {
        if !self.is_there(spot) {
            return;
        }
        if let Some(process) = &mut self.places[spot.place].process {
            process.tick_at = None;
        }
        let now = self.now;
        // First of all: a graph whose deadline has passed says more of it than the others can.
        self.desk_turn(spot.place);
        self.with_tables(spot.place, |table, desk, done| table.tick(now, desk, done));
        self.with_switch(spot.place, |switch, out| switch.tick(now, out));
    }

    /// Sees to it that the data plane looks at the clock in time.
    pub(crate) fn arm(&mut self, place: usize) {
        let Some(process) = &mut self.places[place].process else { return };
        let table = process.table.as_ref().and_then(CallTable::next_deadline);
        let switch = process.switch.as_ref().and_then(Switch::next_deadline);
        let graphs = process.graphs.as_ref().and_then(Graphs::next_deadline);
        let Some(at) = table.into_iter().chain(switch).chain(graphs).min() else { return };
        // A clock moves between two looks.
        let at = at.max(self.now + std::time::Duration::from_micros(1));
        if process.tick_at.is_none_or(|before| at < before) {
            process.tick_at = Some(at);
            let spot = Spot { place, start: process.start };
            self.at(at, Item::Tick(spot));
        }
    }
}

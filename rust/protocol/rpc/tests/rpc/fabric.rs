//! Nodes and clients with the machines that ship, on wires that break at any moment, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mpreg_rpc::{
    CallKey, CallTable, Completion, NotSent, Output, Peer, Request, Route, SWITCH_BRIDGE, SendFailure,
    Switch, bridge_of, encode_error,
};
use mpreg_types::{
    CallHead, CallId, ConnectionId, ErrorBody, ErrorCode, Executed, HopBudget, Payload, ReplyHead, StreamId,
    Time, Untaken,
};

use crate::cluster::{INCARNATION, target};
use crate::desk::Desk;
use crate::process::{Fate, Job, JobKey, Process};
use crate::wire::{Frame, Wire};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Call(usize),
    GiveUp(usize, CallKey),
    Flush(ConnectionId, usize),
    Arrive(ConnectionId, usize),
    Begin(usize, JobKey),
    End(usize, JobKey),
    Cut(ConnectionId),
    Connect(usize, usize),
    Drain(usize),
    Tick(usize),
}

pub(crate) struct Fabric {
    pub(crate) now: Time,
    events: BTreeSet<(Time, u64, Event)>,
    order: u64,
    random: u64,
    nodes: usize,
    pub(crate) processes: Vec<Process>,
    wires: BTreeMap<ConnectionId, Wire>,
    pub(crate) fates: BTreeMap<CallId, Fate>,
    keys: BTreeMap<(usize, CallKey), CallId>,
}

impl Fabric {
    pub(crate) fn new(nodes: usize, clients: usize, seed: u64) -> Self {
        let processes = (0..nodes + clients).map(|number| Process::new(number, nodes, seed)).collect();
        let mut fabric = Self {
            now: Time::from_millis(1),
            events: BTreeSet::new(),
            order: 0,
            random: seed,
            nodes,
            processes,
            wires: BTreeMap::new(),
            fates: BTreeMap::new(),
            keys: BTreeMap::new(),
        };
        for a in 0..nodes + clients {
            let entry = a % nodes;
            let peers = if a < nodes { a + 1..nodes } else { entry..entry + 1 };
            peers.for_each(|b| fabric.connect(a, b));
        }
        fabric
    }

    /// Uniform below `bound` (xorshift64*).
    pub(crate) fn random(&mut self, bound: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    pub(crate) fn load(&mut self, calls: usize, cuts: usize, drain: bool) {
        for _ in 0..calls {
            let (process, at) = (self.random(self.processes.len() as u64), self.random(100_000));
            self.after(at, Event::Call(usize::try_from(process).unwrap()));
        }
        let wires: Vec<_> = self.wires.keys().copied().collect();
        for _ in 0..cuts {
            let (wire, at) = (self.random(wires.len() as u64), self.random(120_000));
            self.after(at, Event::Cut(wires[usize::try_from(wire).unwrap()]));
        }
        if drain {
            let at = self.random(100_000);
            self.after(at, Event::Drain(0));
        }
    }

    /// Until nothing happens any more.
    pub(crate) fn run(&mut self) {
        while let Some((at, _, event)) = self.events.pop_first() {
            assert!(at < Time::from_millis(10_000), "it never ends");
            self.now = at;
            self.happen(event);
            for process in 0..self.processes.len() {
                self.schedule_tick(process);
            }
        }
    }

    /// Nothing is left of any call, anywhere.
    pub(crate) fn assert_empty(&mut self) {
        for process in &mut self.processes {
            assert!(process.table.as_ref().is_some_and(CallTable::is_empty), "{:?}", process.table);
            assert!(process.switch.as_ref().is_none_or(Switch::is_empty), "{:?}", process.switch);
            assert_eq!(process.workload.load(), mpreg_types::Load::default());
            assert!(process.jobs.is_empty());
            for row in process.cluster.publish().nodes() {
                assert_eq!(row.peer.in_flight(), 0);
            }
        }
    }

    /// What a counter of all tables and of all switches is in sum.
    pub(crate) fn sums(&self) -> (u64, u64) {
        let retries =
            self.processes.iter().filter_map(|process| Some(process.table.as_ref()?.counters().retries));
        let relayed = self.processes.iter().filter_map(|p| Some(p.switch.as_ref()?.counters().forwarded));
        (retries.sum(), relayed.sum())
    }

    fn after(&mut self, micros: u64, event: Event) {
        self.order += 1;
        self.events.insert((self.now + Duration::from_micros(micros), self.order, event));
    }

    fn schedule_tick(&mut self, process: usize) {
        let its = &self.processes[process];
        let table = its.table.as_ref().and_then(CallTable::next_deadline);
        let switch = its.switch.as_ref().and_then(Switch::next_deadline);
        if let Some(at) = table.into_iter().chain(switch).min() {
            // Order 0, so one tick per moment; never in the past.
            self.events.insert((at.max(self.now + Duration::from_micros(1)), 0, Event::Tick(process)));
        }
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Call(process) => self.call(process),
            Event::GiveUp(process, key) => {
                let mut alive = false;
                self.table(process, |table, desk, _| alive = table.cancel(key, desk));
                if alive {
                    self.fates.get_mut(&self.keys[&(process, key)]).unwrap().cancelled = true;
                }
            }
            Event::Flush(wire, side) => {
                let latency = Duration::from_micros(50 + self.random(2_000));
                let arrivals = self.wires.get_mut(&wire).unwrap().flush(side, now + latency);
                for at in arrivals {
                    self.order += 1;
                    self.events.insert((at, self.order, Event::Arrive(wire, side)));
                }
            }
            Event::Arrive(wire, side) => {
                let wire_state = self.wires.get_mut(&wire).unwrap();
                let receiver = wire_state.ends[1 - side];
                if let Some(frame) = wire_state.arrive(side) {
                    self.arrive(receiver, wire, 1 - side, frame);
                }
            }
            Event::Begin(process, job) => self.begin(process, job),
            Event::End(process, job) => self.end(process, job),
            Event::Cut(wire) => self.cut(wire),
            Event::Connect(a, b) => self.connect(a, b),
            Event::Drain(process) => {
                self.processes[process].switch.as_mut().unwrap().drain();
            }
            Event::Tick(process) => {
                self.table(process, |table, desk, done| table.tick(now, desk, done));
                self.switch(process, |switch, out| switch.tick(now, out));
            }
        }
    }

    fn call(&mut self, process: usize) {
        let idempotent = self.random(2) == 0;
        let deadline = self.now + Duration::from_micros(5_000 + self.random(120_000));
        let hint = idempotent && self.random(2) == 0;
        let request = Request {
            route: if process < self.nodes { Route::Mesh } else { Route::Entry },
            target: target(if idempotent { "again" } else { "once" }),
            deadline,
            retries: u8::try_from(self.random(4)).unwrap(),
            idempotent: hint,
            stream: false,
            hops: HopBudget::NEIGHBOURS,
            extras: None,
        };
        let now = self.now;
        let mut key = None;
        let begun = self.processes[process].table.as_ref().unwrap().counters().begun + 1;
        let id = CallId {
            origin: self.processes[process].id,
            incarnation: INCARNATION,
            sequence: (1 << 48) + begun,
        };
        self.fates.insert(id, Fate { idempotent, deadline, ..Fate::default() });
        self.table_of(process, Some(id), |table, desk, done| {
            key = Some(table.begin(request, Payload::from(vec![0xc0]), now, desk, done));
        });
        let key = key.unwrap();
        self.keys.insert((process, key), id);
        if self.random(8) == 0 {
            let patience = self.random(60_000);
            self.after(patience, Event::GiveUp(process, key));
        }
    }

    fn table(
        &mut self,
        process: usize,
        act: impl FnOnce(&mut CallTable, &mut Desk<'_>, &mut Vec<Completion>),
    ) {
        self.table_of(process, None, act);
    }

    fn table_of(
        &mut self,
        process: usize,
        fresh: Option<CallId>,
        act: impl FnOnce(&mut CallTable, &mut Desk<'_>, &mut Vec<Completion>),
    ) {
        let mut table = self.processes[process].table.take().unwrap();
        let snapshot = self.processes[process].snapshot.clone();
        let mut done = Vec::new();
        act(&mut table, &mut Desk { fabric: self, process, snapshot }, &mut done);
        self.processes[process].table = Some(table);
        for Completion { key, outcome } in done {
            let id = self.keys.get(&(process, key)).copied().or(fresh).unwrap();
            let fate = self.fates.get_mut(&id).unwrap();
            fate.completions.push((self.now, outcome.err().map(|failure| failure.executed)));
            // The key may be another call's from now on.
            self.keys.remove(&(process, key));
        }
    }

    fn switch(&mut self, process: usize, act: impl FnOnce(&mut Switch, &mut Vec<Output>)) {
        let Some(mut switch) = self.processes[process].switch.take() else { return };
        let mut out = Vec::new();
        act(&mut switch, &mut out);
        while !out.is_empty() {
            let mut more = Vec::new();
            for output in out {
                self.carry_out(process, &mut switch, output, &mut more);
            }
            out = more;
        }
        self.processes[process].switch = Some(switch);
    }

    fn carry_out(&mut self, process: usize, switch: &mut Switch, output: Output, more: &mut Vec<Output>) {
        match output {
            Output::Invoke(invocation) => {
                let asked = self.fates[&invocation.head.call].deadline;
                // What is left counts from when a frame was written, so each way adds what it took.
                let latest = asked + Duration::from_millis(10);
                assert!(self.now < invocation.deadline && invocation.deadline <= latest);
                let job = Job {
                    call: invocation.head.call,
                    claim: invocation.claim,
                    _running: invocation.running,
                    reply_to: Some((invocation.from, invocation.stream)),
                    token: invocation.head.token,
                    deadline: invocation.deadline,
                    begun: false,
                };
                self.take_job(process, JobKey::Remote(invocation.key), job);
            }
            Output::CancelLocal { key, .. } => self.stop_job(process, JobKey::Remote(key)),
            Output::Reply { to, stream, head, value } => {
                self.write(process, to, Frame::Reply(stream, head, value));
            }
            Output::Dial { .. } => {}
            Output::Gather { .. } | Output::CancelGather { .. } | Output::Keep { .. } => {
                unreachable!("nobody runs a graph here")
            }
            Output::Item { .. }
            | Output::ItemCredit { .. }
            | Output::Resume { .. }
            | Output::Breach { .. } => {
                unreachable!("nobody asks for a stream here")
            }
            Output::CancelRemote { to, stream } => self.write(process, to, Frame::Cancel(stream)),
            Output::Started { to, tokens } => self.write(process, to, Frame::Started(tokens)),
            Output::Forward { relay, to, head, value } => {
                let outcome = self.write_call(process, to, &head).map_err(|why| NotSent { why, head, value });
                switch.forwarded(relay, outcome, self.now, more);
            }
        }
    }

    pub(crate) fn write(&mut self, process: usize, to: ConnectionId, frame: Frame) {
        let wire = self.wires.get_mut(&to).unwrap();
        let side = wire.side_of(process);
        if wire.write(side, frame) {
            let pause = self.random(400);
            self.after(pause, Event::Flush(to, side));
        }
    }

    pub(crate) fn write_call(
        &mut self,
        process: usize,
        to: ConnectionId,
        head: &CallHead,
    ) -> Result<StreamId, SendFailure> {
        let wire = self.wires.get_mut(&to).unwrap();
        let side = wire.side_of(process);
        let (stream, first) = wire.write_call(side, head.clone())?;
        if first {
            let pause = self.random(400);
            self.after(pause, Event::Flush(to, side));
        }
        Ok(stream)
    }

    fn arrive(&mut self, process: usize, on: ConnectionId, side: usize, frame: Frame) {
        let now = self.now;
        match frame {
            Frame::Call(stream, head) => {
                self.switch(process, |switch, out| {
                    switch.call(on, stream, head, vec![0xc0].into(), now, out);
                });
            }
            Frame::Cancel(stream) => self.switch(process, |switch, out| switch.cancel(on, stream, now, out)),
            Frame::Reply(stream, head, value) => {
                let free = self.wires.get_mut(&on).unwrap().answered(side);
                if bridge_of(head.token) == SWITCH_BRIDGE {
                    self.switch(process, |switch, out| switch.reply(on, stream, head, value, now, out));
                } else {
                    self.table(process, |table, desk, done| {
                        table.reply(on, stream, head, value, now, desk, done);
                    });
                }
                if free {
                    self.table(process, |table, desk, done| table.writable(on, now, desk, done));
                    self.switch(process, |switch, out| switch.writable(on, now, out));
                }
            }
            Frame::Started(tokens) => {
                let (relayed, own): (Vec<u64>, Vec<u64>) =
                    tokens.into_iter().partition(|token| bridge_of(*token) == SWITCH_BRIDGE);
                for token in own {
                    self.table(process, |table, desk, done| table.started(on, token, now, desk, done));
                }
                self.switch(process, |switch, out| switch.started(on, &relayed, now, out));
            }
        }
    }

    pub(crate) fn take_job(&mut self, process: usize, key: JobKey, job: Job) {
        assert!(self.processes[process].jobs.insert(key, job).is_none());
        let pause = self.random(3_000);
        self.after(pause, Event::Begin(process, key));
    }

    pub(crate) fn stop_job(&mut self, process: usize, key: JobKey) {
        // Some functions heed a cancellation, others do not.
        if self.processes[process].jobs[&key].begun && self.random(2) == 0 {
            self.after(100, Event::End(process, key));
        }
    }

    fn begin(&mut self, process: usize, key: JobKey) {
        let (refuses, length) = (self.random(10) == 0, self.random(60_000));
        let job = self.processes[process].jobs.get_mut(&key).unwrap();
        if refuses || self.now >= job.deadline {
            return self.answer(process, key, Some((ErrorCode::BadArguments, Executed::No)));
        }
        if !job.claim.begin() {
            return self.answer(process, key, None);
        }
        job.begun = true;
        self.fates.get_mut(&job.call).unwrap().executions += 1;
        // Many calls are short, some are long enough to be reported.
        let length = if length < 40_000 { length / 20 } else { length };
        self.after(length, Event::End(process, key));
    }

    fn end(&mut self, process: usize, key: JobKey) {
        // It may have heeded a cancellation before.
        if self.processes[process].jobs.get(&key).is_some_and(|job| job.begun) {
            let raises = (self.random(5) == 0).then_some((ErrorCode::Remote, Executed::Yes));
            self.answer(process, key, raises);
        }
    }

    fn answer(&mut self, process: usize, key: JobKey, error: Option<(ErrorCode, Executed)>) {
        let Job { claim, reply_to, token, .. } = self.processes[process].jobs.remove(&key).unwrap();
        let now = self.now;
        let (head, value) = match error {
            None => (ReplyHead::ok(token, 1), Payload::from(vec![0xc0])),
            Some((code, executed)) => {
                let value = encode_error(&ErrorBody::new(code, "x"));
                (ReplyHead::error(token, executed, value.len() as u64), value)
            }
        };
        match (key, reply_to) {
            (JobKey::Remote(inbound), Some((to, stream))) => {
                if claim.answer() {
                    self.write(process, to, Frame::Reply(stream, head, value));
                }
                self.switch(process, |switch, out| switch.finished(inbound, now, out));
            }
            (JobKey::Local(call), _) => {
                self.table(process, |table, desk, done| {
                    table.local_result(call, head, value, now, desk, done);
                });
            }
            (JobKey::Remote(_), None) => unreachable!(),
        }
    }

    fn connect(&mut self, a: usize, b: usize) {
        let id = ConnectionId(self.wires.len() as u64 + 1);
        self.wires.insert(id, Wire::new([a, b]));
        for (here, there) in [(a, b), (b, a)] {
            let (peer, now, is_node) = (self.processes[there].id, self.now, there < self.nodes);
            if let Some(switch) = &mut self.processes[here].switch {
                let name = format!("client-{there}");
                switch.connected(
                    id,
                    if is_node { Peer::Member(peer) } else { Peer::Client { node: peer, name } },
                );
            }
            let its = &mut self.processes[here];
            if here < self.nodes && is_node {
                its.cluster.peer(peer, id.0);
                its.snapshot = its.cluster.publish();
                let snapshot = its.snapshot.clone();
                self.table(here, |table, desk, done| table.snapshot_changed(now, desk, done));
                self.switch(here, |switch, out| switch.snapshot_changed(snapshot, now, out));
            } else if here >= self.nodes {
                its.entry = Some(id);
                self.table(here, |table, desk, done| table.entry_changed(now, desk, done));
            }
        }
    }

    fn cut(&mut self, id: ConnectionId) {
        let wire = &self.wires[&id];
        if !wire.open {
            return;
        }
        let arriving: [usize; 2] = std::array::from_fn(|side| {
            let on_the_way = self.wires[&id].on_the_way(side) as u64 + 1;
            usize::try_from(self.random(on_the_way)).unwrap()
        });
        let wire = self.wires.get_mut(&id).unwrap();
        let (unsent, ends) = (wire.cut(arriving), wire.ends);
        for side in [0, 1] {
            while let Some(frame) = self.wires.get_mut(&id).unwrap().arrive(side) {
                self.arrive(ends[1 - side], id, 1 - side, frame);
            }
        }
        let now = self.now;
        for (side, process) in ends.into_iter().enumerate() {
            let peer = self.processes[ends[1 - side]].id;
            let its = &mut self.processes[process];
            if let Some(state) = its.snapshot.peer(peer) {
                state.clear_connection(id);
            }
            its.entry = its.entry.filter(|entry| *entry != id);
            let unsent = Untaken::from(unsent[side]);
            self.table(process, |table, desk, done| table.connection_lost(id, &unsent, now, desk, done));
            self.switch(process, |switch, out| switch.connection_lost(id, &unsent, now, out));
        }
        let pause = self.random(20_000);
        self.after(pause, Event::Connect(ends[0], ends[1]));
    }
}

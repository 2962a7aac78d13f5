//! The desk of a node: it coordinates the graphs that came in here, and fetches what steps that run here lack.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mpreg_types::{
    CallExtras, Defect, ErrorBody, ErrorCode, Executed, GraphId, HeldInput, NodeId, Payload, Selector,
    StepCall, Time,
};

use crate::desk_port::DeskPort;
use crate::events::Events;
use crate::fetching::{self, Wanted, part_of};
use crate::gathering::Gathering;
use crate::grant::{grant, open_grant};
use crate::graph_run::GraphRun;
use crate::plan::Plan;
use crate::run::{Order, Run};
use crate::step_state::{StepDone, StepFailed, StepValue};

/// See the module. Calls are named by `K`, graphs are answered by `T`, and `J` is a step that lacks inputs.
#[derive(Debug)]
pub struct Desk<K, T, J> {
    me: NodeId,
    pub(crate) runs: BTreeMap<u64, GraphRun<K, T>>,
    next_run: u64,
    gatherings: BTreeMap<u64, Incomplete<K, J>>,
    next_gathering: u64,
    unknown: Vec<Missing>,
    pub(crate) purposes: BTreeMap<K, Purpose>,
}

/// A graph that came in.
#[derive(Debug)]
pub struct NewGraph<T> {
    /// What is to be done.
    pub plan: Plan,
    /// When its caller stops waiting.
    pub deadline: Time,
    /// What its call carried.
    pub extras: CallExtras,
    /// True: its caller is told what happens, by [`DeskPort::tell`].
    pub watched: bool,
    /// Who gets the answer.
    pub ticket: T,
}

/// What a call of the desk is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A step.
    Step { run: u64, step: u32 },
    /// A wanted value that its maker holds.
    Wanted { run: u64, wanted: u32, what: Wanted },
    /// An input of a step that runs here.
    Input { gathering: u64, input: usize, what: Wanted },
    /// The end of a graph, told to a holder; whether it heard changes nothing.
    Free,
}

/// A call that lacks inputs.
#[derive(Debug)]
struct Incomplete<K, J> {
    gathering: Gathering,
    job: J,
    fetches: Vec<K>,
}

/// An input on its way into a gathering.
#[derive(Debug)]
struct Missing {
    gathering: u64,
    input: usize,
    graph: GraphId,
    wanted: HeldInput,
    deadline: Time,
    /// How long its holder may be unknown here: the coordinator may have heard of it a moment earlier.
    until: Time,
}

/// How long a holder may be unknown, as long as a call waits for a candidate.
const HOLDER_WAIT: Duration = Selector::WAIT_DEFAULT;

impl<K: Copy + Ord, T, J> Desk<K, T, J> {
    /// The desk of the node `me`.
    pub fn new(me: NodeId) -> Self {
        Self {
            me,
            runs: BTreeMap::new(),
            next_run: 0,
            gatherings: BTreeMap::new(),
            next_gathering: 0,
            unknown: Vec::new(),
            purposes: BTreeMap::new(),
        }
    }

    /// Runs a graph.
    pub fn run<P>(&mut self, graph: NewGraph<T>, now: Time, port: &mut P)
    where
        P: DeskPort<Key = K, Ticket = T, Job = J>,
    {
        self.next_run += 1;
        let number = self.next_run;
        let NewGraph { plan, deadline, extras, watched, ticket } = graph;
        let CallExtras { client, trace, metadata, .. } = extras;
        let events = watched.then(|| Box::new(Events::of(&plan)));
        let run = GraphRun {
            id: GraphId { coordinator: self.me, incarnation: port.incarnation(), number },
            run: Run::new(plan, now),
            deadline,
            called: BTreeMap::new(),
            callees: BTreeSet::new(),
            extras: CallExtras { client, trace, metadata, ..CallExtras::default() },
            ticket: Some(ticket),
            events,
        };
        self.runs.insert(number, run);
        self.drive(number, now, port, |run, out| run.begin(now, out));
    }

    /// Nobody waits for a graph any more. Gives back its ticket, which is not answered; `None`: it had ended.
    pub fn cancel<P>(&mut self, is_it: impl Fn(&T) -> bool, now: Time, port: &mut P) -> Option<T>
    where
        P: DeskPort<Key = K, Ticket = T, Job = J>,
    {
        let found = |run: &GraphRun<K, T>| run.ticket.as_ref().is_some_and(&is_it);
        let id = self.runs.iter().find(|(_, run)| found(run)).map(|(id, _)| *id)?;
        if !Defect::DeskForgetsToCancel.is_in() {
            self.drive(id, now, port, Run::cancel);
        }
        self.runs.remove(&id)?.ticket
    }

    /// A step has come that is to run here, and its inputs are elsewhere: they are fetched and put into `arguments`.
    /// Its grants are this node's.
    pub fn gather<P>(
        &mut self,
        job: J,
        arguments: Payload,
        step: &StepCall,
        deadline: Time,
        now: Time,
        port: &mut P,
    ) where
        P: DeskPort<Key = K, Ticket = T, Job = J>,
    {
        self.next_gathering += 1;
        let id = self.next_gathering;
        let gathering = Gathering::new(arguments, &step.inputs);
        let fetches = Vec::with_capacity(step.inputs.len());
        self.gatherings.insert(id, Incomplete { gathering, job, fetches });
        let until = deadline.min(now + HOLDER_WAIT);
        for (input, wanted) in step.inputs.iter().enumerate() {
            let (graph, wanted) = (step.graph, wanted.clone());
            self.fetch(Missing { gathering: id, input, graph, wanted, deadline, until }, now, port);
        }
    }

    /// Nobody waits any more for a step that lacks inputs: what is under way for it is given up.
    pub fn ungather<P>(&mut self, is_it: impl Fn(&J) -> bool, port: &mut P)
    where
        P: DeskPort<Key = K, Ticket = T, Job = J>,
    {
        let found = self.gatherings.iter().find(|(_, incomplete)| is_it(&incomplete.job)).map(|(id, _)| *id);
        if let Some(Incomplete { fetches, .. }) = found.and_then(|id| self.gatherings.remove(&id)) {
            self.give_up(fetches, port);
        }
    }

    fn give_up<P>(&mut self, fetches: Vec<K>, port: &mut P)
    where
        P: DeskPort<Key = K, Ticket = T, Job = J>,
    {
        for key in fetches {
            if self.purposes.remove(&key).is_some() {
                port.cancel(key);
            }
        }
    }

    /// Fetches an input, or lets it wait until its holder is known here.
    fn fetch<P>(&mut self, missing: Missing, now: Time, port: &mut P)
    where
        P: DeskPort<Key = K, Ticket = T, Job = J>,
    {
        let Missing { gathering, input, graph, ref wanted, deadline, until } = missing;
        // Another input of it may have been lost.
        if !self.gatherings.contains_key(&gathering) {
            return;
        }
        let what = Wanted::of(wanted);
        if wanted.grant.holder == self.me {
            let own = self.own(graph, wanted, port);
            return self.input_came(gathering, input, own, port);
        }
        match port.call(fetching::request(graph, wanted, deadline), now) {
            Ok(key) => {
                self.purposes.insert(key, Purpose::Input { gathering, input, what });
                if let Some(incomplete) = self.gatherings.get_mut(&gathering) {
                    incomplete.fetches.push(key);
                }
            }
            Err(_) if now < until => self.unknown.push(missing),
            Err(_) => self.input_came(gathering, input, Err(what.gone()), port),
        }
    }

    /// Other nodes are known than before: looks again for holders that were not.
    pub fn look_again<P>(&mut self, now: Time, port: &mut P)
    where
        P: DeskPort<Key = K, Ticket = T, Job = J>,
    {
        for missing in std::mem::take(&mut self.unknown) {
            self.fetch(missing, now, port);
        }
    }

    /// A call of the desk has ended.
    pub fn ended<P>(&mut self, key: K, outcome: Result<StepDone, Box<StepFailed>>, now: Time, port: &mut P)
    where
        P: DeskPort<Key = K, Ticket = T, Job = J>,
    {
        match self.purposes.remove(&key) {
            Some(Purpose::Step { run, step }) => {
                if let Some(run) = self.runs.get_mut(&run) {
                    run.called.remove(&step);
                    if let Ok(done) = &outcome {
                        run.note_done(step, done, now);
                    }
                }
                self.drive(run, now, port, |run, out| match outcome {
                    Ok(done) => run.returned(step, done, now, out),
                    Err(failed) => run.failed(step, *failed, now, out),
                });
            }
            Some(Purpose::Wanted { run, wanted, what }) => {
                self.wanted_came(run, wanted, fetched(outcome, what), now, port);
            }
            Some(Purpose::Input { gathering, input, what }) => {
                self.input_came(gathering, input, fetched(outcome, what), port);
            }
            Some(Purpose::Free) | None => {}
        }
    }

    /// Time has passed. To be called at [`Self::next_deadline`] or soon after.
    pub fn tick<P>(&mut self, now: Time, port: &mut P)
    where
        P: DeskPort<Key = K, Ticket = T, Job = J>,
    {
        let late = self.runs.iter().filter(|(_, run)| run.deadline <= now).map(|(id, _)| *id);
        for id in late.collect::<Vec<_>>() {
            self.drive(id, now, port, Run::deadline_passed);
        }
        if self.unknown.iter().any(|missing| missing.until <= now) {
            self.look_again(now, port);
        }
    }

    /// When [`Self::tick`] is due.
    pub fn next_deadline(&self) -> Option<Time> {
        let unknown = self.unknown.iter().map(|missing| missing.until);
        self.runs.values().map(|run| run.deadline).chain(unknown).min()
    }

    /// True if no graph runs, no step lacks inputs and no call is under way.
    pub fn is_idle(&self) -> bool {
        self.runs.is_empty() && self.gatherings.is_empty() && self.purposes.is_empty()
    }

    /// Lets a run decide, and does what it orders.
    fn drive<P>(&mut self, id: u64, now: Time, port: &mut P, decide: impl FnOnce(&mut Run, &mut Vec<Order>))
    where
        P: DeskPort<Key = K, Ticket = T, Job = J>,
    {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let mut orders = Vec::new();
        decide(&mut run.run, &mut orders);
        for order in orders {
            self.follow(id, order, now, port);
        }
        // After the last cancellation, so that nothing is held for the graph later.
        let callees = self.runs.get_mut(&id).map(|run| std::mem::take(&mut run.callees));
        for (holder, incarnation) in callees.into_iter().flatten() {
            self.follow(id, Order::Free { holder, incarnation }, now, port);
        }
        match self.runs.get_mut(&id) {
            Some(run) if run.ticket.is_some() => run.tell(port),
            _ => drop(self.runs.remove(&id)),
        }
    }

    fn follow<P>(&mut self, id: u64, order: Order, now: Time, port: &mut P)
    where
        P: DeskPort<Key = K, Ticket = T, Job = J>,
    {
        let Some(run) = self.runs.get_mut(&id) else { return };
        match order {
            Order::Call { step, arguments, held, keep } => {
                let Some(call) = run.step_call(step, arguments, held, keep, now) else { return };
                match port.call(call, now) {
                    Ok(key) => {
                        run.called.insert(step, key);
                        self.purposes.insert(key, Purpose::Step { run: id, step });
                    }
                    Err(body) => {
                        let failed =
                            StepFailed { body: *body, executed: Executed::No, node: None, attempts: 0 };
                        self.drive(id, now, port, |run, out| run.failed(step, failed, now, out));
                    }
                }
            }
            Order::Fetch { wanted, held, path } => {
                let (graph, deadline) = (run.id, run.deadline);
                let input = HeldInput { at: 0, grant: grant(&open_grant(&held), graph, self.me), path };
                let what = Wanted::of(&input);
                if held.holder == self.me {
                    let own = self.own(graph, &input, port);
                    return self.wanted_came(id, wanted, own, now, port);
                }
                match port.call(fetching::request(graph, &input, deadline), now) {
                    Ok(key) => drop(self.purposes.insert(key, Purpose::Wanted { run: id, wanted, what })),
                    Err(_) => self.wanted_came(id, wanted, Err(what.gone()), now, port),
                }
            }
            Order::Cancel { step } => {
                if let Some(key) = run.called.remove(&step) {
                    self.purposes.remove(&key);
                    run.callees.extend(port.cancel(key));
                }
            }
            Order::Free { holder, .. } if holder == self.me => port.free_own(run.id),
            Order::Free { holder, incarnation } => {
                run.callees.remove(&(holder, incarnation));
                // Who is gone holds nothing.
                if !Defect::DeskFreesOnlyItsOwn.is_in()
                    && let Ok(key) = port.call(fetching::release(run.id, holder, incarnation, now), now)
                {
                    self.purposes.insert(key, Purpose::Free);
                }
            }
            Order::Ended(outcome) => {
                run.tell(port);
                if let Some(ticket) = run.ticket.take() {
                    let outcome = run.with_rest(outcome);
                    port.answer(ticket, outcome);
                }
            }
        }
    }

    /// An input that this node holds itself.
    fn own<P>(&self, graph: GraphId, input: &HeldInput, port: &mut P) -> Result<Payload, Box<ErrorBody>>
    where
        P: DeskPort<Key = K, Ticket = T, Job = J>,
    {
        if input.grant.incarnation != port.incarnation() {
            // What a former start held went with it, and its numbers are given anew.
            return Err(Wanted::of(input).gone());
        }
        let wanted = fetching::fetch(graph, input);
        let found = port.fetch_own(&wanted);
        part_of(self.me, &wanted, found)
    }

    fn wanted_came<P>(
        &mut self,
        run: u64,
        wanted: u32,
        outcome: Result<Payload, Box<ErrorBody>>,
        now: Time,
        port: &mut P,
    ) where
        P: DeskPort<Key = K, Ticket = T, Job = J>,
    {
        self.drive(run, now, port, |run, out| match outcome {
            Ok(value) => run.fetched(wanted, value, now, out),
            Err(body) => {
                let failed = StepFailed { body: *body, executed: Executed::Yes, node: None, attempts: 1 };
                run.not_fetched(wanted, failed, now, out);
            }
        });
    }

    fn input_came<P>(&mut self, id: u64, input: usize, outcome: Result<Payload, Box<ErrorBody>>, port: &mut P)
    where
        P: DeskPort<Key = K, Ticket = T, Job = J>,
    {
        let Some(incomplete) = self.gatherings.get_mut(&id) else { return };
        match outcome {
            Ok(value) => {
                if incomplete.gathering.put(input, value)
                    && let Some(Incomplete { gathering, job, .. }) = self.gatherings.remove(&id)
                {
                    port.run(job, gathering.finish());
                }
            }
            Err(body) => {
                let Some(Incomplete { job, fetches, .. }) = self.gatherings.remove(&id) else { return };
                port.refuse(job, *body);
                self.give_up(fetches, port);
            }
        }
    }
}

/// What came of a call for a result.
fn fetched(outcome: Result<StepDone, Box<StepFailed>>, what: Wanted) -> Result<Payload, Box<ErrorBody>> {
    match outcome {
        Ok(StepDone { value: StepValue::Inline(value), .. }) => Ok(value),
        Ok(StepDone { value: StepValue::Held(_), .. }) => {
            Err(Box::new(ErrorBody::new(ErrorCode::Decode, "a holder answered a fetch with a reference")))
        }
        Err(failed) => Err(what.lost(failed.body)),
    }
}

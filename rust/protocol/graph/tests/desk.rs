//! What a desk does besides its runs: with results of a former start, and with steps that are cancelled.

#![expect(clippy::unwrap_used, reason = "what a helper of a test cannot do fails the test")]

use std::time::Duration;

use mpreg_graph::{
    Cargo, Desk, DeskCall, DeskPort, FetchRefused, GraphLimits, NewGraph, Outcome, Plan, StepDone,
    StepFailed, StepValue,
};
use mpreg_types::{
    CallExtras, CallGraph, ErrorBody, ErrorCode, Executed, Fetch, ForeignText, FunctionName, Grant,
    GraphEvent, GraphId, HeldInput, Incarnation, Input, NodeId, Payload, Pick, Selector, Step, StepCall,
    Time, Wanted,
};

const ME: NodeId = NodeId::from_bytes([1; 16]);
const OTHER: NodeId = NodeId::from_bytes([2; 16]);
const NOW: Time = Time::from_micros(1);

/// Writes down what the desk wants. Calls are numbered.
#[derive(Default)]
struct Port {
    calls: Vec<DeskCall>,
    refused: Vec<ErrorBody>,
    answers: Vec<Outcome>,
    told: Vec<GraphEvent>,
    /// How many events the reader still takes.
    room: usize,
    fetched: usize,
}

impl DeskPort for Port {
    type Key = usize;
    type Ticket = ();
    type Job = ();

    fn incarnation(&self) -> Incarnation {
        Incarnation(7)
    }

    fn call(&mut self, call: DeskCall, _: Time) -> Result<usize, Box<ErrorBody>> {
        self.calls.push(call);
        Ok(self.calls.len())
    }

    fn cancel(&mut self, _: usize) -> Option<(NodeId, Incarnation)> {
        Some((OTHER, Incarnation(3)))
    }

    fn fetch_own(&mut self, _: &Fetch) -> Result<Payload, FetchRefused> {
        self.fetched += 1;
        Err(FetchRefused::NotGranted)
    }

    fn free_own(&mut self, _: GraphId) {}

    fn run(&mut self, (): (), _: Payload) {}

    fn refuse(&mut self, (): (), why: ErrorBody) {
        self.refused.push(why);
    }

    fn tell(&mut self, (): &(), event: &GraphEvent, _: Option<&Payload>) -> bool {
        let room = self.room > 0;
        self.room -= usize::from(room);
        self.told.extend(Some(event.clone()).filter(|_| room));
        room
    }

    fn answer(&mut self, (): (), outcome: Outcome) {
        self.answers.push(outcome);
    }
}

/// Two steps side by side, and one that refers to both.
fn three_steps() -> Plan {
    let step = |needs: &[u32], timeout| Step {
        name: ForeignText::new("step"),
        target: Selector::new(Wanted::Name(FunctionName::parse("work").unwrap())),
        timeout,
        retries: 0,
        max_hops: None,
        metadata: None,
        value_bytes: 0,
        inputs: needs.iter().map(|step| Input { at: 0, pick: Pick { step: *step, path: vec![] } }).collect(),
    };
    let brief = Some(Duration::from_millis(10));
    let steps = vec![step(&[], brief), step(&[], None), step(&[0, 1], None)];
    let graph = CallGraph { steps, wanted: vec![], report: false };
    Plan::new(graph, &Payload::default(), GraphLimits::default()).unwrap()
}

fn running(port: &mut Port) -> Desk<usize, (), ()> {
    let mut desk = Desk::new(ME);
    let deadline = NOW + Duration::from_secs(30);
    let graph =
        NewGraph { plan: three_steps(), deadline, extras: CallExtras::default(), watched: false, ticket: () };
    desk.run(graph, NOW, port);
    desk
}

#[test]
fn what_a_former_start_of_the_node_held_is_lost_though_another_result_has_its_number() {
    let (mut port, mut desk) = (Port::default(), Desk::new(ME));
    let grant = Grant { holder: ME, incarnation: Incarnation(6), result: 1, proof: [0; 16], bytes: 1 };
    let graph = GraphId { coordinator: OTHER, incarnation: Incarnation(3), number: 1 };
    let inputs = vec![HeldInput { at: 0, grant, path: vec![] }];
    desk.gather(
        (),
        Payload::default(),
        &StepCall { graph, keep: None, inputs, watched: false },
        NOW,
        NOW,
        &mut port,
    );
    let codes: Vec<ErrorCode> = port.refused.iter().map(|body| body.code).collect();
    assert_eq!((codes, port.fetched), (vec![ErrorCode::ResultLost], 0));
    assert!(desk.is_idle());
}

#[test]
fn a_result_is_held_for_as_long_as_the_graph_has_however_short_its_steps_time_is() {
    let mut port = Port::default();
    running(&mut port);
    let first = &port.calls[0];
    assert_eq!(first.deadline, NOW + Duration::from_millis(10));
    let step = first.extras.as_ref().unwrap().step.as_ref().unwrap();
    assert_eq!(step.keep, Some(Duration::from_secs(30)));
}

#[test]
fn who_had_a_cancelled_step_is_told_to_free_what_it_may_hold_by_now() {
    let mut port = Port::default();
    let mut desk = running(&mut port);
    assert_eq!(desk.cancel(|()| true, NOW, &mut port), Some(()));
    let freed = port.calls.iter().filter(|call| matches!(call.cargo, Cargo::Free(_))).count();
    assert_eq!((port.calls.len(), freed), (3, 1), "two steps, and one word to the node that had both");
}

fn watched(port: &mut Port) -> Desk<usize, (), ()> {
    let mut desk = Desk::new(ME);
    let deadline = NOW + Duration::from_secs(30);
    let graph =
        NewGraph { plan: three_steps(), deadline, extras: CallExtras::default(), watched: true, ticket: () };
    desk.run(graph, NOW, port);
    desk
}

fn label(text: &str) -> ForeignText {
    ForeignText::new(text)
}

fn started(step: u32) -> GraphEvent {
    GraphEvent::Started { step, node: label("n") }
}

fn finished(step: u32, us: u64) -> GraphEvent {
    GraphEvent::Finished { step, node: label("n"), us }
}

fn done() -> StepDone {
    StepDone { value: StepValue::Inline(vec![0xc0].into()), node: label("n") }
}

#[test]
fn who_watches_is_told_of_each_step_and_what_is_left_comes_with_the_answer() {
    let mut port = Port { room: 3, ..Port::default() };
    let mut desk = watched(&mut port);
    assert!(port.calls.iter().all(|call| call.extras.as_ref().unwrap().step.as_ref().unwrap().watched));
    let later = NOW + Duration::from_micros(5);
    for key in [1, 2] {
        desk.sent(key, label("n"), &mut port);
    }
    desk.ended(1, Ok(done()), later, &mut port);
    assert_eq!(port.told, [started(0), started(1), finished(0, 5)]);
    desk.ended(2, Ok(done()), later, &mut port);
    desk.sent(3, label("n"), &mut port);
    assert_eq!(port.told.len(), 3, "there was no room");
    port.room = 1;
    desk.resume(|()| true, &mut port);
    assert_eq!(port.told[3..], [finished(1, 5)]);
    desk.ended(3, Ok(done()), later, &mut port);
    let (answer, _) = port.answers.pop().unwrap().unwrap();
    assert_eq!(answer.events, [started(2), finished(2, 0)]);
    assert!(desk.is_idle());
}

#[test]
fn a_graph_that_fails_tells_what_is_left_too() {
    let mut port = Port::default();
    let mut desk = watched(&mut port);
    desk.sent(1, label("n"), &mut port);
    let body = ErrorBody::new(ErrorCode::Remote, "no");
    let failed = StepFailed { body, executed: Executed::Yes, node: None, attempts: 1 };
    desk.ended(1, Err(Box::new(failed)), NOW, &mut port);
    let failure = port.answers.pop().unwrap().unwrap_err();
    assert_eq!((failure.step, failure.events), (Some(0), vec![started(0)]));
}

#[test]
fn a_graph_that_nobody_watches_tells_nothing() {
    let mut port = Port { room: 9, ..Port::default() };
    let mut desk = running(&mut port);
    desk.sent(1, label("n"), &mut port);
    for key in 1..=3 {
        desk.ended(key, Ok(done()), NOW, &mut port);
    }
    let (answer, _) = port.answers.pop().unwrap().unwrap();
    assert_eq!((port.told, answer.events), (vec![], vec![]));
}

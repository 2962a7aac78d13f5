//! Random graphs, run in random order by nodes that hold results and die: the answer is the one of plain evaluation, a
//! step runs once unless it may run again, and nothing is held when the run has ended.

#![expect(clippy::unwrap_used, reason = "what a helper of a test cannot do fails the test")]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mpreg_graph::{
    Gathering, GraphLimits, HeldPart, Order, Plan, ResultLimits, ResultStore, Run, StepDone, StepFailed,
    StepValue, grant, open_grant, project,
};
use mpreg_types::{
    CallGraph, ErrorBody, ErrorCode, Executed, Fetch, ForeignText, FunctionName, GraphFailure, GraphId,
    HeldInput, Incarnation, Input, InputFailure, NodeId, PathKey, Payload, Pick, ResultRef, Selector, Step,
    Time, Wanted,
};
use proptest::prelude::*;

const NODES: usize = 4;
const NOW: Time = Time::from_micros(1);
const LATER: Time = Time::from_micros(1_000_000);

/// A step, and which of its parts.
type Reference = (usize, usize);
/// Whether its result is large, whether it is idempotent, and what it refers to.
type Node = (bool, bool, Vec<Reference>);

/// What a step of the test returns.
#[derive(serde::Serialize)]
struct Sums {
    n: u64,
    rows: (usize, [u64; 2]),
}

/// What the test knows of a graph beside the graph.
#[derive(Debug, Clone)]
struct Case {
    steps: Vec<Node>,
    wanted: Vec<Reference>,
    /// Chance: which thing happens next, and when a node loses what it holds.
    choices: Vec<u16>,
    losses: Vec<u8>,
}

/// References of the test: the whole, a field, an item of a list, its last one.
fn path(kind: usize) -> Vec<PathKey> {
    let field = |name: &str| PathKey::Name(name.to_owned());
    match kind % 4 {
        0 => vec![],
        1 => vec![field("n")],
        2 => vec![field("rows"), PathKey::Index(0)],
        _ => vec![field("rows"), PathKey::Index(-1)],
    }
}

fn flat(value: &Payload) -> Vec<u8> {
    value.segments().flat_map(|segment| segment.to_vec()).collect()
}

/// What a step computes: of its arguments all that matters, as `{"n": sum, "rows": [step, [sum, sum]]}`.
fn function(step: usize, arguments: &Payload) -> Payload {
    let bytes = flat(arguments);
    let sum = bytes.iter().fold(step as u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    Bytes::from(rmp_serde::to_vec_named(&Sums { n: sum, rows: (step, [sum, !sum]) }).unwrap()).into()
}

fn graph(case: &Case) -> (CallGraph, Payload) {
    let name = FunctionName::parse("work").unwrap();
    let mut templates = Vec::new();
    let step = |(index, (_, _, references)): (usize, &Node)| {
        let template = format!("<{index}>").into_bytes();
        let length = template.len();
        let mut inputs: Vec<Input> = references
            .iter()
            .enumerate()
            .map(|(place, (to, kind))| Input {
                at: (place % (length + 1)) as u64,
                pick: Pick { step: u32::try_from(*to).unwrap(), path: path(*kind) },
            })
            .collect();
        inputs.sort_by_key(|input| input.at);
        templates.push(Bytes::from(template));
        Step {
            name: ForeignText::new(format!("step-{index}")),
            target: Selector::new(Wanted::Name(name.clone())),
            timeout: None,
            retries: 3,
            max_hops: None,
            metadata: None,
            value_bytes: length as u64,
            inputs,
        }
    };
    let steps = case.steps.iter().enumerate().map(step).collect();
    let pick = |(step, kind): &Reference| Pick { step: u32::try_from(*step).unwrap(), path: path(*kind) };
    (
        CallGraph { steps, wanted: case.wanted.iter().map(pick).collect(), report: true },
        templates.into_iter().collect(),
    )
}

/// The same without any machine: one step after the other.
fn plainly(graph: &CallGraph, templates: &Payload) -> Vec<Vec<u8>> {
    let mut results: Vec<Payload> = Vec::new();
    let mut from = 0;
    for (index, step) in graph.steps.iter().enumerate() {
        let to = from + usize::try_from(step.value_bytes).unwrap();
        let template = flat(&templates.slice(from, to));
        from = to;
        let (mut arguments, mut taken) = (Vec::new(), 0);
        for input in &step.inputs {
            let at = usize::try_from(input.at).unwrap();
            arguments.extend_from_slice(&template[taken..at]);
            taken = at;
            arguments.extend(flat(&project(&results[input.pick.step as usize], &input.pick.path).unwrap()));
        }
        arguments.extend_from_slice(&template[taken..]);
        results.push(function(index, &arguments.into()));
    }
    graph
        .wanted
        .iter()
        .map(|pick| flat(&project(&results[pick.step as usize], &pick.path).unwrap()))
        .collect()
}

/// Something on its way.
#[derive(Debug)]
enum Event {
    Call { step: u32, arguments: Payload, held: Vec<HeldPart>, keep: bool },
    Fetch { wanted: u32, held: ResultRef, path: Vec<PathKey> },
}

struct World<'a> {
    case: &'a Case,
    run: Run,
    stores: Vec<ResultStore>,
    under_way: Vec<Event>,
    executed: BTreeMap<u32, u32>,
    outcome: Option<Result<Vec<Vec<u8>>, Box<GraphFailure>>>,
    cancelled: BTreeSet<u32>,
}

const GRAPH: GraphId =
    GraphId { coordinator: NodeId::from_bytes([99; 16]), incarnation: Incarnation(1), number: 1 };

fn lost(held: &ResultRef) -> ErrorBody {
    let lost = InputFailure { holder: held.holder, result: held.result, cause: None };
    let mut body = ErrorBody::new(ErrorCode::ResultLost, "lost");
    body.data = Some(rmp_serde::to_vec_named(&lost).unwrap().into());
    body
}

fn node(index: usize) -> NodeId {
    NodeId::from_bytes([u8::try_from(index).unwrap(); 16])
}

impl World<'_> {
    fn follow(&mut self, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Call { step, arguments, held, keep } => {
                    assert!(self.outcome.is_none(), "step {step} was called after the end");
                    self.under_way.push(Event::Call { step, arguments, held, keep });
                }
                Order::Fetch { wanted, held, path } => {
                    self.under_way.push(Event::Fetch { wanted, held, path });
                }
                Order::Cancel { step } => {
                    self.cancelled.insert(step);
                }
                Order::Free { holder, .. } => self.stores[usize::from(holder.as_bytes()[0])].free(GRAPH),
                Order::Ended(outcome) => {
                    assert!(self.outcome.is_none(), "it ended twice");
                    self.outcome = Some(outcome.map(|(_, values)| values.iter().map(flat).collect()));
                }
            }
        }
    }

    fn fetch(&mut self, held: &ResultRef, path: &[PathKey], consumer: NodeId) -> Option<Payload> {
        let proof = grant(&open_grant(held), GRAPH, consumer).proof;
        let wanted = Fetch { graph: GRAPH, result: held.result, proof, path: path.to_vec() };
        let store = &mut self.stores[usize::from(held.holder.as_bytes()[0])];
        let whole = store.fetch(&wanted, consumer).ok()?;
        Some(project(&whole, path).unwrap())
    }

    fn execute(
        &mut self,
        step: u32,
        template: Payload,
        held: &[HeldPart],
        keep: bool,
        at: usize,
    ) -> Vec<Order> {
        let mut orders = Vec::new();
        let failed = |body| StepFailed { body, executed: Executed::No, node: None, attempts: 1 };
        let inputs: Vec<HeldInput> = held
            .iter()
            .map(|part| HeldInput { at: part.at, grant: open_grant(&part.held), path: part.path.clone() })
            .collect();
        let mut gathering = Gathering::new(template, &inputs);
        for (index, part) in held.iter().enumerate().rev() {
            let Some(value) = self.fetch(&part.held, &part.path, node(at)) else {
                self.run.failed(step, failed(lost(&part.held)), NOW, &mut orders);
                return orders;
            };
            gathering.put(index, value);
        }
        *self.executed.entry(step).or_default() += 1;
        let value = function(step as usize, &gathering.finish());
        let (large, idempotent, _) = &self.case.steps[step as usize];
        let value = if keep && *large {
            let token = [7; 16];
            let (holder, incarnation, bytes) = (node(at), Incarnation(1), value.len() as u64);
            let result = self.stores[at].keep(GRAPH, token, value, LATER).unwrap();
            StepValue::Held(ResultRef { holder, incarnation, result, token, bytes, idempotent: *idempotent })
        } else {
            StepValue::Inline(value)
        };
        self.run.returned(
            step,
            StepDone { value, node: ForeignText::new(format!("c/n/{at}")) },
            NOW,
            &mut orders,
        );
        orders
    }

    fn happen(&mut self, event: Event, at: usize) {
        let orders = match event {
            Event::Call { step, arguments, held, keep } => self.execute(step, arguments, &held, keep, at),
            Event::Fetch { wanted, held, path } => {
                let mut orders = Vec::new();
                if let Some(value) = self.fetch(&held, &path, GRAPH.coordinator) {
                    self.run.fetched(wanted, value, NOW, &mut orders);
                } else {
                    let body = lost(&held);
                    let failure = StepFailed { body, executed: Executed::Yes, node: None, attempts: 1 };
                    self.run.not_fetched(wanted, failure, NOW, &mut orders);
                }
                orders
            }
        };
        self.follow(orders);
    }
}

fn case() -> impl Strategy<Value = Case> {
    let step = (
        any::<bool>(),
        any::<bool>(),
        proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..4), 0..4),
    );
    let steps = proptest::collection::vec(step, 1..24);
    let wanted = proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..4), 0..5);
    let choices = proptest::collection::vec(any::<u16>(), 200);
    let losses = proptest::collection::vec(0_u8..12, 0..4);
    (steps, wanted, choices, losses).prop_map(|(steps, wanted, choices, losses)| {
        let count = steps.len();
        let references = |index: usize, to: Vec<(prop::sample::Index, usize)>| {
            let earlier = to.into_iter().filter(|_| index > 0);
            earlier.map(|(to, kind)| (to.index(index), kind)).collect()
        };
        let steps = steps.into_iter().enumerate();
        Case {
            steps: steps.map(|(index, (large, safe, to))| (large, safe, references(index, to))).collect(),
            wanted: wanted.into_iter().map(|(step, kind)| (step.index(count), kind)).collect(),
            choices,
            losses,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_run_gives_what_plain_evaluation_gives(case in case()) {
        let (graph, templates) = graph(&case);
        let expected = plainly(&graph, &templates);
        let plan = Plan::new(graph, &templates, GraphLimits { in_flight: 3, ..GraphLimits::default() }).unwrap();
        let stores = (0..NODES).map(|_| ResultStore::new(ResultLimits::default())).collect();
        let mut world = World {
            case: &case,
            run: Run::new(plan, NOW),
            stores,
            under_way: Vec::new(),
            executed: BTreeMap::new(),
            outcome: None,
            cancelled: BTreeSet::new(),
        };
        let mut orders = Vec::new();
        world.run.begin(NOW, &mut orders);
        world.follow(orders);
        let mut turn = 0;
        while !world.under_way.is_empty() && world.outcome.is_none() {
            let choice = usize::from(case.choices[turn % case.choices.len()]);
            if case.losses.iter().any(|loss| usize::from(*loss) == turn) {
                world.stores[choice % NODES].free(GRAPH);
            }
            let event = world.under_way.swap_remove(choice % world.under_way.len());
            world.happen(event, choice / 7 % NODES);
            turn += 1;
            prop_assert!(turn < 2_000, "it never ends");
        }
        match world.outcome.take() {
            Some(Ok(values)) => prop_assert_eq!(values, expected),
            Some(Err(failure)) => {
                prop_assert!(!case.losses.is_empty(), "{:?}", failure);
                prop_assert_eq!(failure.cause.code, ErrorCode::ResultLost);
            }
            None => prop_assert!(false, "nothing is under way, and it has not ended"),
        }
        for (step, times) in &world.executed {
            let (_, idempotent, _) = case.steps[*step as usize];
            prop_assert!(*times == 1 || (idempotent && !case.losses.is_empty()), "step {} ran {} times", step, times);
        }
        prop_assert_eq!(world.stores.iter().map(ResultStore::bytes).sum::<u64>(), 0, "something is still held");
    }
}

#[test]
fn a_cycle_and_a_reference_to_nothing_are_refused() {
    for to in [0, 1, 7] {
        let case = Case {
            steps: vec![(false, false, vec![(to, 0)])],
            wanted: vec![],
            choices: vec![],
            losses: vec![],
        };
        let (graph, templates) = graph(&case);
        let error = Plan::new(graph, &templates, GraphLimits::default()).unwrap_err();
        assert!(error.to_string().contains("does not come before it"), "{error}");
    }
}

/// A fan of steps that one last step refers to.
fn fan(count: usize) -> Case {
    let mut steps: Vec<Node> = (0..count).map(|_| (true, false, vec![])).collect();
    steps.push((false, false, (0..count).map(|step| (step, 0)).collect()));
    Case { steps, wanted: vec![(count, 0)], choices: vec![], losses: vec![] }
}

fn run_to_its_end(case: &Case, limits: GraphLimits) -> Result<Vec<Vec<u8>>, Box<GraphFailure>> {
    let (graph, templates) = graph(case);
    let plan = Plan::new(graph, &templates, limits).unwrap();
    let mut world = World {
        case,
        run: Run::new(plan, NOW),
        stores: vec![ResultStore::new(ResultLimits::default())],
        under_way: Vec::new(),
        executed: BTreeMap::new(),
        outcome: None,
        cancelled: BTreeSet::new(),
    };
    let mut orders = Vec::new();
    world.run.begin(NOW, &mut orders);
    world.follow(orders);
    while let Some(event) = world.under_way.pop() {
        world.happen(event, 0);
    }
    assert_eq!(world.stores[0].bytes(), 0);
    world.outcome.unwrap()
}

#[test]
fn a_step_with_more_large_inputs_than_fit_a_frame_fails() {
    let case = fan(4);
    run_to_its_end(&case, GraphLimits { held_inputs: 4, ..GraphLimits::default() }).unwrap();
    let failure =
        run_to_its_end(&case, GraphLimits { held_inputs: 3, ..GraphLimits::default() }).unwrap_err();
    assert_eq!((failure.step, failure.executed), (Some(4), Executed::No));
    assert_eq!(failure.cause.code, ErrorCode::TooLarge);
}

#[test]
fn what_a_coordinator_has_at_hand_is_bounded() {
    let mut case = fan(4);
    case.steps.iter_mut().for_each(|(large, _, _)| *large = false);
    let failure = run_to_its_end(&case, GraphLimits { bytes: 50, ..GraphLimits::default() }).unwrap_err();
    assert_eq!(failure.cause.code, ErrorCode::TooLarge);
}

#[test]
fn what_is_too_much_is_refused() {
    let (graph, templates) = graph(&fan(4));
    let limits = GraphLimits::default();
    for (limits, what) in [
        (GraphLimits { steps: 4, ..limits }, "5 steps, more than 4"),
        (GraphLimits { picks: 4, ..limits }, "5 references, more than 4"),
    ] {
        let error = Plan::new(graph.clone(), &templates, limits).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    let mut deep = graph.clone();
    deep.wanted[0].path = path(3);
    let error = Plan::new(deep, &templates, GraphLimits { path: 1, ..limits }).unwrap_err().to_string();
    assert!(error.contains("2 keys in one reference"), "{error}");
    let cut = templates.slice(0, templates.len() - 1);
    assert!(matches!(Plan::new(graph, &cut, limits), Err(mpreg_graph::PlanError::Length { .. })));
}

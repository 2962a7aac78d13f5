use std::collections::{BTreeSet, VecDeque};

use mpreg_types::{
    Defect, ErrorBody, ErrorCode, Executed, ForeignText, GraphAnswer, GraphFailure, Incarnation,
    InputFailure, NodeId, PathKey, Payload, ResultRef, Time,
};

use crate::arguments::Arguments;
use crate::plan::{Plan, PlannedStep};
use crate::project::{NoSuchPart, project};
use crate::report::report;
use crate::step_state::{HeldPart, StepDone, StepFailed, StepState, StepValue};

/// What a [`Run`] wants done, in this order.
#[derive(Debug)]
pub enum Order {
    /// Call a step; tell by [`Run::returned`] or [`Run::failed`].
    Call {
        /// Which.
        step: u32,
        /// Its arguments, with the inputs that are at hand.
        arguments: Payload,
        /// The inputs that its callee fetches.
        held: Vec<HeldPart>,
        /// True: a large result stays with the callee.
        keep: bool,
    },
    /// Bring a wanted value home; tell by [`Run::fetched`] or [`Run::not_fetched`].
    Fetch {
        /// Which of the wanted values.
        wanted: u32,
        /// Where it is.
        held: ResultRef,
        /// Which part.
        path: Vec<PathKey>,
    },
    /// Nobody waits for that step any more.
    Cancel {
        /// Which.
        step: u32,
    },
    /// The holder may drop all results of this graph.
    Free {
        /// Who.
        holder: NodeId,
        /// Its start.
        incarnation: Incarnation,
    },
    /// The run has ended: its answer with the wanted values, or why there is none.
    Ended(Result<(GraphAnswer, Vec<Payload>), Box<GraphFailure>>),
}

/// One graph being run.
#[derive(Debug)]
pub struct Run {
    plan: Plan,
    states: Vec<StepState>,
    /// How often each has run again.
    reruns: Vec<u8>,
    ready: VecDeque<u32>,
    in_flight: usize,
    left: usize,
    wanted: Vec<Option<Payload>>,
    wanted_left: usize,
    /// Bytes of results at hand.
    bytes: u64,
    holders: BTreeSet<(NodeId, Incarnation)>,
    begun: Time,
    ended: bool,
}

impl Run {
    /// Nothing is called before [`Run::begin`].
    pub fn new(plan: Plan, begun: Time) -> Self {
        Self {
            states: plan.steps.iter().map(|step| StepState::Waiting(step.needs.len())).collect(),
            reruns: vec![0; plan.steps.len()],
            ready: VecDeque::new(),
            in_flight: 0,
            left: plan.steps.len(),
            wanted: vec![None; plan.wanted.len()],
            wanted_left: plan.wanted.len(),
            bytes: 0,
            holders: BTreeSet::new(),
            begun,
            ended: false,
            plan,
        }
    }

    /// What a step asks for besides its arguments.
    pub fn step(&self, step: u32) -> Option<&mpreg_types::Step> {
        self.plan.steps.get(step as usize).map(|planned| &planned.step)
    }

    /// When a step that is under way was called.
    pub fn sent_at(&self, step: u32) -> Option<Time> {
        match self.states.get(step as usize)? {
            StepState::UnderWay { called } => *called,
            _ => None,
        }
    }

    /// Calls the steps that wait for nothing.
    pub fn begin(&mut self, now: Time, out: &mut Vec<Order>) {
        let steps = self.plan.steps.iter().enumerate();
        let free: Vec<u32> =
            steps.filter(|(_, step)| step.needs.is_empty()).map(|(index, _)| number(index)).collect();
        for step in free {
            self.line_up(step);
        }
        self.go_on(now, out);
    }

    /// A step returned.
    pub fn returned(&mut self, step: u32, done: StepDone, now: Time, out: &mut Vec<Order>) {
        let index = step as usize;
        let Some(StepState::UnderWay { called: Some(began) }) = self.states.get(index) else { return };
        if self.ended {
            return;
        }
        let began = *began;
        self.in_flight -= 1;
        self.left -= 1;
        match &done.value {
            StepValue::Inline(value) => self.bytes = self.bytes.saturating_add(value.len() as u64),
            StepValue::Held(held) => {
                self.holders.insert((held.holder, held.incarnation));
            }
        }
        self.states[index] = StepState::Done { began, ended: now, done };
        if self.bytes > self.plan.limits.bytes {
            return self.too_much(step, out);
        }
        if let Err(failure) = self.bring_home(step, out) {
            return self.fail(Some(step), *failure, out);
        }
        for dependent in self.plan.steps[index].dependents.clone() {
            if let StepState::Waiting(missing) = &mut self.states[dependent as usize] {
                *missing -= 1;
                if *missing == 0 {
                    self.line_up(dependent);
                }
            }
        }
        self.go_on(now, out);
    }

    /// A step failed, or could not be called.
    pub fn failed(&mut self, step: u32, failure: StepFailed, now: Time, out: &mut Vec<Order>) {
        let Some(StepState::UnderWay { called: Some(_) }) = self.states.get(step as usize) else { return };
        if self.ended {
            return;
        }
        self.in_flight -= 1;
        let Some(lost) = input_failure(&failure.body) else { return self.fail(Some(step), failure, out) };
        let maker = self.maker_of(&lost);
        if let Some(cause) = lost.cause {
            // The step cannot start: the result it refers to has no such part.
            let body = self.of_reference(maker.unwrap_or(step), *cause);
            let named = StepFailed { body, executed: Executed::No, node: None, attempts: 0 };
            return self.fail(Some(step), named, out);
        }
        if let Some(Err(lost)) = maker.map(|maker| self.again(maker)) {
            return self.fail(Some(lost), failure, out);
        }
        self.wait_anew(step);
        self.go_on(now, out);
    }

    /// A wanted value has come.
    pub fn fetched(&mut self, wanted: u32, value: Payload, now: Time, out: &mut Vec<Order>) {
        if self.ended {
            return;
        }
        self.bytes = self.bytes.saturating_add(value.len() as u64);
        if self.bytes > self.plan.limits.bytes {
            return self.too_much(self.plan.wanted[wanted as usize].step, out);
        }
        self.came_home(wanted as usize, value);
        self.go_on(now, out);
    }

    /// A wanted value was not to be had from its holder.
    pub fn not_fetched(&mut self, wanted: u32, failure: StepFailed, now: Time, out: &mut Vec<Order>) {
        let Some(step) = self.plan.wanted.get(wanted as usize).map(|pick| pick.step) else { return };
        if self.ended {
            return;
        }
        let Some(lost) = input_failure(&failure.body) else { return self.fail(Some(step), failure, out) };
        if let Some(cause) = lost.cause {
            let body = self.of_reference(step, *cause);
            return self.fail(Some(step), StepFailed { body, executed: Executed::Yes, ..failure }, out);
        }
        // Its own fetch follows when the step has run again.
        if self.states[step as usize].is_done()
            && let Err(lost) = self.again(step)
        {
            return self.fail(Some(lost), failure, out);
        }
        self.go_on(now, out);
    }

    /// The graph's deadline has passed.
    pub fn deadline_passed(&mut self, out: &mut Vec<Order>) {
        let running =
            self.states.iter().position(|state| matches!(state, StepState::UnderWay { called: Some(_) }));
        let text =
            format!("the graph's deadline passed with {} of {} steps not done", self.left, self.states.len());
        let body = ErrorBody::new(ErrorCode::DeadlineExceeded, text);
        let failure = StepFailed { body, executed: Executed::Unknown, node: None, attempts: 0 };
        self.fail(running.map(number), failure, out);
    }

    /// Nobody waits for the graph any more: there is no answer.
    pub fn cancel(&mut self, out: &mut Vec<Order>) {
        if !std::mem::replace(&mut self.ended, true) {
            self.clear(out);
        }
    }

    fn line_up(&mut self, step: u32) {
        self.states[step as usize] = StepState::UnderWay { called: None };
        self.ready.push_back(step);
    }

    /// Calls what is ready, as far as it may; ends the run when everything is there.
    fn go_on(&mut self, now: Time, out: &mut Vec<Order>) {
        while self.in_flight < self.plan.limits.in_flight
            && let Some(step) = self.ready.pop_front()
        {
            match self.arguments(&self.plan.steps[step as usize]) {
                Ok((_, held)) if held.len() > self.plan.limits.held_inputs => {
                    return self.too_many_held(step, held.len(), out);
                }
                Ok((arguments, held)) => {
                    self.in_flight += 1;
                    self.states[step as usize] = StepState::UnderWay { called: Some(now) };
                    let keep = !self.plan.steps[step as usize].dependents.is_empty();
                    out.push(Order::Call { step, arguments, held, keep });
                }
                Err((maker, missing)) => {
                    let body = self.of_reference(maker, missing.body());
                    let failure = StepFailed { body, executed: Executed::No, node: None, attempts: 0 };
                    return self.fail(Some(step), failure, out);
                }
            }
        }
        if self.left == 0 && self.wanted_left == 0 && !self.ended {
            self.ended = true;
            let report = self.plan.report.then(|| report(&self.plan.steps, &self.states, self.begun, now));
            let values: Vec<Payload> =
                self.wanted.iter_mut().map(|value| value.take().unwrap_or_default()).collect();
            let answer = GraphAnswer {
                values: values.iter().map(|value| value.len() as u64).collect(),
                report,
                events: Vec::new(),
            };
            out.push(Order::Ended(Ok((answer, values))));
            self.clear(out);
        }
    }

    /// The template with what is at hand put in; what is held elsewhere, with its place in the result of that.
    fn arguments(&self, planned: &PlannedStep) -> Result<(Payload, Vec<HeldPart>), (u32, NoSuchPart)> {
        let mut arguments = Arguments::new(&planned.arguments);
        let mut held = Vec::new();
        for input in &planned.step.inputs {
            let at = arguments.up_to(input.at);
            match self.states[input.pick.step as usize].value() {
                Some(StepValue::Inline(value)) => {
                    arguments
                        .put(project(value, &input.pick.path).map_err(|missing| (input.pick.step, missing))?);
                }
                Some(StepValue::Held(reference)) => {
                    held.push(HeldPart { at, held: reference.clone(), path: input.pick.path.clone() });
                }
                // A step is called when all it needs is done.
                None => {}
            }
        }
        Ok((arguments.finish(), held))
    }

    /// The wanted values that a step gives: cut out of what is at hand, or to be fetched.
    fn bring_home(&mut self, step: u32, out: &mut Vec<Order>) -> Result<(), Box<StepFailed>> {
        let StepState::Done { done, .. } = &self.states[step as usize] else { return Ok(()) };
        let done = done.clone();
        for index in 0..self.plan.wanted.len() {
            let pick = &self.plan.wanted[index];
            if pick.step != step || self.wanted[index].is_some() {
                continue;
            }
            match &done.value {
                StepValue::Held(held) => {
                    out.push(Order::Fetch {
                        wanted: number(index),
                        held: held.clone(),
                        path: pick.path.clone(),
                    });
                }
                StepValue::Inline(value) => match project(value, &pick.path) {
                    Ok(part) => self.came_home(index, part),
                    Err(missing) => {
                        let body = self.of_reference(step, missing.body());
                        let node = Some(done.node);
                        return Err(Box::new(StepFailed {
                            body,
                            executed: Executed::Yes,
                            node,
                            attempts: 1,
                        }));
                    }
                },
            }
        }
        Ok(())
    }

    fn came_home(&mut self, wanted: usize, value: Payload) {
        if let Some(place @ None) = self.wanted.get_mut(wanted) {
            *place = Some(value);
            self.wanted_left -= 1;
        }
    }

    /// The step whose held result it is.
    fn maker_of(&self, lost: &InputFailure) -> Option<u32> {
        let is_it = |state: &StepState| matches!(state.value(), Some(StepValue::Held(held)) if (held.holder, held.result) == (lost.holder, lost.result));
        self.states.iter().position(is_it).map(number)
    }

    /// The result of a step is lost: it runs again if that does no harm, else its number is the error.
    fn again(&mut self, step: u32) -> Result<(), u32> {
        let index = step as usize;
        let may = matches!(self.states[index].value(), Some(StepValue::Held(held)) if held.idempotent || Defect::RunRepeatsAnyStep.is_in())
            && self.reruns[index] < self.plan.steps[index].step.retries;
        if !may {
            return Err(step);
        }
        self.reruns[index] += 1;
        self.left += 1;
        self.wait_anew(step);
        // Those that wait for other inputs too wait for this one once more.
        for dependent in self.plan.steps[index].dependents.clone() {
            match &mut self.states[dependent as usize] {
                StepState::Waiting(missing) => *missing += 1,
                StepState::UnderWay { called: None } => {
                    self.ready.retain(|ready| *ready != dependent);
                    self.states[dependent as usize] = StepState::Waiting(1);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A step that is not running waits for those of its inputs that are missing now.
    fn wait_anew(&mut self, step: u32) {
        let needs = &self.plan.steps[step as usize].needs;
        let missing = needs.iter().filter(|need| !self.states[**need as usize].is_done()).count();
        if missing == 0 {
            self.line_up(step);
        } else {
            self.states[step as usize] = StepState::Waiting(missing);
        }
    }

    fn too_much(&mut self, step: u32, out: &mut Vec<Order>) {
        let limit = self.plan.limits.bytes;
        let text = format!(
            "the results of the graph have more than {limit} bytes at its coordinator; want less of them"
        );
        let body = ErrorBody::new(ErrorCode::TooLarge, text);
        self.fail(Some(step), StepFailed { body, executed: Executed::Yes, node: None, attempts: 1 }, out);
    }

    fn too_many_held(&mut self, step: u32, count: usize, out: &mut Vec<Order>) {
        let limit = self.plan.limits.held_inputs;
        let text = format!(
            "it refers to {count} large results, more than {limit}; join some of them in steps between"
        );
        let body = ErrorBody::new(ErrorCode::TooLarge, text);
        self.fail(Some(step), StepFailed { body, executed: Executed::No, node: None, attempts: 0 }, out);
    }

    fn fail(&mut self, step: Option<u32>, failure: StepFailed, out: &mut Vec<Order>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let name =
            step.and_then(|step| self.step(step)).map_or_else(ForeignText::default, |step| step.name.clone());
        let StepFailed { body, executed, node, attempts } = failure;
        let node = node.or_else(|| match self.states.get(step? as usize)? {
            StepState::Done { done, .. } => Some(done.node.clone()),
            _ => None,
        });
        let failure = GraphFailure { step, name, cause: body, executed, node, attempts, events: Vec::new() };
        out.push(Order::Ended(Err(Box::new(failure))));
        self.clear(out);
    }

    /// Cancels what runs and frees what is held.
    fn clear(&mut self, out: &mut Vec<Order>) {
        self.ready.clear();
        for (index, state) in self.states.iter().enumerate() {
            if matches!(state, StepState::UnderWay { called: Some(_) }) {
                out.push(Order::Cancel { step: number(index) });
            }
        }
        let holders = std::mem::take(&mut self.holders);
        out.extend(holders.into_iter().map(|(holder, incarnation)| Order::Free { holder, incarnation }));
    }

    /// The error of a reference into the result of `step`, which says whose result it is.
    fn of_reference(&self, step: u32, mut cause: ErrorBody) -> ErrorBody {
        let name = self.step(step).map_or("", |step| step.name.as_str());
        cause.message = ForeignText::new(format!("in the result of {name}: {}", cause.message.as_str()));
        cause
    }
}

fn input_failure(body: &ErrorBody) -> Option<InputFailure> {
    let data = body.data.as_ref().filter(|_| body.code == ErrorCode::ResultLost)?;
    rmp_serde::from_slice(data).ok()
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

//! Steps whose large inputs are with other nodes: those are fetched before the step stands in line for a slot, so that
//! no function waits for bytes that travel.

use mpreg_types::{ErrorBody, ErrorCode, Executed, HeldInput, Payload, StepCall, Time};

use crate::attempt::Failed;
use crate::call_table::Turn;
use crate::inbound::{Cargo, Place};
use crate::key::Index;
use crate::slot::State;
use crate::switch::{Step, overloaded_body};
use crate::{CallKey, CallTable, Completion, InboundKey, Outbound, Output, Switch};

impl Switch {
    /// The inputs of a step are here and in its arguments, or one of them is not to be had. One that nobody waits for any
    /// more is dropped and counted.
    pub fn gathered(
        &mut self,
        key: InboundKey,
        outcome: Result<Payload, Box<ErrorBody>>,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        let (index, step) = (key.0, &mut Step { now, out });
        let Some(call) = self.calls.get_mut(index).filter(|call| matches!(call.place, Place::Gathering))
        else {
            self.counters.late += 1;
            return;
        };
        call.place = Place::Arriving { wait_until: None };
        let value = match outcome {
            Ok(value) => value,
            Err(body) => return self.refuse(index, *body, step),
        };
        // Of parts nobody knew how long they are.
        call.gathered = None;
        call.gathered = self.workload.try_gather(value.len() as u64);
        if call.gathered.is_none() {
            return self.refuse(index, too_much(), step);
        }
        if let Some(Cargo { head, value: arguments }) = &mut call.cargo {
            head.value_bytes = value.len() as u64;
            *arguments = value;
        }
        self.place(index, step);
    }

    /// True if a call for an own function lacks inputs: they are asked for, or it was refused.
    pub(crate) fn gathers(&mut self, index: Index, step: &mut Step<'_>) -> bool {
        let Some(call) = self.calls.get_mut(index) else { return false };
        let said = call.cargo.as_mut().and_then(|cargo| cargo.head.extras.as_mut()?.step.as_mut());
        let Some(said) = said.filter(|said| !said.inputs.is_empty()) else { return false };
        let wanted = StepCall { inputs: std::mem::take(&mut said.inputs), ..(**said).clone() };
        let room = self.workload.try_gather(whole_bytes(&wanted.inputs));
        if room.is_none() || !self.reserve_wait(index) {
            let body = if room.is_none() { too_much() } else { overloaded_body() };
            self.refuse(index, body, step);
            return true;
        }
        let Some(call) = self.calls.get_mut(index) else { return true };
        (call.place, call.gathered) = (Place::Gathering, room);
        let arguments = call.cargo.as_ref().map_or_else(Payload::default, |cargo| cargo.value.clone());
        self.wheel.arm(index.slot, call.deadline);
        step.out.push(Output::Gather {
            key: InboundKey(index),
            step: wanted,
            arguments,
            deadline: call.deadline,
        });
        true
    }

    /// Nobody waits for the inputs of that call any more, if somebody did.
    pub(crate) fn gather_no_more(&mut self, index: Index, step: &mut Step<'_>) {
        if self.calls.get(index).is_some_and(|call| matches!(call.place, Place::Gathering)) {
            step.out.push(Output::CancelGather { key: InboundKey(index) });
        }
    }
}

impl CallTable {
    /// The inputs of a step for a function of this process are here and in its arguments, or one of them is not to be had.
    pub fn gathered<P: Outbound>(
        &mut self,
        key: CallKey,
        outcome: Result<Payload, Box<ErrorBody>>,
        now: Time,
        port: &mut P,
        done: &mut Vec<Completion>,
    ) {
        let (index, turn) = (key.index(), &mut Turn { now, port, done });
        let Some(slot) =
            self.slots.get_mut(index).filter(|slot| matches!(slot.state, State::Gathering { .. }))
        else {
            self.counters.late_replies += 1;
            return;
        };
        slot.state = State::Choosing;
        let gathered = outcome.and_then(|value| {
            let room = self.workload.try_gather(value.len() as u64).ok_or_else(|| Box::new(too_much()))?;
            Ok((value, room))
        });
        match gathered {
            Ok(gathered) => {
                slot.gathered = Some(gathered);
                self.invoke(index, turn);
            }
            Err(body) => {
                let node = self.release(index);
                self.attempt_failed(index, Failed::new(*body, Executed::No, node), turn);
            }
        }
    }

    /// True if a call to a function of this process lacks inputs: they are asked for, or the attempt has failed.
    pub(crate) fn gathers<P: Outbound>(&mut self, index: Index, turn: &mut Turn<'_, P>) -> bool {
        let Some(slot) = self.slots.get_mut(index) else { return false };
        let said = slot.head.extras.as_ref().and_then(|extras| extras.step.as_ref());
        let Some(said) = said.filter(|said| !said.inputs.is_empty() && slot.gathered.is_none()) else {
            return false;
        };
        let room = self.workload.try_gather(whole_bytes(&said.inputs)).ok_or_else(too_much);
        let waiting = self.workload.try_wait(slot.head.value_bytes).ok_or_else(overloaded_body);
        match (room, waiting) {
            (Ok(room), Ok(waiting)) => {
                turn.port.gather(CallKey::new(self.caller.bridge, index), said, &slot.value, slot.deadline);
                slot.state = State::Gathering { _waiting: waiting, _room: room };
                self.wheel.arm(index.slot, slot.deadline);
            }
            (Err(body), _) | (_, Err(body)) => {
                let node = self.release(index);
                self.attempt_failed(index, Failed::new(body, Executed::No, node), turn);
            }
        }
        true
    }
}

/// Length of those inputs that are whole results; how long a part is shows when it is here.
pub(crate) fn whole_bytes(inputs: &[HeldInput]) -> u64 {
    let whole = inputs.iter().filter(|input| input.path.is_empty());
    whole.fold(0, |sum, input| sum.saturating_add(input.grant.bytes))
}

pub(crate) fn too_much() -> ErrorBody {
    let text = "steps of graphs have as many bytes of inputs here as they may, before their functions start; run fewer \
                of them at a time, or refer to parts";
    ErrorBody::new(ErrorCode::Overloaded, text)
}

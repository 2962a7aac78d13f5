use mpreg_types::{HeldInput, Payload};

use crate::arguments::Arguments;

/// A step whose call has come before its inputs: they are fetched from their holders and put into its arguments.
#[derive(Debug)]
pub struct Gathering {
    template: Payload,
    /// Where each goes, and what has come.
    inputs: Vec<(u64, Option<Payload>)>,
    missing: usize,
}

impl Gathering {
    /// All `inputs` are missing.
    pub fn new(template: Payload, inputs: &[HeldInput]) -> Self {
        let places = inputs.iter().map(|input| (input.at, None)).collect();
        Self { template, inputs: places, missing: inputs.len() }
    }

    /// An input has come; true if it was the last. A second value for one changes nothing.
    pub fn put(&mut self, input: usize, value: Payload) -> bool {
        if let Some((_, place @ None)) = self.inputs.get_mut(input) {
            *place = Some(value);
            self.missing -= 1;
        }
        self.missing == 0
    }

    /// The arguments, once nothing is missing.
    pub fn finish(self) -> Payload {
        let mut arguments = Arguments::new(&self.template);
        for (at, value) in self.inputs {
            arguments.up_to(at);
            arguments.put(value.unwrap_or_default());
        }
        arguments.finish()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mpreg_types::{Grant, Incarnation, NodeId};

    use super::*;

    fn input(at: u64) -> HeldInput {
        let grant = Grant {
            holder: NodeId::from_bytes([1; 16]),
            incarnation: Incarnation(1),
            result: 1,
            proof: [0; 16],
            bytes: 1,
        };
        HeldInput { at, grant, path: Vec::new() }
    }

    fn payload(text: &'static str) -> Payload {
        Bytes::from_static(text.as_bytes()).into()
    }

    #[test]
    fn inputs_come_in_any_order_and_go_where_they_belong() {
        let mut gathering = Gathering::new(payload("(,)"), &[input(1), input(2), input(99)]);
        assert!(!gathering.put(1, payload("b")));
        assert!(!gathering.put(1, payload("again")));
        assert!(!gathering.put(2, payload("c")));
        assert!(gathering.put(0, payload("a")));
        let whole: Vec<u8> = gathering.finish().segments().flat_map(|part| part.to_vec()).collect();
        assert_eq!(whole, b"(a,b)c");
    }
}

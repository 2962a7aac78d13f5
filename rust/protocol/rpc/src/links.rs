//! First-in-first-out lists through the slots of a slab: a slot is in at most one list of its [`Links`] at a time,
//! and leaves it from anywhere in O(1). That is how a call that is cancelled leaves the queue it stands in.

const NONE: u32 = u32::MAX;

/// Neighbours of every slot; shared by the lists of one slab.
#[derive(Debug, Default)]
pub(crate) struct Links(Vec<Link>);

#[derive(Debug, Clone, Copy)]
struct Link {
    previous: u32,
    next: u32,
}

/// One list.
#[derive(Debug)]
pub(crate) struct Fifo {
    first: u32,
    last: u32,
    len: u32,
}

impl Default for Fifo {
    fn default() -> Self {
        Self { first: NONE, last: NONE, len: 0 }
    }
}

impl Links {
    fn at(&mut self, slot: u32) -> &mut Link {
        let index = slot as usize;
        if index >= self.0.len() {
            self.0.resize(index + 1, Link { previous: NONE, next: NONE });
        }
        &mut self.0[index]
    }
}

impl Fifo {
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    pub(crate) fn push_back(&mut self, slot: u32, links: &mut Links) {
        *links.at(slot) = Link { previous: self.last, next: NONE };
        match self.last {
            NONE => self.first = slot,
            last => links.at(last).next = slot,
        }
        self.last = slot;
        self.len += 1;
    }

    pub(crate) fn push_front(&mut self, slot: u32, links: &mut Links) {
        *links.at(slot) = Link { previous: NONE, next: self.first };
        match self.first {
            NONE => self.last = slot,
            first => links.at(first).previous = slot,
        }
        self.first = slot;
        self.len += 1;
    }

    /// Takes `slot`, which must be in this list, out of it.
    pub(crate) fn remove(&mut self, slot: u32, links: &mut Links) {
        let Link { previous, next } = *links.at(slot);
        match previous {
            NONE => self.first = next,
            previous => links.at(previous).next = next,
        }
        match next {
            NONE => self.last = previous,
            next => links.at(next).previous = previous,
        }
        self.len -= 1;
    }

    pub(crate) fn pop_front(&mut self, links: &mut Links) -> Option<u32> {
        let first = self.first()?;
        self.remove(first, links);
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_is_a_deque_with_removal_from_anywhere(steps in prop::collection::vec((0_u8..4, 0_u32..16), 0..200)) {
            let (mut links, mut list, mut model) = (Links::default(), Fifo::default(), VecDeque::new());
            for (step, slot) in steps {
                let at = model.iter().position(|other| *other == slot);
                match (step, at) {
                    (0, None) => {
                        list.push_back(slot, &mut links);
                        model.push_back(slot);
                    }
                    (1, None) => {
                        list.push_front(slot, &mut links);
                        model.push_front(slot);
                    }
                    (2, Some(at)) => {
                        list.remove(slot, &mut links);
                        model.remove(at);
                    }
                    (3, _) => prop_assert_eq!(list.pop_front(&mut links), model.pop_front()),
                    _ => {}
                }
                prop_assert_eq!((list.len(), list.first()), (model.len(), model.front().copied()));
            }
            let drained: Vec<_> = std::iter::from_fn(|| list.pop_front(&mut links)).collect();
            prop_assert_eq!(drained, model.into_iter().collect::<Vec<_>>());
            prop_assert!(list.is_empty());
        }
    }
}

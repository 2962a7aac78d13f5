//! Slots that are reused, last freed first, and count their uses. Grows on demand up to its bound, never shrinks.

use crate::key::{Index, SLOTS_MAX};

#[derive(Debug)]
pub(crate) struct Slab<T> {
    cells: Vec<Cell<T>>,
    /// First free cell; `cells.len()` if none is.
    free: u32,
    live: u32,
    max: u32,
    /// Generation of a cell at its first use.
    first: u32,
}

#[derive(Debug)]
struct Cell<T> {
    generation: u32,
    content: Content<T>,
}

#[derive(Debug)]
enum Content<T> {
    Free { next: u32 },
    Used(T),
}

impl<T> Slab<T> {
    pub(crate) fn new(max: u32) -> Self {
        Self { cells: Vec::new(), free: 0, live: 0, max: max.min(SLOTS_MAX), first: 0 }
    }

    /// The same, counting uses from `generation` on: so that indices of a former slab are none of this one.
    pub(crate) fn counting_from(self, generation: u32) -> Self {
        Self { first: Index::new(0, generation).generation, ..self }
    }

    pub(crate) fn len(&self) -> usize {
        self.live as usize
    }

    pub(crate) fn max(&self) -> u32 {
        self.max
    }

    pub(crate) fn is_full(&self) -> bool {
        self.live >= self.max
    }

    /// Puts in what `make` returns; `None` if full.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(Index) -> T) -> Option<Index> {
        if self.is_full() {
            return None;
        }
        let slot = self.free;
        if slot as usize == self.cells.len() {
            self.free += 1;
            self.cells.push(Cell { generation: self.first, content: Content::Free { next: self.free } });
        }
        let cell = self.cells.get_mut(slot as usize)?;
        let index = Index::new(slot, cell.generation);
        if let Content::Free { next } = cell.content {
            self.free = next;
        }
        cell.content = Content::Used(make(index));
        self.live += 1;
        Some(index)
    }

    pub(crate) fn get(&self, index: Index) -> Option<&T> {
        match self.cells.get(index.slot as usize)? {
            Cell { generation, content: Content::Used(value) } if *generation == index.generation => {
                Some(value)
            }
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, index: Index) -> Option<&mut T> {
        match self.cells.get_mut(index.slot as usize)? {
            Cell { generation, content: Content::Used(value) } if *generation == index.generation => {
                Some(value)
            }
            _ => None,
        }
    }

    /// The index now valid for a slot, if it is used.
    pub(crate) fn index_of(&self, slot: u32) -> Option<Index> {
        let cell = self.cells.get(slot as usize)?;
        matches!(cell.content, Content::Used(_)).then(|| Index::new(slot, cell.generation))
    }

    pub(crate) fn remove(&mut self, index: Index) -> Option<T> {
        self.get(index)?;
        let cell = self.cells.get_mut(index.slot as usize)?;
        cell.generation = Index::new(0, cell.generation.wrapping_add(1)).generation;
        let content = std::mem::replace(&mut cell.content, Content::Free { next: self.free });
        self.free = index.slot;
        self.live -= 1;
        match content {
            Content::Used(value) => Some(value),
            Content::Free { .. } => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Index, &T)> {
        (0_u32..).zip(&self.cells).filter_map(|(slot, cell)| match &cell.content {
            Content::Used(value) => Some((Index::new(slot, cell.generation), value)),
            Content::Free { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_index_does_not_reach_the_new_occupant() {
        let mut slab = Slab::new(2);
        let first = slab.insert_with(|_| "a").unwrap();
        assert_eq!(slab.remove(first), Some("a"));
        let second = slab.insert_with(|_| "b").unwrap();
        assert_eq!(first.slot, second.slot);
        assert_eq!(slab.remove(first), None);
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&"b")));
    }

    #[test]
    fn a_full_slab_takes_nothing_and_a_freed_place_is_used_again() {
        let mut slab = Slab::new(2);
        let a = slab.insert_with(|_| 1).unwrap();
        slab.insert_with(|_| 2).unwrap();
        assert!(slab.insert_with(|_| 3).is_none() && slab.is_full());
        slab.remove(a);
        assert_eq!(slab.insert_with(|_| 4).map(|index| index.slot), Some(a.slot));
        assert_eq!(slab.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [4, 2]);
    }
}

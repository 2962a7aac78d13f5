//! Tokens: how a reply finds its call without a map. A token is bridge (16 bits), slot (20), generation (28).

use std::fmt;

/// Slots one table can address.
pub const SLOTS_MAX: u32 = (1 << SLOT_BITS) - 1;
/// Bridge number of the [`Switch`](crate::Switch): replies and start reports with it belong to a relay.
pub const SWITCH_BRIDGE: u16 = 0;

const SLOT_BITS: u32 = 20;
const GENERATION_BITS: u32 = 28;
const GENERATION_MASK: u32 = 0x0fff_ffff;

/// Which bridge of this process a token belongs to.
pub fn bridge_of(token: u64) -> u16 {
    (token >> 48) as u16
}

/// A place in a slab and how often it had been used: an old index never reaches a new occupant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Index {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Index {
    pub(crate) fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation: generation & GENERATION_MASK }
    }

    pub(crate) fn of_token(token: u64) -> Self {
        let slot = ((token >> GENERATION_BITS) & 0xf_ffff) as u32;
        Self { slot, generation: (token & 0x0fff_ffff) as u32 }
    }

    pub(crate) fn token(self, bridge: u16) -> u64 {
        u64::from(bridge) << 48 | u64::from(self.slot) << GENERATION_BITS | u64::from(self.generation)
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// Identity of one call within this process: its token, which the frame carries and the reply repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(u64);

impl CallKey {
    pub(crate) fn new(bridge: u16, index: Index) -> Self {
        Self(index.token(bridge))
    }

    pub(crate) fn index(self) -> Index {
        Index::of_token(self.0)
    }

    /// Whose call it is that has this token.
    pub fn of_token(token: u64) -> Self {
        Self(token)
    }

    /// As the frame carries it.
    pub fn token(self) -> u64 {
        self.0
    }

    /// The bridge whose table holds the call.
    pub fn bridge(self) -> u16 {
        bridge_of(self.0)
    }

    /// True for a call that found its table full: it has no place there, and completes at once.
    pub fn is_refused(self) -> bool {
        self.index().slot == SLOTS_MAX
    }

    /// Its place in the table, below the table's `calls_max`: an index for what the driver keeps beside.
    pub fn slot(self) -> usize {
        self.index().slot as usize
    }
}

/// Identity of one call that arrived, within the [`Switch`](crate::Switch).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboundKey(pub(crate) Index);

impl InboundKey {
    /// Its place in the switch, below `inbound_max`.
    pub fn slot(self) -> usize {
        self.0.slot as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_keeps_its_parts() {
        let index = Index::new(SLOTS_MAX, GENERATION_MASK);
        let key = CallKey::new(u16::MAX, index);
        assert_eq!((key.bridge(), key.index(), key.slot()), (u16::MAX, index, SLOTS_MAX as usize));
        assert_eq!(Index::of_token(Index::new(3, GENERATION_MASK + 2).token(7)), Index::new(3, 1));
    }
}

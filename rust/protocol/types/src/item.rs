//! Items of a stream: what one costs of the window that its reader holds open for the stream.

/// Bytes of items that may be under way on one stream before the reader has taken some. Both ends count by it, and an
/// entry node between them passes credit through, so it is no setting.
pub const STREAM_WINDOW: u64 = 256 * 1024;

/// What an item costs beside its value: so that empty ones are bounded, too.
const ITEM_COST_MIN: u64 = 16;
/// What an item costs at most: a larger one passes a window that it would not fit, and two of them are under way while
/// the window lasts, one that is read and one that arrives.
const ITEM_COST_MAX: u64 = STREAM_WINDOW / 2;

/// What an item with a value of that length costs of its stream's window.
pub fn item_cost(value_bytes: u64) -> u64 {
    value_bytes.saturating_add(ITEM_COST_MIN).min(ITEM_COST_MAX)
}

/// Metadata of an item frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemHead {
    /// The token of the call that asked for the stream.
    pub token: u64,
    /// Length of the whole value, over all chunks.
    pub value_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_costs_something_and_none_more_than_half_of_the_window() {
        assert_eq!([0, 100, 1 << 40, u64::MAX].map(item_cost), [16, 116, 131_072, 131_072]);
    }
}

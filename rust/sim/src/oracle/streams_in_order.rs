use crate::{Violation, World};

/// What a reader got of a stream is the beginning of what one execution made, each item once and in its order, and all
/// of it if the stream ended well; and nobody was sent more than fits the window.
pub fn streams_in_order(world: &World) -> Result<(), Violation> {
    const NAME: &str = "no item is lost, doubled or reordered, and credit is never exceeded";
    if let Some((place, on, stream)) = world.ledger.breaches.first() {
        return Err(Violation::new(NAME, format!("place {place} was overrun on {on:?}, {stream:?}")));
    }
    for (call, fate) in world.ledger.calls() {
        let Some(stream) = &fate.stream else { continue };
        let first = stream.received.first().map_or(0, |(execution, _)| *execution);
        let in_order = (0..).zip(&stream.received).all(|(number, got)| *got == (first, number));
        let ended_well = fate.endings.iter().any(|ending| ending.error.is_none());
        let whole = stream.total.is_none_or(|total| total as usize == stream.received.len());
        if !in_order || stream.held_too_much || (ended_well && (stream.total.is_none() || !whole)) {
            return Err(Violation::new(NAME, format!("{call}: {stream:?}, {:?}", fate.endings)));
        }
    }
    Ok(())
}

use crate::{Violation, World};

/// When no graph runs any more, no node holds a result; and none ever refused another a fetch.
pub fn nothing_held(world: &World) -> Result<(), Violation> {
    for place in world.running() {
        let (bytes, refused) = world.held_at(place);
        if bytes > 0 || refused > 0 {
            let what = format!(
                "place {place} holds {bytes} bytes for graphs that are over and refused {refused} fetches"
            );
            return Err(Violation::new("results are freed with their graph", what));
        }
    }
    Ok(())
}

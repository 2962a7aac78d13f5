use std::time::Duration;

use crate::place::Traffic;
use crate::{Violation, World};

/// An idle node sends less than `most` bytes of control frames per second. What it was on average over all nodes.
pub fn idle_bytes(world: &mut World, duration: Duration, most: u64) -> Result<u64, Violation> {
    let nodes = world.running();
    let before: Vec<Traffic> = nodes.iter().map(|place| world.traffic(*place)).collect();
    world.run(duration);
    let seconds = duration.as_secs().max(1);
    let mut sum = 0;
    for (place, before) in nodes.iter().zip(before) {
        let bytes = (world.traffic(*place).bytes - before.bytes) / seconds;
        if bytes >= most {
            let what =
                format!("place {place} sent {bytes} bytes a second with nothing to say, {most} are allowed");
            return Err(Violation::new("bytes of an idle node", what));
        }
        sum += bytes;
    }
    Ok(sum / (nodes.len() as u64).max(1))
}

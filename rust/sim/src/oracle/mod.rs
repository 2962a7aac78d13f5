//! What must be true, one promise per file.

mod completes_once;
mod converges;
mod death_in_time;
mod executes_once;
mod graphs_answer_plainly;
mod graphs_end_once;
mod honest_no;
mod idle_bytes;
mod no_false_death;
mod no_resurrection;
mod nothing_held;
mod only_owners;
mod steps_once;
mod streams_in_order;

pub use completes_once::completes_once;
pub use converges::{converges, disagreement};
pub use death_in_time::{DeathTimes, death_in_time};
pub use executes_once::executes_once;
pub use graphs_answer_plainly::graphs_answer_plainly;
pub use graphs_end_once::graphs_end_once;
pub use honest_no::honest_no;
pub use idle_bytes::idle_bytes;
pub use no_false_death::no_false_death;
pub use no_resurrection::NoResurrection;
pub use nothing_held::nothing_held;
pub use only_owners::only_owners;
pub use steps_once::steps_once;
pub use streams_in_order::streams_in_order;

use crate::{Violation, World};
use std::time::Duration;

/// How often the promises that hold at any moment are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The promises of the catalog that hold at any moment, whatever the faults.
#[derive(Debug, Default)]
pub struct Always {
    no_resurrection: NoResurrection,
}

impl Always {
    /// Runs for `duration` and looks again and again.
    pub fn run(&mut self, world: &mut World, duration: Duration) -> Result<(), Violation> {
        let end = world.now + duration;
        while world.now < end {
            world.run(LOOK.min(end.since(world.now)));
            self.look(world)?;
        }
        Ok(())
    }

    /// Looks once.
    pub fn look(&mut self, world: &World) -> Result<(), Violation> {
        only_owners(world)?;
        self.no_resurrection.look(world)
    }
}

/// The promises to callers, when all calls have ended.
pub fn calls_are_honest(world: &World) -> Result<(), Violation> {
    completes_once(world)?;
    executes_once(world)?;
    honest_no(world)
}

/// The promises of call graphs, when all of them have ended and the last deadline has passed.
pub fn graphs_are_honest(world: &World) -> Result<(), Violation> {
    graphs_end_once(world)?;
    graphs_answer_plainly(world)?;
    steps_once(world)?;
    nothing_held(world)
}

use std::time::Duration;

use mpreg_types::MemberState;

use crate::{Violation, World};

/// How exactly the time is taken.
const STEP: Duration = Duration::from_millis(10);

/// Within which time a death must be seen by everybody.
#[derive(Debug, Clone, Copy)]
pub struct DeathTimes {
    /// By then new calls avoid it (it is Suspect at least).
    pub avoided: Duration,
    /// By then it is Down everywhere.
    pub down: Duration,
}

impl DeathTimes {
    /// A process died, its machine lives: seen by all within 2 s at worst.
    pub const PROCESS: Self = Self { avoided: Duration::from_millis(1_500), down: Duration::from_secs(2) };
    /// Silence: avoided within 1.5 s by nearly all (who probes whom is chance, and small meshes probe seldom), within
    /// seven probe periods at worst; Down within 4 s at worst.
    pub const SILENT: Self = Self { avoided: Duration::from_millis(2_100), down: Duration::from_secs(4) };
}

/// Somebody whose callers would still choose the victim first.
fn chosen_by(world: &World, victim: usize) -> Option<usize> {
    let subject = world.id(victim);
    world.running().into_iter().filter(|other| *other != victim).find(|other| {
        let process = world.places[*other].process.as_ref();
        let peer = process.and_then(|process| process.snapshot.peer(subject));
        peer.is_some_and(|peer| peer.member() == MemberState::Alive)
    })
}

/// `victim` has just died: everybody sees it in time. How long it took until it was Down everywhere.
pub fn death_in_time(world: &mut World, victim: usize, times: DeathTimes) -> Result<Duration, Violation> {
    let died = world.now;
    loop {
        let after = world.now.since(died);
        let still = |world: &World, states: &[MemberState]| {
            let mut others = world.running().into_iter().filter(|other| *other != victim);
            others.find(|other| world.state(*other, victim).is_some_and(|state| states.contains(&state)))
        };
        let late = |what: &str, by: usize| {
            let what = format!("{after:?} after its death place {victim} {what} at place {by}");
            Err(Violation::new("death is seen in time", what))
        };
        let living = still(world, &[MemberState::Alive, MemberState::Suspect]);
        if let (true, Some(by)) = (after > times.avoided, chosen_by(world, victim)) {
            return late("is still chosen", by);
        }
        match living {
            None => return Ok(after),
            Some(by) if after > times.down => return late("is not Down", by),
            Some(_) => world.run(STEP),
        }
    }
}

use mpreg_types::Executed;

use crate::{Ending, Violation, World};

/// `executed="no"` is true, for ever; so are a result and `executed="yes"`.
pub fn honest_no(world: &World) -> Result<(), Violation> {
    for (call, fate) in world.ledger.calls() {
        let is_honest = |ending: &Ending| match ending.error {
            None | Some((_, Executed::Yes)) => !fate.executions.is_empty(),
            Some((_, Executed::No)) => fate.executions.is_empty(),
            Some((_, Executed::Unknown)) => true,
        };
        if let Some(ending) = fate.endings.iter().find(|ending| !is_honest(ending)) {
            let what = format!("{call} was told {:?}: {fate:?}", ending.error);
            return Err(Violation::new("executed=\"no\" is true", what));
        }
    }
    Ok(())
}

use crate::history::Entries;
use crate::{Violation, World};

/// Only owners change rows: whatever version of an owner's log a node holds, its entries are exactly those that the
/// owner itself had at that version.
pub fn only_owners(world: &World) -> Result<(), Violation> {
    const NAME: &str = "only owners change rows";
    if let Some(refused) = world.history.refused.first() {
        return Err(Violation::new(NAME, format!("a log of an honest owner was refused: {refused}")));
    }
    for place in world.running() {
        let Some(engine) = world.engine(place) else { continue };
        let catalog = engine.catalog_machine();
        for view in catalog.owners() {
            let row = view.row;
            if row.version == 0 || row.owner == world.id(place) {
                continue;
            }
            let held: Entries = catalog.entries(&row.owner).map(|(key, version, _)| (key, version)).collect();
            let (owner, incarnation, version) = (row.owner, row.incarnation, row.version);
            let Some(truth) = world.history.at(owner, incarnation, version) else {
                let what = format!("place {place} holds version {version} of {owner:?}, which it never had");
                return Err(Violation::new(NAME, what));
            };
            if held != *truth {
                let what = format!(
                    "place {place} at version {version} of {owner:?}: {held:?}, but it was {truth:?}"
                );
                return Err(Violation::new(NAME, what));
            }
        }
    }
    Ok(())
}

use mpreg_types::Load;

use super::world::{World, asking, entry, millis};
use crate::Input;

#[test]
fn answers_to_probes_say_how_busy_a_node_is() {
    let mut world = World::converged(3);
    for index in [1, 2] {
        world.register(index, entry("f")).unwrap();
    }
    let (busy, free) = (world.places[1].id, world.places[2].id);
    world.give(1, Input::Load { load: Load { in_flight: 7, queued: 2 } }).unwrap();
    let known = |world: &World, node| world.engine(0).peer(node).unwrap().known_load(world.now);
    let probed = |world: &mut World| known(world, busy) == Some(9) && known(world, free) == Some(0);
    world.run_until("both probed", millis(300), probed);
    for _ in 0..20 {
        assert_eq!(world.choice(0, &asking("f")).unwrap().candidate.node(), free);
        world.run(millis(1));
    }
    // No call was ever made, so what keeps a connection that was dialled for calls saw nothing.
    assert_eq!(world.engine(0).peer(busy).unwrap().replied_at(), None);
    world.give(1, Input::Load { load: Load::default() }).unwrap();
    world.run_until("probed again", millis(300), |world| known(world, busy) == Some(0));
}

#[test]
fn what_a_node_said_long_ago_is_unknown() {
    let mut world = World::converged(2);
    let busy = world.places[1].id;
    world.give(1, Input::Load { load: Load { in_flight: 7, queued: 0 } }).unwrap();
    let known = |world: &World| world.engine(0).peer(busy).unwrap().known_load(world.now);
    world.run_until("probed", millis(300), |world| known(world) == Some(7));
    world.cut(0, 1);
    world.run(mpreg_routing::LOAD_FRESH + millis(300));
    assert_eq!(known(&world), None);
}

use mpreg_routing::Identity;

use super::world::{World, millis};

fn identity(world: &World, observer: usize, subject: usize) -> Identity {
    let subject = world.places[subject].id;
    let rows = world.engine(observer).members();
    rows.into_iter().find(|row| row.node_id == subject).unwrap().identity
}

#[test]
fn a_name_counts_as_proved_when_the_certificates_in_the_facts_have_been_checked() {
    let mut world = World::new(3);
    world.places[1].certificates = vec!["node".into()];
    world.places[2].certificates = vec!["another".into()];
    for index in 0..3 {
        world.start(index, &[0]);
    }
    world.run_until("all see all", millis(500), World::agrees);
    world.run(millis(20));
    for observer in [0, 1, 2] {
        assert_eq!(identity(&world, observer, 0), Identity::Declared, "without certificates, at {observer}");
        assert_eq!(identity(&world, observer, 1), Identity::Verified, "at {observer}");
    }
    for observer in [0, 1] {
        assert_eq!(identity(&world, observer, 2), Identity::Declared, "with another\'s, at {observer}");
    }
}

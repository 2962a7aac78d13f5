//! Hearsay against own evidence.

use std::time::Duration;

use mpreg_membership::{Config, Event, Input, Message, Row, RowState};
use mpreg_types::{Incarnation, MemberState, NodeId};

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

fn row(world: &World, node: usize, state: RowState) -> Row {
    let identity = world.nodes[node].identity();
    Row {
        node: identity.node,
        incarnation: identity.incarnation,
        generation: 0,
        refutation: 0,
        state,
        addresses: identity.addresses,
    }
}

fn say(world: &mut World, from: usize, to: usize, rows: Vec<Row>) {
    let from = world.nodes[from].id;
    world.give(to, Input::Message { from, message: Message::News(rows) });
}

#[test]
fn a_rumour_of_death_does_not_harm_a_member_we_are_connected_to() {
    let mut world = World::converged(5, Config::lan(), 1);
    let rumour = row(&world, 2, RowState::Down);
    say(&mut world, 1, 0, vec![rumour]);
    assert_eq!(world.state(0, 2), Some(MemberState::Suspect));
    world.run(SECOND / 10);
    assert_eq!(world.state(0, 2), Some(MemberState::Alive), "it was asked and refuted");
    assert_eq!(world.count(|event| matches!(event, Event::Down { .. })), 0);
    let (liar, counters) = (world.nodes[1].id, world.nodes[0].machine.as_ref().unwrap().counters());
    assert_eq!(counters.overturned.get(&liar), Some(&1));
}

#[test]
fn a_death_right_behind_its_suspicion_leaves_time_to_answer_us() {
    let mut world = World::converged(5, Config::lan(), 1);
    for state in [RowState::Suspect, RowState::Down] {
        let rumour = row(&world, 2, state);
        say(&mut world, 1, 0, vec![rumour]);
    }
    assert_eq!(world.state(0, 2), Some(MemberState::Suspect));
    world.run(SECOND / 10);
    assert_eq!(world.state(0, 2), Some(MemberState::Alive));
}

#[test]
fn a_liar_that_never_stops_kills_nobody() {
    let mut world = World::converged(5, Config::lan(), 1);
    for _ in 0..100 {
        let mut rumour = row(&world, 2, RowState::Down);
        rumour.refutation = u16::MAX;
        for to in [0, 3, 4] {
            say(&mut world, 1, to, vec![rumour.clone()]);
        }
        world.run(SECOND / 20);
    }
    world.run(SECOND);
    let id = world.nodes[2].id;
    let down = world.events.iter().filter(|(_, _, event)| *event == Event::Down { node: id }).count();
    assert_eq!(down, 0);
    assert!(world.all_see_all());
}

#[test]
fn a_rumour_of_the_death_of_a_dead_member_is_believed_after_it_had_its_chance() {
    let mut world = World::converged(5, Config::lan(), 1);
    world.links.black_hole(2);
    let rumour = row(&world, 2, RowState::Down);
    say(&mut world, 1, 0, vec![rumour]);
    world.run(SECOND * 2 / 5);
    assert_eq!(world.state(0, 2), Some(MemberState::Suspect));
    world.run(SECOND * 2 / 10);
    assert_eq!(world.state(0, 2), Some(MemberState::Down));
}

#[test]
fn the_dead_and_unknown_stay_unknown() {
    let mut world = World::converged(3, Config::lan(), 1);
    let stranger = Row { node: NodeId::from_bytes([9; 16]), ..row(&world, 2, RowState::Down) };
    let later = Row { incarnation: Incarnation(u64::MAX), ..row(&world, 2, RowState::Down) };
    say(&mut world, 1, 0, vec![stranger.clone(), later]);
    assert!(world.nodes[0].machine.as_ref().unwrap().member(stranger.node).is_none());
    assert_eq!(world.state(0, 2), Some(MemberState::Alive));
}

#[test]
fn a_rumour_of_a_later_start_does_not_replace_a_member_we_are_connected_to() {
    let mut world = World::converged(3, Config::lan(), 1);
    let later = Row { incarnation: Incarnation(u64::MAX), ..row(&world, 2, RowState::Alive) };
    say(&mut world, 1, 0, vec![later]);
    world.run(SECOND * 8);
    assert!(world.events.is_empty(), "{:?}", world.events);
    assert!(world.all_see_all());
}

#[test]
fn a_row_that_claims_a_leave_is_worth_nothing() {
    let mut world = World::converged(3, Config::lan(), 1);
    let left = Row { generation: u32::MAX, ..row(&world, 2, RowState::Left) };
    let sealed = Row { generation: u32::MAX, ..row(&world, 2, RowState::Down) };
    say(&mut world, 1, 0, vec![left, sealed]);
    assert_eq!(world.state(0, 2), Some(MemberState::Alive));
    assert_eq!(world.nodes[0].machine.as_ref().unwrap().counters().malformed, 1);
}

#[test]
fn members_beyond_the_limit_are_dropped_and_counted() {
    let config = Config { members_max: 20, ..Config::lan() };
    let mut world = World::converged(3, config, 1);
    let strangers: Vec<Row> = (0..100)
        .map(|byte| Row { node: NodeId::from_bytes([byte; 16]), ..row(&world, 2, RowState::Alive) })
        .collect();
    say(&mut world, 1, 0, strangers);
    let machine = world.nodes[0].machine.as_ref().unwrap();
    assert_eq!(machine.members().count(), 20);
    assert_eq!(machine.counters().members_overflow, 82);
}

#[test]
fn messages_that_are_not_from_their_source_are_dropped_and_counted() {
    let mut world = World::converged(3, Config::lan(), 1);
    let stranger = NodeId::from_bytes([9; 16]);
    let news = |rows| Message::News(rows);
    world.give(0, Input::Message { from: stranger, message: news(Vec::new()) });
    let (from, me) = (world.nodes[1].id, world.nodes[0].id);
    world.give(0, Input::Message { from: me, message: news(Vec::new()) });
    world.give(0, Input::Message { from, message: Message::Swim(vec![1, 2, 3].into()) });
    let mut ping = vec![1];
    for node in [2, 0] {
        ping.extend_from_slice(world.nodes[node].id.as_bytes());
        ping.extend_from_slice(&world.nodes[node].incarnation.0.to_be_bytes());
        ping.extend_from_slice(&[0; 4]);
        if node == 2 {
            ping.extend_from_slice(&[0; 2]);
        }
    }
    ping.push(1);
    world.give(0, Input::Message { from, message: Message::Swim(ping.into()) });
    let counters = world.nodes[0].machine.as_ref().unwrap().counters();
    assert_eq!((counters.unknown_sender, counters.malformed), (1, 3));
}

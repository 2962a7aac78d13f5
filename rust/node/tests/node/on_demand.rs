use std::time::Duration;

use mpreg_node::{Network, Settings};

use crate::line::Line;
use crate::place::{ANSWER, Running, Scratch};

const NODES: usize = 12;

/// A cluster beyond its full mesh, and where nobody is probed within the time of a test: connections are those of the
/// views and of calls.
fn beyond_the_full_mesh(idle_after: Duration) -> Settings {
    let probe_interval = Duration::from_millis(3_900);
    Settings { full_mesh_max: 3, idle_after, probe_interval, ..Settings::default() }
}

fn cluster(scratch: &Scratch, settings: &Settings) -> Vec<Running> {
    let network = Network::new();
    let mut nodes: Vec<Running> = Vec::new();
    for index in 0..NODES {
        let seeds: &[&str] = if index == 0 { &[] } else { &["n0"] };
        let config = scratch.config(&format!("n{index}"), seeds, settings.clone());
        let node = Running::start(config, &network).unwrap();
        node.offer(&format!("f{index}"));
        nodes.push(node);
    }
    let seen = nodes[0].node();
    for node in &nodes {
        let same = || node.node().fingerprint() == seen.fingerprint();
        Line::to(node.node()).until("the view that the seed has", same);
    }
    nodes
}

/// Nodes, by place, that `caller` has no connection to.
fn strangers(nodes: &[Running], caller: usize) -> Vec<usize> {
    let has_none = |other: &usize| !nodes[caller].node().is_connected_to(nodes[*other].node());
    (0..nodes.len()).filter(|other| *other != caller).filter(has_none).collect()
}

#[test]
fn calls_reach_nodes_without_a_connection() {
    let scratch = Scratch::new();
    let nodes = cluster(&scratch, &beyond_the_full_mesh(Duration::from_mins(1)));
    let missing: usize = (0..NODES).map(|caller| strangers(&nodes, caller).len()).sum();
    assert!(missing > 0, "a full mesh would show nothing");
    for caller in &nodes[1..4] {
        let mut line = Line::to(caller.node());
        for callee in 0..NODES {
            let answer = line.call(&format!("f{callee}"));
            assert_eq!(answer.unwrap().head.as_ref(), ANSWER, "{} to f{callee}", caller.node().id());
        }
    }
}

#[test]
fn a_connection_that_a_call_dialled_is_closed_when_nobody_needs_it() {
    let scratch = Scratch::new();
    let nodes = cluster(&scratch, &beyond_the_full_mesh(Duration::from_millis(200)));
    // The seed is everybody's: another one calls.
    let mut line = Line::to(nodes[1].node());
    let stranger = strangers(&nodes, 1)[0];
    assert_eq!(line.call(&format!("f{stranger}")).unwrap().head.as_ref(), ANSWER);
    let (caller, other) = (nodes[1].node(), nodes[stranger].node());
    line.until("the end of an idle connection", || !caller.is_connected_to(other));
    assert!(caller.is_connected_to(nodes[0].node()), "a connection to the seed is kept");
}

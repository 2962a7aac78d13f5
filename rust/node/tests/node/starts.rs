//! Starts of one key: the later one is the living one, also when the clock was set back.

use std::fs;

use mpreg_node::{Network, NodeConfig, Settings};
use mpreg_types::ErrorCode;

use crate::line::Line;
use crate::place::{ANSWER, Running, Scratch, ended};

/// A start far ahead of every clock.
const AHEAD: u64 = 9_000_000_000_000_000;

/// The node "b" with its key in the directory `home`, joining through "a".
fn keeper(scratch: &Scratch, home: &str, listen: &str) -> NodeConfig {
    let settings = Settings { data_dir: Some(scratch.path(home)), ..Settings::default() };
    let config = scratch.config("b", &["a"], settings);
    NodeConfig { listen: format!("memory:{listen}"), ..config }
}

fn kept_start(scratch: &Scratch, home: &str) -> u64 {
    fs::read_to_string(scratch.path(home).join("node.incarnation")).unwrap().trim().parse().unwrap()
}

/// Has the next start in `home` be later than `start`.
fn set_start(scratch: &Scratch, home: &str, start: u64) {
    fs::create_dir_all(scratch.path(home)).unwrap();
    fs::write(scratch.path(home).join("node.incarnation"), start.to_string()).unwrap();
}

#[test]
fn a_start_is_later_than_the_one_before_whatever_the_clock_says() {
    let (scratch, network) = (Scratch::new(), Network::new());
    set_start(&scratch, "home", AHEAD);
    let alone = || NodeConfig { seeds: Vec::new(), ..keeper(&scratch, "home", "b") };
    for start in [AHEAD + 1, AHEAD + 2] {
        let _node = Running::start(alone(), &network).unwrap();
        assert_eq!(kept_start(&scratch, "home"), start);
    }
}

#[test]
fn a_node_whose_clock_was_set_back_starts_above_what_its_peers_know() {
    let (scratch, network) = (Scratch::new(), Network::new());
    let seed = Running::start(scratch.config("a", &[], Settings::default()), &network).unwrap();
    set_start(&scratch, "home", AHEAD);
    let first = Running::start(keeper(&scratch, "home", "b"), &network).unwrap();
    first.offer("first");
    let mut line = Line::to(seed.node());
    assert_eq!(line.call("first").unwrap().head.as_ref(), ANSWER);
    first.stop();
    // All that tells it of its former start is lost, but for its peers' memory.
    fs::remove_file(scratch.path("home").join("node.incarnation")).unwrap();
    let second = Running::start(keeper(&scratch, "home", "b"), &network).unwrap();
    assert_eq!(kept_start(&scratch, "home"), AHEAD + 2);
    second.offer("second");
    assert_eq!(line.call("second").unwrap().head.as_ref(), ANSWER);
    assert!(line.call("first").is_err(), "what the former start offered is gone");
}

#[test]
fn of_two_processes_with_one_key_the_older_start_ends() {
    let (scratch, network) = (Scratch::new(), Network::new());
    let seed = Running::start(scratch.config("a", &[], Settings::default()), &network).unwrap();
    set_start(&scratch, "home", AHEAD);
    let first = Running::start(keeper(&scratch, "home", "b"), &network).unwrap();
    fs::create_dir_all(scratch.path("copy")).unwrap();
    fs::copy(scratch.path("home").join("node.key"), scratch.path("copy").join("node.key")).unwrap();
    let second = Running::start(keeper(&scratch, "copy", "c"), &network).unwrap();
    assert_eq!(kept_start(&scratch, "copy"), AHEAD + 2);
    let error = ended(|end| first.node().ended(end)).unwrap_err();
    assert_eq!(error.body.code, ErrorCode::Config);
    assert!(error.to_string().contains("a second process has its key"), "{error}");
    second.offer("second");
    assert_eq!(Line::to(seed.node()).call("second").unwrap().head.as_ref(), ANSWER);
}

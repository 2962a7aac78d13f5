//! The machine: inputs in, outputs out.

use mpreg_types::Time;

use crate::{Config, ConfigError, Counters, Input, LocalMember, Member, Output};

/// Membership of one cluster as one node sees it.
#[derive(Debug)]
pub struct Membership {
    config: Config,
    me: LocalMember,
    seed: u64,
    counters: Counters,
    members: Vec<Member>,
}

impl Membership {
    /// A node that knows nobody yet.
    pub fn new(config: Config, me: LocalMember, seed: u64) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { config, me, seed, counters: Counters::default(), members: Vec::new() })
    }

    /// Takes one input; what is to be done about it is appended to `out`.
    pub fn handle(&mut self, _input: Input, _now: Time, _out: &mut Vec<Output>) {}

    /// Every other member known: Alive, Suspect, Down and Left.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// One other member.
    pub fn member(&self, node: mpreg_types::NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.identity.node == node)
    }

    /// Who this node is.
    pub fn me(&self) -> &LocalMember {
        &self.me
    }

    /// The settings it runs with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What was dropped or doubted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// False for a connection that membership does not need: it may be closed when it idles.
    pub fn is_wanted(&self, _peer: mpreg_types::NodeId) -> bool {
        self.seed != 0
    }
}

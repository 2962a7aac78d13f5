use crate::{FunctionId, FunctionName};

/// A function that every node has and no catalog lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Builtin {
    /// Runs a call graph.
    Graph,
    /// Hands out a result that the node holds for a graph.
    Result,
    /// Frees what the node holds for a graph.
    Free,
    /// Runs a call graph and answers with a stream of its [`GraphEvent`](crate::GraphEvent)s.
    Events,
    /// Says what the node has done so far, and whom it is connected to.
    Stats,
    /// Answers with its own arguments, as a list.
    Echo,
}

impl Builtin {
    /// Every one there is.
    pub const ALL: [Self; 6] = [Self::Graph, Self::Result, Self::Free, Self::Events, Self::Stats, Self::Echo];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Graph => "mpreg.graph",
            Self::Result => "mpreg.result",
            Self::Free => "mpreg.free",
            Self::Events => "mpreg.events",
            Self::Stats => "mpreg.stats",
            Self::Echo => "mpreg.echo",
        }
    }

    /// The one with that id.
    pub fn find(id: &FunctionId) -> Option<Self> {
        // Nearly every id is a user's: one look tells.
        if !id.as_str().starts_with("mpreg.") {
            return None;
        }
        Self::ALL.into_iter().find(|builtin| builtin.as_str() == id.as_str())
    }

    /// Its name, under `mpreg.` where users have none.
    pub fn name(self) -> FunctionName {
        match FunctionName::parse(self.as_str()) {
            Ok(name) => name,
            Err(error) => unreachable!("a name of ours breaks the rules: {error}"),
        }
    }

    /// Its identity.
    pub fn id(self) -> FunctionId {
        FunctionId::from(&self.name())
    }

    /// The number that a node's driver knows it by: users' functions count from below.
    pub const fn handle(self) -> u64 {
        u64::MAX - self as u64
    }

    /// The one with that number.
    pub fn of_handle(handle: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|builtin| builtin.handle() == handle)
    }

    /// True if clients may call it; the others are among nodes.
    pub const fn is_for_clients(self) -> bool {
        matches!(self, Self::Graph | Self::Events | Self::Stats | Self::Echo)
    }

    /// True if it answers with a stream of items. Its deadline holds for the whole of it, not only for the first one.
    pub const fn is_streaming(self) -> bool {
        matches!(self, Self::Events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_id_and_its_handle() {
        for builtin in Builtin::ALL {
            assert_eq!(Builtin::find(&builtin.id()), Some(builtin));
            assert_eq!(Builtin::of_handle(builtin.handle()), Some(builtin));
            assert!(builtin.name().is_reserved());
        }
        assert_eq!(Builtin::find(&FunctionId::parse("shop.score").unwrap()), None);
        assert_eq!(Builtin::of_handle(1), None);
    }
}

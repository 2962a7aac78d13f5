use mpreg_engine::{Addresses, DialId, DialOutcome, Timer};
use mpreg_rpc::CallKey;
use mpreg_types::{ConnectionId, NodeId, Time};

use crate::job::JobKey;
use crate::world::Leaving;

/// One start of a process at one place: what is meant for a former start finds nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) place: usize,
    pub(crate) start: u64,
}

/// What the agenda holds.
#[derive(Debug)]
pub(crate) enum Item {
    /// A timer of an engine.
    Timer(Spot, Timer),
    /// The data plane of a process looks at the clock.
    Tick(Spot),
    /// What `side` wrote goes to the kernel.
    Flush { wire: ConnectionId, side: usize },
    /// Frames that `side` sent arrive.
    Deliver { wire: ConnectionId, side: usize },
    /// The kernel of `side` sends again what was not acknowledged.
    Resend { wire: ConnectionId, side: usize },
    /// A SYN arrives.
    Dial { from: Spot, why: Dialling, addresses: Addresses },
    /// Both sides have proved who they are.
    Handshake { wire: ConnectionId },
    /// A dial that did not connect ends.
    DialEnds(Spot, Dialling, DialOutcome),
    /// A dial that has not connected by now does not.
    DialTimesOut { wire: ConnectionId },
    /// A retired connection is closed.
    Retired(Spot, ConnectionId),
    /// An idle connection is closed, if it is quiet.
    CloseIdle(Spot, ConnectionId),
    /// The other side has not answered the goodbye of one that this side closed.
    CloseTimesOut(Spot, ConnectionId),
    /// A node that leaves politely looks whether its calls have ended; they have until then.
    Leaves(Spot, Leaving, Time),
    /// A call waits for a connection to that node.
    Wanted(Spot, NodeId),
    /// A handler takes a job up.
    JobBegins(Spot, JobKey),
    /// A handler has done a job.
    JobEnds(Spot, JobKey),
    /// A process makes a call.
    Call(Spot),
    /// A process asks for a stream.
    Stream(Spot),
    /// The next item of a stream is made.
    Make(Spot, JobKey),
    /// A reader takes an item.
    Read(Spot, CallKey),
    /// A process runs a graph.
    Graph(Spot),
    /// Something waits for a node's desk.
    Desk(Spot),
    /// A caller stops waiting.
    GiveUp(Spot, CallKey),
    /// A client looks for an entry node.
    ClientDials(Spot),
    /// A paused process goes on.
    Resume(usize),
}

/// Who wants a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialling {
    /// An engine, perhaps to that node.
    Engine(DialId, Option<NodeId>),
    /// A client, to its entry node.
    Client,
}

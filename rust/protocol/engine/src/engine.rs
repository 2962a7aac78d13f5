use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mpreg_catalog::{Catalog, EntryKey, FunctionEntry};
use mpreg_membership::{LocalMember, MemberIdentity, Membership};
use mpreg_routing::{Index, LocalFunction, Own, PeerState, Snapshot};
use mpreg_types::{ConnectionId, ForeignText, NodeId, Signer, Time};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::card::Card;
use crate::certified::Certified;
use crate::conflicts::Conflicts;
use crate::history::History;
use crate::instance::Claim;
use crate::join::Phase;
use crate::links::Links;
use crate::{Config, Counters, EngineError, Event, Input, Local, Output, Timer};

/// One node's control brain. See the crate's page.
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) local: Local,
    pub(crate) own_card: Card,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) membership: Membership,
    pub(crate) catalog: Catalog,
    pub(crate) index: Index,
    pub(crate) phase: Phase,
    pub(crate) claim: Claim,
    pub(crate) links: Links,
    pub(crate) cards: BTreeMap<NodeId, Card>,
    /// Newcomers that want the place of another living node, with that node: not introduced yet.
    pub(crate) contested: BTreeMap<NodeId, NodeId>,
    pub(crate) certified: Certified,
    /// What this node offers, and how to reach it in this process.
    pub(crate) own: BTreeMap<EntryKey, (FunctionEntry, LocalFunction)>,
    /// Version up to which an owner's entries were told when it was last shown; no row: it is hidden.
    pub(crate) shown: BTreeMap<NodeId, u64>,
    pub(crate) conflicts: Conflicts,
    pub(crate) history: History,
    pub(crate) counters: Counters,
    /// It leaves.
    pub(crate) draining: bool,
    /// Where its Python code stands still, if it does.
    pub(crate) busy: Option<ForeignText>,
    /// Who is connected or alive has changed: whom the catalog pushes to has to be looked at again.
    pub(crate) view_is_stale: bool,
    /// The catalog pushes to an active view, not to everybody.
    pub(crate) has_view: bool,
    published: Arc<Snapshot>,
    published_at: Option<Time>,
    publish_timer: Option<Time>,
}

impl Engine {
    /// A node that knows nobody yet and is known to nobody. `seed` decides every random choice.
    pub fn new(
        config: Config,
        local: Local,
        signer: Arc<dyn Signer>,
        seed: [u8; 32],
    ) -> Result<Self, EngineError> {
        config.check()?;
        let mut rng = SmallRng::from_seed(seed);
        let identity = MemberIdentity {
            node: local.node,
            incarnation: local.incarnation,
            addresses: local.addresses.clone(),
        };
        let me = LocalMember { identity, cluster: local.cluster.clone() };
        let membership = Membership::new(config.membership.clone(), me, rng.random())?;
        let start = (local.node, local.incarnation);
        let cluster = local.cluster.clone();
        let catalog =
            Catalog::new(config.catalog.clone(), start, cluster, Arc::clone(&signer), rng.random())?;
        let mut certified = Certified::default();
        if !local.certificates.is_empty() {
            certified.add(local.node, local.incarnation, local.name.clone());
        }
        let own_card = Card {
            incarnation: local.incarnation,
            name: local.name.clone(),
            instance: local.instance.clone(),
            identity: Card::identity(local.certificates.is_empty()),
            busy: None,
        };
        let mut index = Index::new(Own {
            node: local.node,
            incarnation: local.incarnation,
            cluster: local.cluster.clone(),
            label: own_card.label(local.node, &local.cluster),
        });
        let published = index.publish();
        let (changes, bytes) = (config.history_changes_max, config.history_bytes_max);
        Ok(Self {
            history: History::new(local.node, local.incarnation, changes, bytes),
            links: Links::new(local.node),
            config,
            local,
            own_card,
            signer,
            membership,
            catalog,
            index,
            phase: Phase::New,
            claim: Claim::default(),
            cards: BTreeMap::new(),
            contested: BTreeMap::new(),
            certified,
            own: BTreeMap::new(),
            shown: BTreeMap::new(),
            conflicts: Conflicts::default(),
            counters: Counters::default(),
            draining: false,
            busy: None,
            view_is_stale: false,
            has_view: false,
            published,
            published_at: None,
            publish_timer: None,
        })
    }

    /// Takes one input; what is to be done about it is appended to `out`. Fails for inputs by the own user only.
    pub fn handle(&mut self, input: Input, now: Time, out: &mut Vec<Output>) -> Result<(), EngineError> {
        if self.phase == Phase::Left {
            self.counters.after_leave += 1;
            return match input {
                Input::Start { .. } | Input::Register { .. } | Input::Remove { .. } | Input::Drain => {
                    Err(EngineError::Left)
                }
                _ => Ok(()),
            };
        }
        // Own changes are published at once: their callers wait for it.
        let urgent = matches!(input, Input::Start { .. } | Input::Register { .. } | Input::Remove { .. });
        self.take(input, now, out)?;
        self.review_view(now, out);
        self.publish(urgent, now, out);
        Ok(())
    }

    /// The snapshot that was published last; an empty one at first.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.published
    }

    /// What callers and connections share about a node, this one included; for control frames to it, and for measurements.
    pub fn peer(&self, node: NodeId) -> Option<&Arc<PeerState>> {
        self.index.known_peer(node)
    }

    /// True if that connection is the one to `node` that is used, of however many there are.
    pub fn is_used(&self, node: NodeId, connection: ConnectionId) -> bool {
        self.links.used(node) == Some(connection)
    }

    /// Who this node is.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// What was dropped or doubted here.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The membership machine, for its counters and its table.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The catalog machine, for its counters and its logs.
    pub fn catalog_machine(&self) -> &Catalog {
        &self.catalog
    }

    fn take(&mut self, input: Input, now: Time, out: &mut Vec<Output>) -> Result<(), EngineError> {
        use mpreg_catalog::Input as Entries;
        use mpreg_membership::Input as Members;
        match input {
            Input::Start { seeds } => return self.start(seeds, now, out),
            Input::Register { entry, local } => return self.register(entry, local, now, out),
            Input::Remove { name, version } => return self.remove(name, version, now, out),
            Input::Drain => return self.drain(now, out),
            Input::Busy { stack } => return self.set_busy(stack, now, out),
            Input::Leave { reason } => self.leave(reason, now, out),
            Input::Seeds { seeds } => self.run_membership(Members::Seeds { seeds }, now, out),
            Input::Connected { peer, connection, dialled } => {
                self.connected(&peer, connection, dialled, now, out);
            }
            Input::Disconnected { peer, connection, loss } => {
                self.disconnected(peer, connection, loss, now, out);
            }
            Input::Load { load } => self.run_membership(Members::Load { load }, now, out),
            Input::Certified { node, incarnation, name } => self.certify(node, incarnation, name),
            Input::Wanted { node } => self.run_membership(Members::Wanted { peer: node }, now, out),
            Input::Dialled { dial, outcome } => self.dialled(dial, outcome, now, out),
            Input::Membership { from, message } => {
                self.notice(from, &message, now);
                self.run_membership(Members::Message { from, message }, now, out);
            }
            Input::Left { from, leave } => self.run_membership(Members::Left { from, leave }, now, out),
            Input::Catalog { from, message } => self.catalog_message(from, message, now, out),
            Input::Batches { from, batches } => {
                self.run_catalog(Entries::Batches { from, batches }, now, out);
            }
            Input::Timer(Timer::Membership(timer)) => self.run_membership(Members::Timer(timer), now, out),
            Input::Timer(Timer::Catalog(timer)) => self.run_catalog(Entries::Timer(timer), now, out),
            Input::Timer(Timer::Publish) => self.publish_timer = None,
            Input::Timer(Timer::Idle) => self.close_idle(now, out),
            Input::Timer(Timer::Join) => self.join_timer(now, out),
            Input::Timer(Timer::Holder) => self.holder_timer(now, out),
        }
        Ok(())
    }

    pub(crate) fn event(event: Event, out: &mut Vec<Output>) {
        out.push(Output::Event(event));
    }

    /// Publishes what has changed, or sees to being woken when it may.
    fn publish(&mut self, urgent: bool, now: Time, out: &mut Vec<Output>) {
        if !self.index.is_changed() || matches!(self.phase, Phase::Left) {
            return;
        }
        let may_at = self.published_at.map_or(now, |at| at + self.config.publish_interval);
        if urgent || may_at <= now {
            self.published = self.index.publish();
            self.published_at = Some(now);
            self.counters.snapshots += 1;
            out.push(Output::Publish(Arc::clone(&self.published)));
        } else if self.publish_timer != Some(may_at) {
            self.publish_timer = Some(may_at);
            out.push(Output::SetTimer { timer: Timer::Publish, at: may_at });
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("node", &self.local.node)
            .field("phase", &self.phase)
            .field("membership", &self.membership)
            .finish_non_exhaustive()
    }
}

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mpreg_types::{ClusterId, Incarnation, MemberState, NodeId, Signed, Signer, Time};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::batch::BatchWriter;
use crate::own_log::OwnLog;
use crate::owner::{Owner, decode};
use crate::owner_log::OwnerLog;
use crate::repair::Repair;
use crate::{
    CatalogError, Config, Counters, DigestRow, EntryKey, EntryValue, Event, Input, Message, Output, Refusal,
    Root, Timer,
};

/// What membership says of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(crate) incarnation: Incarnation,
    pub(crate) state: MemberState,
}

/// One owner as this node holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerView {
    /// How far its log is.
    pub row: DigestRow,
    /// True if its entries count here.
    pub shown: bool,
    /// Live entries.
    pub entries: usize,
    /// Bytes of signed batches stored for it.
    pub stored_bytes: usize,
}

/// Everything this node knows of who offers what. See the crate's page.
#[derive(Debug)]
pub struct Catalog {
    pub(crate) config: Config,
    pub(crate) me: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) cluster: ClusterId,
    pub(crate) rng: Xoshiro256PlusPlus,
    pub(crate) own: OwnLog,
    pub(crate) owners: BTreeMap<NodeId, Owner>,
    pub(crate) members: BTreeMap<NodeId, Member>,
    pub(crate) peers: BTreeSet<NodeId>,
    /// `None`: full mesh.
    pub(crate) view: Option<BTreeSet<NodeId>>,
    pub(crate) repair: Repair,
    pub(crate) counters: Counters,
    /// Of the owners shown here; `None` after a change.
    pub(crate) root: Option<Root>,
    /// When the next random comparison is due.
    pub(crate) anti_entropy_at: Option<Time>,
    /// Settings that still matter.
    pub(crate) timers: BTreeMap<Timer, Time>,
}

impl Catalog {
    /// An empty catalog of node `me`, in its start `incarnation`. `seed` is all its chance.
    pub fn new(
        config: Config,
        me: (NodeId, Incarnation),
        cluster: ClusterId,
        signer: Arc<dyn Signer>,
        seed: u64,
    ) -> Result<Self, CatalogError> {
        config.check()?;
        let (me, incarnation) = me;
        if NodeId::of(&signer.key()) != me {
            return Err(CatalogError::ForeignSigner);
        }
        let writer = BatchWriter { cluster: cluster.clone(), owner: me, incarnation, signer };
        Ok(Self {
            config,
            me,
            incarnation,
            cluster,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            own: OwnLog::new(writer),
            owners: BTreeMap::new(),
            members: BTreeMap::new(),
            peers: BTreeSet::new(),
            view: None,
            repair: Repair::default(),
            counters: Counters::default(),
            root: None,
            anti_entropy_at: None,
            timers: BTreeMap::new(),
        })
    }

    /// Takes one input; what is to be done is appended to `out`. Fails for `Put` and `Remove` only, changing nothing.
    pub fn handle(&mut self, input: Input, now: Time, out: &mut Vec<Output>) -> Result<(), CatalogError> {
        match input {
            Input::Put { value } => self.put(value, now, out)?,
            Input::Remove { key } => self.remove(key, now, out)?,
            Input::Batches { from, batches } => self.batches(from, batches, now, out),
            Input::Message { from, message } => self.message(from, message, now, out),
            Input::Connected { peer } => self.connected(peer, now, out),
            Input::Attached { peer } => self.attached(peer, now, out),
            Input::Disconnected { peer } => self.disconnected(&peer),
            Input::View { active } => self.view = active,
            Input::Member { node, incarnation, state } => self.member(node, incarnation, state, now, out),
            Input::Forget { node } => self.forget(&node, out),
            Input::Timer(timer) => self.timer(timer, now, out),
        }
        self.ask(now, out);
        Ok(())
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Last version given to an own change.
    pub fn own_version(&self) -> u64 {
        self.own.version()
    }

    /// All owners held here, this node first, hidden ones included.
    pub fn owners(&self) -> impl Iterator<Item = OwnerView> + '_ {
        let own = view(self.own.signed(), self.me, true);
        std::iter::once(own)
            .chain(self.owners.values().map(|owner| view(&owner.log, owner.id, owner.is_shown())))
    }

    /// The entries of `owner` with the versions of their last changes; decoded on the way, so for questions, not for
    /// hot paths.
    pub fn entries(&self, owner: &NodeId) -> impl Iterator<Item = (EntryKey, u64, EntryValue)> + '_ {
        let own = (*owner == self.me).then(|| self.own.entries()).into_iter().flatten();
        let own = own.map(|(key, version, value)| {
            let key = EntryKey::decode(key);
            let value = EntryValue::decode(&key, value);
            (key, version, value)
        });
        let other = self.owners.get(owner).into_iter().flat_map(|owner| owner.log.entries());
        own.chain(other.map(|(key, held)| {
            let (key, value) = decode(key, held);
            (key, held.version, value)
        }))
    }

    /// One entry of `owner`.
    pub fn entry(&self, owner: &NodeId, key: &EntryKey) -> Option<EntryValue> {
        let raw = key.encode();
        let value = if *owner == self.me {
            self.own.get(&raw)
        } else {
            self.owners.get(owner)?.log.entries().get(&raw).map(|held| &held.value)
        };
        value.map(|value| EntryValue::decode(key, value))
    }

    /// Equal roots mean equal catalogs, counting the owners that are alive or suspect here.
    pub fn root(&mut self) -> Root {
        if let Some(root) = self.root {
            return root;
        }
        let root = Root::over(self.digest_rows());
        self.root = Some(root);
        root
    }

    /// How far this node is with every owner that counts, itself included; sorted by owner.
    pub fn digest_rows(&self) -> Vec<DigestRow> {
        let shown = self.owners.values().filter(|owner| owner.is_shown() && owner.log.version() > 0);
        let mut rows: Vec<DigestRow> = shown.map(|owner| owner.log.row(owner.id)).collect();
        let own = self.own.signed().row(self.me);
        if own.version > 0 {
            let at = rows.partition_point(|row| row.owner < self.me);
            rows.insert(at, own);
        }
        rows
    }

    fn put(&mut self, value: EntryValue, now: Time, out: &mut Vec<Output>) -> Result<(), CatalogError> {
        let Some(version) = self.own.put(&value, &self.config)? else { return Ok(()) };
        let (owner, incarnation, key) = (self.me, self.incarnation, value.key());
        out.push(Output::Event(Event::Put { owner, incarnation, key, value: Arc::new(value), version }));
        self.set_timer(Timer::Cut, now + self.config.tick, out);
        Ok(())
    }

    fn remove(&mut self, key: EntryKey, now: Time, out: &mut Vec<Output>) -> Result<(), CatalogError> {
        let version = self.own.remove(&key)?;
        let (owner, incarnation) = (self.me, self.incarnation);
        out.push(Output::Event(Event::Removed { owner, incarnation, key, version }));
        self.set_timer(Timer::Cut, now + self.config.tick, out);
        Ok(())
    }

    fn timer(&mut self, timer: Timer, now: Time, out: &mut Vec<Output>) {
        self.timers.remove(&timer);
        match timer {
            Timer::Cut => self.cut(out),
            Timer::AntiEntropy => self.anti_entropy(now, out),
            Timer::Reunion => self.compare_around(None, out),
            Timer::Want => self.overdue(now),
            Timer::Expire => self.expire(now, out),
        }
    }

    /// Sets `timer` unless it will come as early anyway.
    pub(crate) fn set_timer(&mut self, timer: Timer, at: Time, out: &mut Vec<Output>) {
        if self.timers.get(&timer).is_none_or(|set| at < *set) {
            self.timers.insert(timer, at);
            out.push(Output::SetTimer { timer, at });
        }
    }

    fn cut(&mut self, out: &mut Vec<Output>) {
        let cut = self.own.cut(&self.config);
        if cut.is_empty() {
            return;
        }
        self.counters.batches_applied += cut.len() as u64;
        self.root = None;
        let to: Vec<NodeId> = self.audience().copied().collect();
        push(&to, cut, out);
    }

    /// Who gets news.
    pub(crate) fn audience(&self) -> impl Iterator<Item = &NodeId> {
        self.peers.iter().filter(|peer| self.view.as_ref().is_none_or(|view| view.contains(peer)))
    }

    /// 80 % to 120 % of the configured time, so that nodes that start together do not compare together.
    pub(crate) fn jittered(&mut self) -> std::time::Duration {
        self.config.anti_entropy * self.rng.random_range(80..=120) / 100
    }

    pub(crate) fn refused(
        &mut self,
        from: NodeId,
        owner: Option<NodeId>,
        refusal: Refusal,
        out: &mut Vec<Output>,
    ) {
        self.counters.count_refusal(refusal);
        out.push(Output::Event(Event::Refused { from, owner, refusal }));
    }
}

fn view(log: &OwnerLog, owner: NodeId, shown: bool) -> OwnerView {
    OwnerView { row: log.row(owner), shown, entries: log.entries().len(), stored_bytes: log.stored_bytes() }
}

/// Bytes of batches in one message, unless it is a single one: a message must fit a frame.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Splits `batches` into messages that fit a frame.
pub(crate) fn messages(batches: Vec<Signed>) -> Vec<Message> {
    let mut messages = Vec::new();
    let (mut gathered, mut bytes) = (Vec::new(), 0);
    for signed in batches {
        let size = signed.body.len() + SIGNED_OVERHEAD;
        if bytes + size > MESSAGE_BYTES_MAX && !gathered.is_empty() {
            messages.push(Message::Batches(std::mem::take(&mut gathered)));
            bytes = 0;
        }
        bytes += size;
        gathered.push(signed);
    }
    if !gathered.is_empty() {
        messages.push(Message::Batches(gathered));
    }
    messages
}

/// What key, signature and framing add to a body.
const SIGNED_OVERHEAD: usize = 128;

/// Sends `batches` to each of `to`.
pub(crate) fn push(to: &[NodeId], batches: Vec<Signed>, out: &mut Vec<Output>) {
    if !to.is_empty() {
        let messages = messages(batches).into_iter();
        out.extend(messages.map(|message| Output::SendMany { to: to.to_vec(), message }));
    }
}

//! What this node offers, from its first word to its last.

use mpreg_catalog::{
    CatalogError, EntryKey, EntryValue, FunctionEntry, Input as Entries, NodeFacts, Timer as CatalogTimer,
};
use mpreg_membership::{Input as Members, Leave};
use mpreg_routing::LocalFunction;
use mpreg_types::{ForeignText, FunctionName, FunctionVersion, LeaveReason, Scope, Signed, Time};

use crate::join::Phase;
use crate::{Engine, EngineError, Output};

impl Engine {
    pub(crate) fn register(
        &mut self,
        entry: FunctionEntry,
        local: LocalFunction,
        now: Time,
        out: &mut Vec<Output>,
    ) -> Result<(), EngineError> {
        let key = entry.key();
        if self.own.contains_key(&key) {
            let FunctionEntry { name, version, .. } = entry;
            return Err(EngineError::AlreadyRegistered { name, version });
        }
        self.own.insert(key.clone(), (entry.clone(), local));
        let offered = if entry.scope == Scope::Local {
            self.put_function(self.local.node, self.local.incarnation, &entry, out);
            Ok(())
        } else {
            self.put_first_facts(now, out).and_then(|()| {
                self.try_run_catalog(Entries::Put { value: EntryValue::Function(entry) }, now, out)
            })
        };
        if offered.is_err() {
            self.own.remove(&key);
        }
        Ok(offered?)
    }

    pub(crate) fn remove(
        &mut self,
        name: FunctionName,
        version: FunctionVersion,
        now: Time,
        out: &mut Vec<Output>,
    ) -> Result<(), EngineError> {
        let key = EntryKey::Function { name: name.clone(), version: version.clone() };
        let Some((entry, _)) = self.own.remove(&key) else {
            return Err(EngineError::NotRegistered { name, version });
        };
        if entry.scope == Scope::Local {
            self.removed(self.local.node, self.local.incarnation, &name, &version, out);
            return Ok(());
        }
        Ok(self.try_run_catalog(Entries::Remove { key }, now, out)?)
    }

    /// Signs what there is: a node that is asked before its first tick would have nothing to show.
    pub(crate) fn announce(&mut self, now: Time, out: &mut Vec<Output>) -> Result<(), EngineError> {
        self.put_first_facts(now, out)?;
        Ok(self.try_run_catalog(Entries::Timer(CatalogTimer::Cut), now, out)?)
    }

    pub(crate) fn drain(&mut self, now: Time, out: &mut Vec<Output>) -> Result<(), EngineError> {
        self.draining = true;
        self.put_own_facts(now, out)?;
        Ok(self.try_run_catalog(Entries::Timer(CatalogTimer::Cut), now, out)?)
    }

    /// The node's Python code stands still, or gets on again.
    pub(crate) fn set_busy(
        &mut self,
        stack: Option<ForeignText>,
        now: Time,
        out: &mut Vec<Output>,
    ) -> Result<(), EngineError> {
        if self.busy == stack {
            return Ok(());
        }
        self.busy = stack;
        Ok(self.put_own_facts(now, out)?)
    }

    pub(crate) fn leave(&mut self, reason: LeaveReason, now: Time, out: &mut Vec<Output>) {
        let leave = Leave {
            cluster: self.local.cluster.clone(),
            node: self.local.node,
            incarnation: self.local.incarnation,
            reason,
        };
        let signed = Signed::new(&*self.signer, leave.encode());
        self.run_membership(Members::Leave { signed }, now, out);
        self.phase = Phase::Left;
    }

    /// The facts are the first entry of the log.
    fn put_first_facts(&mut self, now: Time, out: &mut Vec<Output>) -> Result<(), CatalogError> {
        if self.catalog.own_version() == 0 { self.put_own_facts(now, out) } else { Ok(()) }
    }

    fn put_own_facts(&mut self, now: Time, out: &mut Vec<Output>) -> Result<(), CatalogError> {
        let local = &self.local;
        let facts = NodeFacts {
            instance: local.instance.clone(),
            addresses: local.addresses.to_vec(),
            certificates: local.certificates.clone(),
            delegation: local.delegation.clone(),
            draining: self.draining,
            busy: self.busy.clone(),
            capacity: local.capacity,
            resources: local.resources.clone(),
            ..NodeFacts::new(local.name.clone(), self.signer.key())
        };
        self.try_run_catalog(Entries::Put { value: EntryValue::NodeFacts(facts) }, now, out)
    }
}

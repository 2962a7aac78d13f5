//! Whose names are proved by certificates. A member that shook hands here over TLS has proved its own; of the others the
//! facts hold the chain and the delegation, which the driver checks against the own CAs. Until then a name is declared.

use std::collections::BTreeMap;

use mpreg_catalog::NodeFacts;
use mpreg_routing::Identity;
use mpreg_types::{Incarnation, NodeId, NodeName};

use crate::{Engine, Output};

/// The names that were proved, each for one start of a node.
#[derive(Debug, Default)]
pub(crate) struct Certified(BTreeMap<NodeId, (Incarnation, NodeName)>);

impl Certified {
    /// That start of `node` proved `name`.
    pub(crate) fn add(&mut self, node: NodeId, incarnation: Incarnation, name: NodeName) {
        self.0.insert(node, (incarnation, name));
    }

    pub(crate) fn forget(&mut self, node: NodeId) {
        self.0.remove(&node);
    }

    /// How `name` of that start of `node` is proved.
    pub(crate) fn identity(&self, node: NodeId, incarnation: Incarnation, name: &NodeName) -> Identity {
        match self.0.get(&node) {
            Some((start, proved)) if *start == incarnation && proved == name => Identity::Verified,
            _ => Identity::Declared,
        }
    }
}

impl Engine {
    /// That start of `node` has proved `name`: what is known of it counts as proved.
    pub(crate) fn certify(&mut self, node: NodeId, incarnation: Incarnation, name: NodeName) {
        let member = self.membership.member(node);
        if member.is_none_or(|member| member.identity.incarnation != incarnation) {
            return;
        }
        if self.certified.identity(node, incarnation, &name) == Identity::Verified {
            return;
        }
        self.certified.add(node, incarnation, name);
        if let Some(card) = self.cards.get_mut(&node).filter(|card| card.incarnation == incarnation) {
            card.identity = self.certified.identity(node, incarnation, &card.name);
            self.index.set_identity(node, incarnation, card.identity);
        }
    }

    /// The identity in `facts`; asks for a check of the certificates in them if nothing else proves it.
    pub(crate) fn identity_in(
        &self,
        owner: NodeId,
        incarnation: Incarnation,
        facts: &NodeFacts,
        out: &mut Vec<Output>,
    ) -> Identity {
        let identity = self.certified.identity(owner, incarnation, &facts.name);
        if identity == Identity::Declared
            && !facts.certificates.is_empty()
            && let Some(delegation) = &facts.delegation
        {
            out.push(Output::CheckCertificates {
                node: owner,
                incarnation,
                name: facts.name.clone(),
                key: facts.key,
                certificates: facts.certificates.clone(),
                delegation: delegation.clone(),
            });
        }
        identity
    }
}

//! Where a call goes, as bytes. They travel as one binary inside the metadata, so that a known target is recognised by
//! comparing bytes and a forwarder passes an unknown one on as it came.
//!
//! Direct: `[0, NodeId, Incarnation, function id, version]`. Select: `[1, by (0 = name, 1 = id), name or id, cluster
//! (nil = own first, true = any, or a name), version constraint, resources, contract, sticky, wait us, tried]`. Here:
//! `[2, function id]`.

use bytes::Bytes;
use mpreg_types::{
    ClusterId, ContractHash, FunctionId, FunctionName, FunctionVersion, Incarnation, NodeId, Resource,
    Selector, Target, VersionConstraint, Wanted, WantedCluster,
};

use super::pack;
use super::unpack::Unpack;
use crate::DecodeError;

/// Most resources that a call asks for.
pub const RESOURCES_MAX: usize = 64;

const DIRECT: u64 = 0;
const SELECT: u64 = 1;
const HERE: u64 = 2;
const DIRECT_FIELDS: usize = 5;
const SELECT_FIELDS: usize = 10;
const HERE_FIELDS: usize = 2;
const BY_NAME: u64 = 0;
const BY_ID: u64 = 1;

/// The bytes of a target.
pub fn encode_target(target: &Target) -> Bytes {
    let mut out = Vec::with_capacity(64);
    match target {
        Target::Direct { node, incarnation, function, version } => {
            pack::array(DIRECT_FIELDS, &mut out);
            pack::uint(DIRECT, &mut out);
            pack::bin(node.as_bytes(), &mut out);
            pack::uint(incarnation.0, &mut out);
            pack::text(function.as_str(), &mut out);
            pack::text(&version.to_string(), &mut out);
        }
        Target::Select(selector) => encode_selector(selector, &mut out),
        Target::Here { function } => {
            pack::array(HERE_FIELDS, &mut out);
            pack::uint(HERE, &mut out);
            pack::text(function.as_str(), &mut out);
        }
    }
    out.into()
}

pub(super) fn encode_selector(selector: &Selector, out: &mut Vec<u8>) {
    pack::array(SELECT_FIELDS, out);
    pack::uint(SELECT, out);
    let (by, function) = match &selector.function {
        Wanted::Name(name) => (BY_NAME, name.as_str()),
        Wanted::Id(id) => (BY_ID, id.as_str()),
    };
    pack::uint(by, out);
    pack::text(function, out);
    match &selector.cluster {
        WantedCluster::OwnFirst => pack::nil(out),
        WantedCluster::Any => pack::bool(true, out),
        WantedCluster::One(cluster) => pack::text(cluster.as_str(), out),
    }
    pack::text(&selector.version.to_string(), out);
    pack::array(selector.resources.len(), out);
    for resource in selector.resources.iter() {
        pack::text(resource.as_str(), out);
    }
    match &selector.contract {
        Some(contract) => pack::bin(contract.as_bytes(), out),
        None => pack::nil(out),
    }
    match selector.sticky {
        Some(hash) => pack::uint(hash, out),
        None => pack::nil(out),
    }
    pack::micros(selector.wait, out);
    pack::array(selector.tried.len(), out);
    for node in &selector.tried {
        pack::bin(node.as_bytes(), out);
    }
}

/// Reads what [`encode_target`] wrote.
pub fn decode_target(bytes: &[u8]) -> Result<Target, DecodeError> {
    let mut unpack = Unpack::new(bytes);
    let count = unpack.record(1, "target")?;
    let (target, known) = match unpack.uint("kind of target")? {
        DIRECT => (decode_direct(&mut unpack)?, DIRECT_FIELDS),
        SELECT => (Target::Select(decode_selector(&mut unpack)?), SELECT_FIELDS),
        HERE => {
            let function = FunctionId::parse(unpack.text("function id")?)?;
            (Target::Here { function }, HERE_FIELDS)
        }
        value => return Err(DecodeError::OutOfRange { field: "kind of target", value }),
    };
    let newer = (count + 1).checked_sub(known);
    unpack.skip(newer.ok_or(DecodeError::OutOfRange { field: "target", value: count as u64 + 1 })?)?;
    unpack.end()?;
    Ok(target)
}

fn decode_direct(unpack: &mut Unpack<'_>) -> Result<Target, DecodeError> {
    Ok(Target::Direct {
        node: NodeId::from_bytes(unpack.id("node id")?),
        incarnation: Incarnation(unpack.uint("incarnation")?),
        function: FunctionId::parse(unpack.text("function id")?)?,
        version: FunctionVersion::parse(unpack.text("function version")?)?,
    })
}

fn decode_selector(unpack: &mut Unpack<'_>) -> Result<Selector, DecodeError> {
    let by = unpack.uint("name or id")?;
    let function = unpack.text("function")?;
    let function = match by {
        BY_NAME => Wanted::Name(FunctionName::parse(function)?),
        BY_ID => Wanted::Id(FunctionId::parse(function)?),
        value => return Err(DecodeError::OutOfRange { field: "name or id", value }),
    };
    Ok(Selector {
        function,
        cluster: decode_wanted_cluster(unpack)?,
        version: VersionConstraint::parse(unpack.text("version constraint")?)?,
        resources: unpack
            .list("resources", RESOURCES_MAX, |unpack| Ok(Resource::parse(unpack.text("resource")?)?))?,
        contract: unpack.optional(|unpack| unpack.id("contract hash"))?.map(ContractHash::from_bytes),
        sticky: unpack.optional(|unpack| unpack.uint("sticky hash"))?,
        wait: unpack.micros("wait")?,
        tried: unpack.list("tried nodes", Selector::TRIED_MAX, |unpack| {
            Ok(NodeId::from_bytes(unpack.id("node id")?))
        })?,
    })
}

fn decode_wanted_cluster(unpack: &mut Unpack<'_>) -> Result<WantedCluster, DecodeError> {
    if unpack.take_nil() {
        Ok(WantedCluster::OwnFirst)
    } else if unpack.take_true() {
        Ok(WantedCluster::Any)
    } else {
        Ok(WantedCluster::One(ClusterId::parse(unpack.text("cluster")?)?))
    }
}

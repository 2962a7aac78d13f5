use hmac::{Hmac, KeyInit, Mac};
use mpreg_types::{CallHead, Grant, GraphId, NodeId, ResultRef};
use sha2::Sha256;

const DOMAIN: &[u8] = b"mpreg 1 fetch of a graph's result";
/// Of a SHA-256 block: shorter keys are filled with zeros (RFC 2104).
const BLOCK_BYTES: usize = 64;

/// Turns the token in `open.proof` into the proof that `consumer` may fetch that result for `graph`.
///
/// Done by the coordinator, who alone has the token beside the holder, at the moment it knows who will fetch.
pub fn grant(open: &Grant, graph: GraphId, consumer: NodeId) -> Grant {
    let code = mac(&open.proof, graph, open.result, consumer).finalize().into_bytes();
    let mut proof = [0; 16];
    proof.copy_from_slice(&code[..16]);
    Grant { proof, ..open.clone() }
}

/// A grant that is nobody's yet: it has the token where the proof will be.
pub fn open_grant(held: &ResultRef) -> Grant {
    Grant {
        holder: held.holder,
        incarnation: held.incarnation,
        result: held.result,
        proof: held.token,
        bytes: held.bytes,
    }
}

/// The head of a step's call as it is sent to `consumer`: until then, tokens stand where the proofs belong. `None`: there
/// is nothing to seal.
pub fn sealed(head: &CallHead, consumer: NodeId) -> Option<CallHead> {
    let step = head.extras.as_ref()?.step.as_ref().filter(|step| !step.inputs.is_empty())?;
    let graph = step.graph;
    let mut head = head.clone();
    let step = head.extras.as_mut()?.step.as_mut()?;
    for input in &mut step.inputs {
        input.grant = grant(&input.grant, graph, consumer);
    }
    Some(head)
}

/// True if `proof` is of a grant to `consumer`; takes the same time wherever it differs.
pub(crate) fn is_granted(
    token: &[u8; 16],
    graph: GraphId,
    result: u64,
    consumer: NodeId,
    proof: [u8; 16],
) -> bool {
    mac(token, graph, result, consumer).verify_truncated_left(&proof).is_ok()
}

fn mac(token: &[u8; 16], graph: GraphId, result: u64, consumer: NodeId) -> Hmac<Sha256> {
    let mut block = [0; BLOCK_BYTES];
    block[..token.len()].copy_from_slice(token);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(DOMAIN);
    mac.update(graph.coordinator.as_bytes());
    mac.update(&graph.incarnation.0.to_be_bytes());
    mac.update(&graph.number.to_be_bytes());
    mac.update(&result.to_be_bytes());
    mac.update(consumer.as_bytes());
    mac
}

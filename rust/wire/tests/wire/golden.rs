//! Frames as bytes, fixed: what was written once must stay readable and must not change by accident.
//!
//! Each `tests/golden/NAME.hex` holds one whole frame. `MPREG_GOLDEN=write cargo test -p mpreg-wire golden` writes the
//! files anew; a change in an existing one is a change of the protocol and needs a new version.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mpreg_types::{
    Builtin, CallExtras, CallGraph, CallHead, CallId, ClusterId, ContractHash, ErrorBody, ErrorCode,
    Executed, Fetch, ForeignText, FunctionId, FunctionName, FunctionVersion, Grant, GraphId, HeldInput,
    HopBudget, Incarnation, Input, ItemHead, Ledger, Load, NodeId, NodeName, PathKey, Payload, Pick,
    PreparedTarget, ReplyExtras, ReplyHead, ResourceSet, ResultRef, Selector, Signed, Step, StepCall,
    StreamId, Target, VersionConstraint, Wanted, WantedCluster,
};
use mpreg_wire::handshake::{Channel, Handshake, LocalHello, Policy, Secret, SecretRule, Side};
use mpreg_wire::verify::Ed25519Signer;
use mpreg_wire::{
    FrameFlags, FrameHeader, FrameKind, Limits, Parting, Process, Role, TargetCache, cut_frame, decode_call,
    decode_credit, decode_reply, decode_started, encode_call, encode_credit, encode_graph, encode_item,
    encode_reply, encode_started, message,
};

use crate::refusals::every_refusal;

const ME: Process =
    Process { node: NodeId::from_bytes([0x11; 16]), incarnation: Incarnation(0x0192_0000_0001) };
const PEER: NodeId = NodeId::from_bytes([0x22; 16]);

/// Frames by the names of their files.
struct Golden(Vec<(String, Vec<u8>)>);

impl Golden {
    fn add(&mut self, name: &str, kind: FrameKind, stream: u64, payload: &[u8]) {
        self.add_whole(name, kind, FrameFlags::NONE, stream, &[], payload);
    }

    fn add_whole(
        &mut self,
        name: &str,
        kind: FrameKind,
        flags: FrameFlags,
        stream: u64,
        meta: &[u8],
        payload: &[u8],
    ) {
        let header = FrameHeader::new(kind, flags, StreamId(stream), meta.len(), payload.len()).unwrap();
        self.0.push((name.to_owned(), [&header.encode()[..], meta, payload].concat()));
    }

    fn add_call(&mut self, name: &str, flags: FrameFlags, head: &CallHead, value: &[u8]) {
        let mut meta = Vec::new();
        encode_call(head, ME, &mut meta);
        self.add_whole(name, FrameKind::Call, flags, 7, &meta, value);
    }

    fn add_reply(&mut self, name: &str, head: &ReplyHead, value: &[u8]) {
        let mut meta = Vec::new();
        encode_reply(head, &mut meta);
        self.add_whole(name, FrameKind::Reply, FrameFlags::NONE, 7, &meta, value);
    }
}

fn call(target: Target, extras: Option<CallExtras>) -> CallHead {
    CallHead {
        token: 0x1_0000_0007,
        call: CallId { origin: ME.node, incarnation: ME.incarnation, sequence: 300 },
        attempt: 1,
        remaining: Duration::from_millis(29_999),
        value_bytes: 5,
        hops_left: HopBudget::NEIGHBOURS,
        forwards: 0,
        stream: false,
        target: Arc::new(PreparedTarget::new(target)),
        extras: extras.map(Box::new),
    }
}

fn direct() -> Target {
    Target::Direct {
        node: PEER,
        incarnation: Incarnation(0x0192_0000_0002),
        function: FunctionId::parse("shop.score").unwrap(),
        version: FunctionVersion::new(1, 2, 0),
    }
}

fn select_by_name() -> Target {
    Target::Select(Selector {
        cluster: WantedCluster::One(ClusterId::parse("us").unwrap()),
        version: VersionConstraint::parse(">=1.2,<2").unwrap(),
        resources: ResourceSet::parse(["gpu", "dataset=v2"]).unwrap(),
        contract: Some(ContractHash::from_bytes([0x33; 32])),
        sticky: Some(0x4444_4444_4444_4444),
        wait: Duration::from_millis(500),
        tried: vec![PEER],
        ..Selector::new(Wanted::Name(FunctionName::parse("shop.score").unwrap()))
    })
}

fn select_by_id() -> Target {
    let wanted = Wanted::Id(FunctionId::parse("shop.score").unwrap());
    Target::Select(Selector { cluster: WantedCluster::Any, ..Selector::new(wanted) })
}

fn all_extras() -> CallExtras {
    CallExtras {
        path: vec![ClusterId::parse("eu").unwrap(), ClusterId::parse("us").unwrap()],
        pinned_exit: Some(PEER),
        client: Some("laptop".to_owned()),
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        metadata: Some(Bytes::from_static(b"\x81\xa1k\x01")),
        idempotency_key: Some("order-7".to_owned()),
        tell_node: true,
        sticky: Some(7),
        step: Some(Box::new(step())),
    }
}

fn graph() -> GraphId {
    GraphId { coordinator: PEER, incarnation: Incarnation(0x0192_0000_0003), number: 5 }
}

fn step() -> StepCall {
    let grant = Grant {
        holder: PEER,
        incarnation: Incarnation(0x0192_0000_0004),
        result: 6,
        proof: [0x55; 16],
        bytes: 70_000,
    };
    let path = vec![PathKey::Name("rows".to_owned()), PathKey::Index(-1)];
    StepCall {
        graph: graph(),
        keep: Some(Duration::from_secs(30)),
        inputs: vec![HeldInput { at: 7, grant, path }],
        watched: false,
    }
}

fn fetch_target() -> Target {
    Target::Direct {
        node: PEER,
        incarnation: Incarnation(0x0192_0000_0004),
        function: Builtin::Result.id(),
        version: FunctionVersion::ONE,
    }
}

/// One step, and one that refers to it.
fn a_graph() -> Vec<u8> {
    let pick = Pick { step: 0, path: vec![PathKey::Name("rows".to_owned())] };
    let step = |name: &str, value_bytes, inputs| Step {
        name: ForeignText::new(name),
        target: Selector::new(Wanted::Name(FunctionName::parse(name).unwrap())),
        timeout: Some(Duration::from_secs(2)),
        retries: 2,
        max_hops: None,
        metadata: None,
        value_bytes,
        inputs,
    };
    let steps =
        vec![step("etl.load", 1, vec![]), step("etl.clean", 1, vec![Input { at: 1, pick: pick.clone() }])];
    let graph = CallGraph { steps, wanted: vec![pick], report: true };
    let arguments = [b"\x91", b"\x91"].map(|step| Payload::from(Bytes::from_static(step)));
    encode_graph(&graph, arguments).segments().flat_map(|segment| segment.to_vec()).collect()
}

fn held() -> ResultRef {
    ResultRef {
        holder: PEER,
        incarnation: Incarnation(0x0192_0000_0004),
        result: 6,
        token: [0x66; 16],
        bytes: 70_000,
        idempotent: true,
    }
}

fn calls_and_replies(golden: &mut Golden) {
    golden.add_call("call_direct", FrameFlags::NONE, &call(direct(), None), b"\x94\x01\x02\x03\x04");
    golden.add_call(
        "call_graph",
        FrameFlags::NONE,
        &call(Target::Here { function: Builtin::Graph.id() }, None),
        &a_graph(),
    );
    let fetch = Fetch {
        graph: graph(),
        result: 6,
        proof: [0x55; 16],
        path: vec![PathKey::Name("rows".to_owned()), PathKey::Index(-1)],
    };
    golden.add_call("call_fetch", FrameFlags::NONE, &call(fetch_target(), None), &message::encode(&fetch));
    let mut relayed = call(select_by_name(), Some(all_extras()));
    relayed.call.origin = PEER;
    (relayed.attempt, relayed.forwards, relayed.stream) = (2, 1, true);
    golden.add_call("call_select_with_extras", FrameFlags::NONE, &relayed, b"\x94\x01\x02\x03\x04");
    let large = CallHead { value_bytes: 70_000, ..call(select_by_id(), None) };
    golden.add_call("call_select_more", FrameFlags::MORE, &large, b"");
    golden.add_reply("reply_ok", &ReplyHead::ok(0x1_0000_0007, 1), b"\xc3");
    let body = message::encode(&ErrorBody {
        node: None,
        type_name: Some("shop.SoldOut".to_owned().into()),
        base: Some("ValueError".to_owned().into()),
        raises: vec!["SoldOut".to_owned().into()],
        traceback: Some("Traceback".to_owned().into()),
        data: Some(Bytes::from_static(b"\x91\x05")),
        ..ErrorBody::new(ErrorCode::Remote, "sold out")
    });
    let error = ReplyHead {
        load: Some(Load { in_flight: 3, queued: 200 }),
        extras: Some(Box::new(ReplyExtras {
            node: Some(PEER),
            retry_after: Some(Duration::from_millis(250)),
            path: vec![ClusterId::parse("eu").unwrap()],
            ledger: Some(Ledger {
                queue_us: 1,
                wire_us: 2,
                interpreter_us: 3,
                loop_us: 4,
                handler_us: 5,
                children_us: 6,
            }),
            held: Some(Box::new(held())),
            idempotent: true,
            label: Some("eu/pricing/7f3a90".to_owned().into()),
        })),
        ..ReplyHead::error(7, Executed::Unknown, body.len() as u64)
    };
    golden.add_reply("reply_error_with_extras", &error, &body);
}

fn handshakes(golden: &mut Golden) {
    let side = |side, number: u8, role| {
        let signer = Arc::new(Ed25519Signer::new([number; 32]));
        let name = NodeName::parse("pricing").unwrap();
        let mut local = LocalHello::new(signer, Incarnation(number.into()), role, name, [number + 1; 32]);
        if role == Role::Node {
            local.cluster = Some(ClusterId::parse("eu").unwrap());
            local.addresses = vec!["127.0.0.1:7000".to_owned()];
            local.secret = SecretRule::Demanded(Secret::new([0x5e; 32]));
        }
        Handshake::new(local, Policy::roles(Role::ALL), Channel::plain(side))
    };
    let (dialer, acceptor) = (side(Side::Dialer, 1, Role::Node), side(Side::Acceptor, 3, Role::Node));
    golden.add("hello_node", FrameKind::Hello, 0, dialer.hello());
    golden.add("hello_client", FrameKind::Hello, 0, side(Side::Dialer, 5, Role::Client).hello());
    let peer_hello = acceptor.hello().to_vec();
    let awaiting = dialer.on_hello(&peer_hello, |_| None).unwrap();
    golden.add("proof", FrameKind::Proof, 0, awaiting.proof());
    for (name, refusal) in every_refusal() {
        golden.add(&format!("refuse_{name}"), FrameKind::Refuse, 0, &refusal.encode());
    }
}

/// Every frame, and the files written if that was asked for.
fn golden() -> Golden {
    static WRITTEN: Once = Once::new();
    let golden = frames();
    WRITTEN.call_once(|| {
        if std::env::var("MPREG_GOLDEN").is_ok_and(|value| value == "write") {
            golden.0.iter().for_each(|(name, bytes)| std::fs::write(file(name), hex(bytes)).unwrap());
        }
    });
    golden
}

fn frames() -> Golden {
    let mut golden = Golden(Vec::new());
    handshakes(&mut golden);
    calls_and_replies(&mut golden);
    let (last, unfinished) = (StreamId(41), vec![StreamId(3), StreamId(39)]);
    let parting = Parting { reason: 1, last, unfinished, detail: b"bye".to_vec() };
    golden.add("goodbye", FrameKind::Goodbye, 0, &parting.encode());
    golden.add("ping", FrameKind::Ping, 0, b"12345678");
    golden.add("pong", FrameKind::Pong, 0, b"12345678");
    golden.add("credit", FrameKind::Credit, 0, &encode_credit(65_536));
    let mut started = Vec::new();
    encode_started([1, 0x1_0000_0007], &mut started);
    golden.add("started", FrameKind::Started, 0, &started);
    golden.add_whole("chunk", FrameKind::Chunk, FrameFlags::NONE, 7, b"", b"part");
    golden.add_whole("chunk_last", FrameKind::Chunk, FrameFlags::LAST, 7, b"", b"end");
    golden.add("cancel", FrameKind::Cancel, 7, b"");
    // The payloads of these belong to the machines; the wire carries anything that is signed like this.
    let signed = Signed::new(&Ed25519Signer::new([1; 32]), Bytes::from_static(b"tag/1\0body"));
    let signed = message::encode(&signed);
    golden.add("membership", FrameKind::Membership, 0, &signed);
    golden.add("catalog", FrameKind::Catalog, 0, &signed);
    golden.add("route", FrameKind::Route, 0, b"");
    let head = ItemHead { token: 0x1_0000_0007, value_bytes: 70_000 };
    for (name, flags, value) in
        [("item", FrameFlags::NONE, &b"\xa4line"[..]), ("item_more", FrameFlags::MORE, b"")]
    {
        let mut meta = Vec::new();
        encode_item(&head, flags == FrameFlags::MORE, &mut meta);
        golden.add_whole(name, FrameKind::Item, flags, 7, &meta, value);
    }
    golden.add("credit_of_stream", FrameKind::Credit, 7, &encode_credit(65_536));
    golden.add("look", FrameKind::Look, 0, b"\x80");
    golden.add("look_reply", FrameKind::LookReply, 0, b"\x80");
    golden
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.hex"))
}

/// What the file holds; nothing if there is none.
fn read(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap_or_default()
}

/// 32 bytes a line.
fn hex(bytes: &[u8]) -> String {
    bytes.chunks(32).fold(String::new(), |mut text, line| {
        for byte in line {
            write!(text, "{byte:02x}").unwrap();
        }
        text + "\n"
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|c| !c.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn golden_frames_are_what_they_were() {
    for (name, bytes) in golden().0 {
        let path = file(&name);
        let kept = read(&name);
        assert_eq!(
            hex(&bytes),
            kept,
            "\nthe frame {name} differs from {}. If the protocol is meant to change, write the files anew with\n  \
             MPREG_GOLDEN=write cargo test -p mpreg-wire golden\nand look at what changed.",
            path.display()
        );
    }
}

#[test]
fn golden_frames_cover_every_kind_and_no_file_is_left_over() {
    let golden = golden();
    let kinds: BTreeSet<u8> = golden.0.iter().map(|(_, bytes)| bytes[4]).collect();
    assert_eq!(kinds, FrameKind::ALL.iter().map(|kind| kind.byte()).collect());
    let names: BTreeSet<_> = golden.0.into_iter().map(|(name, _)| file(&name)).collect();
    let files: BTreeSet<_> =
        std::fs::read_dir(file("x").parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files, names);
}

#[test]
fn golden_frames_are_read_as_what_was_written() {
    golden();
    let read = |name: &str| {
        let mut bytes = BytesMut::from(&unhex(&read(name))[..]);
        let frame = cut_frame(&mut bytes, Limits::FRAME_BYTES_MIN).unwrap().unwrap();
        assert!(bytes.is_empty());
        frame
    };
    let mut targets = TargetCache::new();
    let direct_call = read("call_direct");
    assert_eq!(decode_call(direct_call.meta(), ME, &mut targets).unwrap(), call(direct(), None));
    assert_eq!(direct_call.payload(), b"\x94\x01\x02\x03\x04");
    let relayed = decode_call(read("call_select_with_extras").meta(), ME, &mut targets).unwrap();
    assert_eq!((relayed.call.origin, relayed.extras), (PEER, Some(Box::new(all_extras()))));
    assert_eq!(relayed.target.target, select_by_name());
    let large = read("call_select_more");
    assert_eq!(large.header.flags, FrameFlags::MORE);
    assert_eq!(decode_call(large.meta(), ME, &mut targets).unwrap().target.target, select_by_id());
    assert_eq!(decode_reply(read("reply_ok").meta()), Ok(ReplyHead::ok(0x1_0000_0007, 1)));
    let error = read("reply_error_with_extras");
    assert_eq!(decode_reply(error.meta()).unwrap().executed, Executed::Unknown);
    assert_eq!(message::decode::<ErrorBody>(error.payload()).unwrap().code, ErrorCode::Remote);
    assert_eq!(decode_credit(read("credit").payload()), Ok(65_536));
    assert_eq!(decode_started(read("started").payload()).unwrap(), [1, 0x1_0000_0007]);
}

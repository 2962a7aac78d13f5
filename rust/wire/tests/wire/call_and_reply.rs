//! The hot codecs: what goes in comes out, what a newer version appends is skipped, and a known target is shared.

use std::sync::Arc;
use std::time::Duration;

use crate::strategies::{self, fixed};
use bytes::Bytes;
use mpreg_types::{
    CallExtras, CallHead, CallId, Executed, FunctionId, FunctionName, FunctionVersion, HopBudget,
    Incarnation, Load, NodeId, PreparedTarget, ReplyExtras, ReplyHead, Selector, Target, Wanted,
};
use mpreg_wire::{
    DecodeError, Process, TargetCache, decode_call, decode_reply, decode_target, encode_call, encode_reply,
    encode_target,
};
use proptest::prelude::*;

const ME: Process = Process { node: NodeId::from_bytes([1; 16]), incarnation: Incarnation(11) };

fn direct(function: &str) -> Target {
    Target::Direct {
        node: NodeId::from_bytes([2; 16]),
        incarnation: Incarnation(12),
        function: FunctionId::parse(function).unwrap(),
        version: FunctionVersion::ONE,
    }
}

fn call_to(target: Arc<PreparedTarget>) -> CallHead {
    CallHead {
        token: 5,
        call: CallId { origin: ME.node, incarnation: ME.incarnation, sequence: 6 },
        attempt: 1,
        remaining: Duration::from_secs(30),
        value_bytes: 100,
        hops_left: HopBudget::NEIGHBOURS,
        forwards: 0,
        stream: false,
        target,
        extras: None,
    }
}

fn plain_call() -> CallHead {
    call_to(Arc::new(PreparedTarget::new(direct("shop.score"))))
}

fn encoded(head: &CallHead) -> Vec<u8> {
    let mut out = Vec::new();
    encode_call(head, ME, &mut out);
    out
}

fn decoded(meta: &[u8]) -> Result<CallHead, DecodeError> {
    decode_call(meta, ME, &mut TargetCache::new())
}

proptest! {
    #![proptest_config(fixed(256))]

    #[test]
    fn any_call_comes_out_as_it_went_in(head in strategies::call(), sender in strategies::process()) {
        let mut out = Vec::new();
        encode_call(&head, sender, &mut out);
        prop_assert_eq!(decode_call(&out, sender, &mut TargetCache::new()).unwrap(), head);
    }

    #[test]
    fn any_reply_comes_out_as_it_went_in(head in strategies::reply()) {
        let mut out = Vec::new();
        encode_reply(&head, &mut out);
        prop_assert_eq!(decode_reply(&out).unwrap(), head);
    }

    #[test]
    fn any_target_comes_out_as_it_went_in(target in strategies::target()) {
        prop_assert_eq!(decode_target(&encode_target(&target)).unwrap(), target);
    }

}

proptest! {
    // Few cases: each tries every length.
    #![proptest_config(fixed(16))]

    #[test]
    fn a_call_that_ends_early_is_no_call(head in strategies::call()) {
        let meta = encoded(&head);
        for end in 0..meta.len() {
            prop_assert!(decoded(&meta[..end]).is_err(), "cut at {} of {}", end, meta.len());
        }
    }

    #[test]
    fn a_reply_that_ends_early_is_no_reply(head in strategies::reply()) {
        let mut meta = Vec::new();
        encode_reply(&head, &mut meta);
        for end in 0..meta.len() {
            prop_assert!(decode_reply(&meta[..end]).is_err(), "cut at {} of {}", end, meta.len());
        }
    }
}

#[test]
fn a_call_of_the_senders_own_leaves_its_origin_out() {
    let own = plain_call();
    let mut relayed = own.clone();
    relayed.call.origin = NodeId::from_bytes([9; 16]);
    assert_eq!(encoded(&relayed).len() - encoded(&own).len(), 19);
    assert_eq!(decoded(&encoded(&own)).unwrap().call.origin, ME.node);
    assert_eq!(decoded(&encoded(&relayed)).unwrap().call.origin, NodeId::from_bytes([9; 16]));
    // An earlier start of the sender is somebody else.
    let mut earlier = own;
    earlier.call.incarnation = Incarnation(10);
    assert_eq!(decoded(&encoded(&earlier)).unwrap().call, earlier.call);
}

#[test]
fn a_plain_call_is_small() {
    assert!(encoded(&plain_call()).len() <= 64, "{} bytes", encoded(&plain_call()).len());
    let mut reply = Vec::new();
    encode_reply(&ReplyHead::ok(5, 100), &mut reply);
    assert!(reply.len() <= 8, "{} bytes", reply.len());
}

/// `[7, {1: "x"}]`: what some later version might append.
const NEWER: &[u8] = &[0x92, 7, 0x81, 1, 0xa1, b'x'];

/// `meta`, whose array header at `at` gets one more element, which `NEWER` at its end is.
fn appended(meta: &[u8], at: usize) -> Vec<u8> {
    let mut out = meta.to_vec();
    assert!((0x90..0x9f).contains(&out[at]), "no short array at {at}");
    out[at] += 1;
    out.extend_from_slice(NEWER);
    out
}

#[test]
fn what_a_newer_version_appends_is_skipped() {
    let plain = plain_call();
    assert_eq!(decoded(&appended(&encoded(&plain), 0)).unwrap(), plain);

    let mut with_extras = plain.clone();
    with_extras.extras = Some(Box::new(CallExtras::default()));
    let meta = encoded(&with_extras);
    let at = meta.len() - 10;
    assert_eq!(decoded(&appended(&meta, at)).unwrap(), with_extras);

    for target in
        [direct("a"), Target::Select(Selector::new(Wanted::Name(FunctionName::parse("a").unwrap())))]
    {
        let bytes = appended(&encode_target(&target), 0);
        assert_eq!(decode_target(&bytes).unwrap(), target);
        // And a forwarder passes it on as it came.
        let newer = Arc::new(PreparedTarget::from_wire(target, Bytes::from(bytes.clone())));
        let head = decoded(&encoded(&call_to(newer))).unwrap();
        assert_eq!(head.target.encoded_with(encode_target), &bytes);
    }

    let mut meta = Vec::new();
    let reply = ReplyHead { extras: Some(Box::new(ReplyExtras::default())), ..ReplyHead::ok(1, 2) };
    encode_reply(&reply, &mut meta);
    let at = meta.len() - 8;
    assert_eq!(decode_reply(&appended(&meta, 0)).unwrap(), reply);
    assert_eq!(decode_reply(&appended(&meta, at)).unwrap(), reply);

    let mut meta = Vec::new();
    let loaded = ReplyHead { load: Some(Load { in_flight: 1, queued: 2 }), ..ReplyHead::ok(1, 2) };
    encode_reply(&loaded, &mut meta);
    let at = meta.len() - 4;
    let last = meta.pop().unwrap();
    assert_eq!(decode_reply(&[appended(&meta, at), vec![last]].concat()).unwrap(), loaded);
}

#[test]
fn fewer_or_other_elements_are_refused() {
    let mut meta = encoded(&plain_call());
    meta[0] -= 1;
    assert_eq!(decoded(&meta), Err(DecodeError::OutOfRange { field: "call", value: 10 }));
    let trailing = [encoded(&plain_call()), vec![0]].concat();
    assert_eq!(decoded(&trailing), Err(DecodeError::Trailing { bytes: 1 }));
    assert_eq!(decoded(&[0x80]), Err(DecodeError::WrongType { field: "call", marker: 0x80 }));
    let mut unknown_kind = encode_target(&direct("a")).to_vec();
    unknown_kind[1] = 7;
    let field = "kind of target";
    assert_eq!(decode_target(&unknown_kind), Err(DecodeError::OutOfRange { field, value: 7 }));
    let mut reply = Vec::new();
    encode_reply(&ReplyHead::error(1, Executed::Unknown, 2), &mut reply);
    reply[3] = 3;
    assert_eq!(decode_reply(&reply), Err(DecodeError::OutOfRange { field: "executed", value: 3 }));
}

#[test]
fn more_than_allowed_is_refused() {
    let select = |change: fn(&mut Selector)| {
        let mut selector = Selector::new(Wanted::Name(FunctionName::parse("a").unwrap()));
        change(&mut selector);
        decode_target(&encode_target(&Target::Select(selector))).unwrap_err()
    };
    let error = select(|s| s.tried = vec![NodeId::from_bytes([0; 16]); Selector::TRIED_MAX + 1]);
    assert_eq!(error, DecodeError::TooMany { field: "tried nodes", count: 9, max: 8 });
    let error = select(|s| {
        s.resources = (0..65).map(|n| mpreg_types::Resource::parse(&format!("r{n}")).unwrap()).collect();
    });
    assert_eq!(error, DecodeError::TooMany { field: "resources", count: 65, max: 64 });

    let extras = |extras: CallExtras| {
        decoded(&encoded(&CallHead { extras: Some(Box::new(extras)), ..plain_call() })).unwrap_err()
    };
    let path = vec![mpreg_types::ClusterId::parse("eu").unwrap(); 17];
    let error = extras(CallExtras { path, ..CallExtras::default() });
    assert_eq!(error, DecodeError::TooMany { field: "clusters on the path", count: 17, max: 16 });
    let metadata = Some(Bytes::from(vec![0; 4097]));
    let error = extras(CallExtras { metadata, ..CallExtras::default() });
    assert_eq!(error, DecodeError::TooMany { field: "metadata bytes", count: 4097, max: 4096 });
    let trace = Some("x".repeat(1025));
    let error = extras(CallExtras { trace, ..CallExtras::default() });
    assert_eq!(error, DecodeError::TooMany { field: "trace", count: 1025, max: 1024 });
}

#[test]
fn names_are_parsed_on_the_way_in() {
    let mut bytes = encode_target(&direct("shop.score")).to_vec();
    let dot = bytes.iter().position(|&b| b == b'.').unwrap();
    bytes[dot] = b' ';
    assert!(matches!(decode_target(&bytes), Err(DecodeError::Name(_))));
    bytes[dot] = 0xff;
    assert_eq!(decode_target(&bytes), Err(DecodeError::NotText { field: "function id" }));
    let mut call = encoded(&plain_call());
    let hops = call.len() - 5 - encode_target(&direct("shop.score")).len() - 1;
    assert_eq!(call[hops], 1, "hops left");
    call[hops] = 17;
    assert!(matches!(decoded(&call), Err(DecodeError::Name(_))), "more hops than there may be");
}

#[test]
fn equal_targets_are_parsed_once() {
    let mut cache = TargetCache::new();
    let (a, b) = (encode_target(&direct("a")), encode_target(&direct("b")));
    let first = cache.get(&a).unwrap();
    let other = cache.get(&b).unwrap();
    assert!(Arc::ptr_eq(&first, &cache.get(&a).unwrap()));
    assert!(Arc::ptr_eq(&other, &cache.get(&b).unwrap()));
    assert_eq!(cache.len(), 2);
}

#[test]
fn the_cache_stays_bounded_and_keeps_what_is_used() {
    let mut cache = TargetCache::new();
    let hot_bytes = encode_target(&direct("hot"));
    let hot = cache.get(&hot_bytes).unwrap();
    for n in 0..10 * TargetCache::CAPACITY {
        cache.get(&encode_target(&direct(&format!("once-{n}")))).unwrap();
        if n % 100 == 0 {
            assert!(Arc::ptr_eq(&hot, &cache.get(&hot_bytes).unwrap()), "after {n} others");
        }
        assert!(cache.len() <= TargetCache::CAPACITY);
    }
    let once = encode_target(&direct("once-0"));
    assert!(Arc::strong_count(&cache.get(&once).unwrap()) > 1, "it was forgotten and is parsed again");
}

#[test]
fn neither_long_nor_wrong_targets_are_kept() {
    let mut cache = TargetCache::new();
    assert!(cache.get(b"\x95\x00").is_err());
    let mut selector = Selector::new(Wanted::Name(FunctionName::parse("a").unwrap()));
    selector.resources =
        (0..64).map(|n| mpreg_types::Resource::parse(&format!("resource-{n}")).unwrap()).collect();
    cache.get(&encode_target(&Target::Select(selector))).unwrap();
    assert!(cache.is_empty());
}

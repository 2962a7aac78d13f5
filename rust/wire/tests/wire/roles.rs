//! The role table, written a second time as a matrix: one test per (role, frame kind).

use mpreg_wire::{FrameKind, Role, allowed};

macro_rules! matrix {
    ($($name:ident: $kind:ident = $node:literal $gateway:literal $client:literal $worker:literal,)*) => {
        $(
            mod $name {
                use super::{FrameKind, Role, allowed};

                #[test]
                fn from_a_node() {
                    assert_eq!(allowed(Role::Node, FrameKind::$kind), $node);
                }

                #[test]
                fn from_a_gateway() {
                    assert_eq!(allowed(Role::Gateway, FrameKind::$kind), $gateway);
                }

                #[test]
                fn from_a_client() {
                    assert_eq!(allowed(Role::Client, FrameKind::$kind), $client);
                }

                #[test]
                fn from_a_worker() {
                    assert_eq!(allowed(Role::Worker, FrameKind::$kind), $worker);
                }
            }
        )*

        #[test]
        fn the_matrix_has_every_kind() {
            assert_eq!(FrameKind::ALL, [$(FrameKind::$kind,)*]);
        }
    };
}

matrix! {
    //                   node  gateway client worker
    hello: Hello = false false false false,
    proof: Proof = false false false false,
    refuse: Refuse = true true true true,
    goodbye: Goodbye = true true true true,
    ping: Ping = true true true true,
    pong: Pong = true true true true,
    credit: Credit = true true true true,
    membership: Membership = true false false false,
    catalog: Catalog = true false false false,
    route: Route = false false false false,
    call: Call = true true true true,
    reply: Reply = true true false true,
    chunk: Chunk = true true true true,
    cancel: Cancel = true true true true,
    started: Started = true true false true,
    item: Item = true true false true,
    look: Look = true false true true,
    look_reply: LookReply = true false false false,
}

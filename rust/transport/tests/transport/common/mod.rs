//! Two ends of one connection in one process, over whatever carries it, on runtimes as a node has them.

pub(crate) mod certificates;
pub(crate) mod ends;
pub(crate) mod raw_peer;
pub(crate) mod recorder;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mpreg_types::{
    CallHead, CallId, FunctionName, HopBudget, Incarnation, NodeId, Payload, PreparedTarget, ReplyHead,
    Selector, Target, Wanted,
};

/// Far beyond what any step takes; a test that hangs fails by it.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// `future`, or a failed test.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let in_time = tokio::time::timeout(SOON, future).await;
    in_time.unwrap_or_else(|_| panic!("{what} did not happen within {SOON:?}"))
}

/// A directory of its own that goes with the test; short, for socket paths.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

static SCRATCHES: AtomicU64 = AtomicU64::new(0);

impl Scratch {
    pub(crate) fn new() -> Self {
        let number = SCRATCHES.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mpreg-t-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A call of some function with a value of `value_bytes` bytes.
pub(crate) fn call_head(token: u64, value_bytes: usize) -> CallHead {
    let function = Wanted::Name(FunctionName::parse("svc.echo").unwrap());
    CallHead {
        token,
        call: CallId { origin: NodeId::from_bytes([7; 16]), incarnation: Incarnation(1), sequence: token },
        attempt: 1,
        remaining: Duration::from_secs(30),
        value_bytes: value_bytes as u64,
        hops_left: HopBudget::new(4).unwrap(),
        forwards: 0,
        stream: false,
        target: Arc::new(PreparedTarget::new(Target::Select(Selector::new(function)))),
        extras: None,
    }
}

pub(crate) fn reply_head(token: u64, value_bytes: usize) -> ReplyHead {
    ReplyHead::ok(token, value_bytes as u64)
}

/// `bytes` bytes that differ by place and `seed`, so that a byte lost or moved shows.
pub(crate) fn value(seed: u64, bytes: usize) -> Payload {
    let words = (0..=bytes as u64 / 8).flat_map(|i| (i.wrapping_mul(0x9e37_79b9) ^ seed).to_le_bytes());
    Bytes::from(words.take(bytes).collect::<Vec<u8>>()).into()
}

/// The value as one piece.
pub(crate) fn flat(payload: &Payload) -> Vec<u8> {
    payload.segments().flat_map(|segment| segment.to_vec()).collect()
}

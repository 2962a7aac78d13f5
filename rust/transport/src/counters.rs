use std::sync::atomic::{AtomicU64, Ordering};

use crate::LostCause;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What the connections of one node did; they only ever rise.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: AtomicU64,)* }

        impl Counters {
            /// All of them by name, for views and metrics.
            pub fn read(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Ordering::Relaxed)),)*]
            }
        }
    };
}

counters! {
    /// Frames cut from what arrived.
    frames_in,
    /// Frames handed to the kernel.
    frames_out,
    /// Bytes that arrived, headers included.
    bytes_in,
    /// Bytes handed to the kernel.
    bytes_out,
    /// Of `bytes_in`, those of control frames.
    control_bytes_in,
    /// Of `bytes_out`, those of control frames.
    control_bytes_out,
    /// Calls on streams that had been used already; dropped.
    duplicate_frames,
    /// Calls that came when this side took none any more; their callers were told so.
    untaken_calls,
    /// Values that were announced and not admitted.
    refused_values,
    /// Frames that no peer, or no peer of that role, may send; each closed its connection.
    refused_frames,
    /// Connections that came to be.
    opened,
    /// Ends by this side's own decision.
    closed_here,
    /// Ends by the peer's goodbye.
    closed_by_peer,
    /// Ends without a goodbye: a process is gone.
    ended,
    /// Resets and other failures of the network.
    broken,
    /// Ends because the peer broke the protocol.
    protocol_errors,
    /// Handshakes that this side refused.
    handshakes_refused,
    /// Handshakes that the peer refused.
    handshakes_refused_by_peer,
    /// Handshakes that broke, ran out of time, or made no sense.
    handshakes_failed,
    /// Half-open handshakes that made way for newcomers.
    handshakes_displaced,
    /// Connections turned away because there were too many.
    connections_over_limit,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn ended_by(&self, cause: &LostCause) {
        let counter = match cause {
            LostCause::Closed(_) => &self.closed_here,
            LostCause::Goodbye(_) | LostCause::Refused(_) => &self.closed_by_peer,
            LostCause::Ended => &self.ended,
            LostCause::Broken(_) => &self.broken,
            LostCause::Protocol(_) => &self.protocol_errors,
        };
        Self::add(counter, 1);
    }
}

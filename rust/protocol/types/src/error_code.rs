use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What went wrong, by its name on the wire and in `error.code`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode { $($(#[$doc])* $variant,)* }

        impl ErrorCode {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in snake case.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

error_codes! {
    /// Settings, names or arguments of mpreg itself are wrong; nothing was sent.
    Config = "config",
    /// No connection, or it broke.
    ConnectionLost = "connection_lost",
    /// A handshake was refused.
    Auth = "auth",
    /// No live candidate matches what was asked for.
    FunctionNotFound = "function_not_found",
    /// The destination cannot be reached from here.
    NoRoute = "no_route",
    /// Every route is longer than the call may go.
    HopBudgetExhausted = "hop_budget_exhausted",
    /// The call came back to where it had been.
    RouteLoop = "route_loop",
    /// The deadline passed.
    DeadlineExceeded = "deadline_exceeded",
    /// A limit was reached before the function started.
    Overloaded = "overloaded",
    /// A quota was used up; `retry_after` says until when.
    RateLimited = "rate_limited",
    /// The node leaves and takes no new work.
    Draining = "draining",
    /// The frame names another start of that process.
    WrongIncarnation = "wrong_incarnation",
    /// The callee cancelled the call.
    CancelledByPeer = "cancelled_by_peer",
    /// Rules or trust forbid it.
    PermissionDenied = "permission_denied",
    /// The function raised.
    Remote = "remote",
    /// The arguments do not fit the function's signature.
    BadArguments = "bad_arguments",
    /// A step of a call graph failed.
    Graph = "graph",
    /// A held result of a graph's step is gone, or the step has no such part.
    ResultLost = "result_lost",
    /// A value cannot be encoded.
    Encode = "encode",
    /// A value cannot be decoded, or does not fit its hint.
    Decode = "decode",
    /// A value is larger than allowed.
    TooLarge = "too_large",
    /// The verb does not fit the function: `call` of a stream, or `stream` of another one.
    WrongVerb = "wrong_verb",
    /// A defect of mpreg; please report it.
    Internal = "internal",
}

impl ErrorCode {
    /// True if another candidate may do better, given that this one provably did not execute.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::ConnectionLost
                | Self::Overloaded
                | Self::RateLimited
                | Self::Draining
                | Self::WrongIncarnation
                | Self::NoRoute
        )
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

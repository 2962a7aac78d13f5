//! What a failed attempt was, and whether another one may follow.

use std::time::Duration;

use mpreg_types::{
    ClusterId, ConnectionId, Defect, ErrorBody, ErrorCode, Executed, ForeignText, Ledger, NodeId, Payload,
    ReplyExtras, ReplyHead,
};

use crate::{Attempt, decode_error};

/// An attempt that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) body: ErrorBody,
    pub(crate) executed: Executed,
    /// The candidate that failed or refused; `None`: nobody in particular.
    pub(crate) node: Option<NodeId>,
    /// Its name, if a reply told it.
    pub(crate) label: Option<ForeignText>,
    /// The connection to the entry node that a client's attempt went over.
    pub(crate) via: Option<ConnectionId>,
    /// Calling the function twice is as good as once, by the best source there is.
    pub(crate) idempotent: bool,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) path: Vec<ClusterId>,
    /// As the callee counted it.
    pub(crate) ledger: Ledger,
}

impl Failed {
    pub(crate) fn new(body: ErrorBody, executed: Executed, node: Option<NodeId>) -> Self {
        Self {
            label: body.node.clone(),
            body,
            executed,
            node,
            via: None,
            idempotent: false,
            retry_after: None,
            path: Vec::new(),
            ledger: Ledger::default(),
        }
    }

    /// Fills in what the reply says beside its error.
    pub(crate) fn with_extras(mut self, extras: Option<Box<ReplyExtras>>) -> Self {
        if let Some(extras) = extras {
            let ReplyExtras { node, retry_after, path, ledger, idempotent, label, held: _ } = *extras;
            self.node = node.or(self.node);
            self.label = label.or(self.label);
            self.retry_after = retry_after;
            self.path = path;
            self.ledger = ledger.unwrap_or_default();
            self.idempotent = idempotent;
        }
        self
    }

    /// True if another attempt cannot execute the function a second time against its will, and may do better.
    ///
    /// A start that was reported is no result: what a broken connection took away is made again, if that is allowed.
    /// Any other word of an execution ends the call, because the callee is there and said how it went.
    pub(crate) fn may_repeat(&self) -> bool {
        match self.executed {
            Executed::Yes => self.idempotent && self.body.code == ErrorCode::ConnectionLost,
            Executed::Unknown => {
                (self.idempotent || Defect::TableRepeatsUnknown.is_in()) && self.body.code.is_retryable()
            }
            // "Not here" from one candidate is news about that candidate; from nobody in particular it is final.
            Executed::No => match self.body.code {
                ErrorCode::FunctionNotFound | ErrorCode::NoRoute => self.node.is_some(),
                code => code.is_retryable(),
            },
        }
    }

    /// True if it may help when the user calls again.
    pub(crate) fn may_help_later(&self, executed: Executed) -> bool {
        let code = self.body.code;
        let safe = match executed {
            Executed::No => true,
            Executed::Unknown => self.idempotent,
            Executed::Yes => self.idempotent && code == ErrorCode::ConnectionLost,
        };
        safe && (code.is_retryable()
            || matches!(code, ErrorCode::FunctionNotFound | ErrorCode::DeadlineExceeded))
    }

    pub(crate) fn attempt(&self) -> Attempt {
        Attempt {
            node: self.node,
            label: self.label.clone(),
            via: self.via,
            code: self.body.code,
            executed: self.executed,
        }
    }
}

/// What is known of an attempt at its deadline: by itself, or by the word that came for the cancellation.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) executed: Executed,
    pub(crate) ledger: Ledger,
    /// Who has it, if the word says so.
    pub(crate) node: Option<NodeId>,
    pub(crate) label: Option<ForeignText>,
}

impl Word {
    /// Nobody said anything.
    pub(crate) fn none(executed: Executed) -> Self {
        Self { executed, ledger: Ledger::default(), node: None, label: None }
    }

    /// This reply came instead of one in time.
    pub(crate) fn of(head: ReplyHead, value: &Payload, started: bool) -> Self {
        let executed = if head.ok || started { Executed::Yes } else { head.executed };
        let said = if head.ok { None } else { decode_error(value).node };
        let extras = head.extras.map_or_else(ReplyExtras::default, |extras| *extras);
        let ReplyExtras { node, label, ledger, .. } = extras;
        Self { executed, ledger: ledger.unwrap_or_default(), node, label: label.or(said) }
    }
}

/// The failed attempts of one call; made with the first of them, so calls that succeed at once pay nothing.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) attempts: Vec<Attempt>,
    /// The first of them in full: what is raised when the retry budget is spent.
    pub(crate) first: Failed,
}

/// What is known of two attempts together: one that did execute outweighs one that may have, and that one that did not.
pub(crate) fn together(a: Executed, b: Executed) -> Executed {
    match (a, b) {
        (Executed::Yes, _) | (_, Executed::Yes) => Executed::Yes,
        (Executed::Unknown, _) | (_, Executed::Unknown) => Executed::Unknown,
        (Executed::No, Executed::No) => Executed::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: ErrorCode, executed: Executed) -> Failed {
        Failed::new(ErrorBody::new(code, "x"), executed, Some(NodeId::from_bytes([1; 16])))
    }

    #[test]
    fn what_may_be_repeated() {
        use ErrorCode as Code;
        for code in Code::ALL {
            let repeats = matches!(
                code,
                Code::ConnectionLost
                    | Code::Overloaded
                    | Code::RateLimited
                    | Code::Draining
                    | Code::WrongIncarnation
                    | Code::NoRoute
                    | Code::FunctionNotFound
            );
            assert_eq!(failed(*code, Executed::No).may_repeat(), repeats, "{code}");
            assert!(!failed(*code, Executed::Yes).may_repeat(), "{code}");
            assert!(!failed(*code, Executed::Unknown).may_repeat(), "{code}");
            let idempotent = Failed { idempotent: true, ..failed(*code, Executed::Unknown) };
            assert_eq!(idempotent.may_repeat(), repeats && *code != Code::FunctionNotFound, "{code}");
            let begun = Failed { executed: Executed::Yes, ..idempotent };
            assert_eq!(begun.may_repeat(), *code == Code::ConnectionLost, "{code}");
        }
    }

    #[test]
    fn a_whole_mesh_without_the_function_is_final() {
        for code in [ErrorCode::FunctionNotFound, ErrorCode::NoRoute] {
            assert!(!Failed { node: None, ..failed(code, Executed::No) }.may_repeat());
        }
    }
}

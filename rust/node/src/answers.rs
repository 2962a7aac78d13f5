//! Sending the answer to a call over its connection, and what is sent where that does not take it.

use mpreg_rpc::encode_error;
use mpreg_transport::{Connection, SendError};
use mpreg_types::{ErrorBody, ErrorCode, Executed, Payload, ReplyHead, StreamId};

/// Appends an answer. In place of one that the connection does not take goes an error that says so, because nobody
/// shall wait in vain; a closed connection has nobody who waits.
pub(crate) fn send_answer(connection: &Connection, stream: StreamId, head: &ReplyHead, value: &Payload) {
    let Err(why) = connection.send_reply(stream, head, value) else { return };
    let (code, advice) = match why {
        SendError::Closed | SendError::RepliesNotTaken { .. } => return,
        SendError::NoRoom { .. } => (ErrorCode::Overloaded, "take results faster, or ask for less at a time"),
        _ => (ErrorCode::TooLarge, "return it in parts, or raise max_value_bytes of the caller"),
    };
    let executed = if head.ok { Executed::Yes } else { head.executed };
    let instead = encode_error(&ErrorBody::new(code, format!("the answer cannot be sent: {why}; {advice}")));
    // A peer may take so little that not even the reason fits: then it gets none.
    for value in [instead, Payload::default()] {
        let head = ReplyHead::error(head.token, executed, value.len() as u64);
        if connection.send_reply(stream, &head, &value).is_ok() {
            return;
        }
    }
}

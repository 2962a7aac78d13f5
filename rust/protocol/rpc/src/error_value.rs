//! An [`ErrorBody`] as the value of an error reply: a msgpack map, so that fields can be added.

use mpreg_types::{ErrorBody, ErrorCode, Payload};

/// Encodes `body`.
pub fn encode_error(body: &ErrorBody) -> Payload {
    // Writing to memory cannot fail, and the body has no map keys or numbers that msgpack lacks; should it ever, the
    // caller gets an empty value, which `decode_error` reports.
    rmp_serde::to_vec_named(body).unwrap_or_default().into()
}

/// Decodes an error reply's value. One that makes no sense becomes an error that says so.
pub fn decode_error(value: &Payload) -> ErrorBody {
    let joined: Vec<u8>;
    let bytes = if value.tail.is_empty() {
        &value.head[..]
    } else {
        joined = value.segments().flat_map(|segment| segment.iter().copied()).collect();
        &joined
    };
    rmp_serde::from_slice(bytes).unwrap_or_else(|error| {
        let text = format!("the callee's error cannot be read ({error}); see the callee's log");
        ErrorBody::new(ErrorCode::Decode, text)
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mpreg_types::ForeignText;

    use super::*;

    #[test]
    fn an_error_survives_the_wire_in_one_piece_or_in_several() {
        let mut body = ErrorBody::new(ErrorCode::Remote, "no such row");
        body.type_name = Some(ForeignText::new("shop.NoRow"));
        body.data = Some(Bytes::from_static(b"\x93\x01\x02\x03"));
        let whole = encode_error(&body);
        let pieces = Payload { head: whole.head.slice(..7), tail: vec![whole.head.slice(7..)] };
        assert_eq!((decode_error(&whole), decode_error(&pieces)), (body.clone(), body));
    }

    #[test]
    fn nonsense_is_an_error_of_its_own() {
        for bytes in [&b""[..], b"\xc1", b"\x93\x01\x02\x03", b"\x81\xa4code\xa3abc"] {
            assert_eq!(decode_error(&Bytes::from_static(bytes).into()).code, ErrorCode::Decode);
        }
    }
}

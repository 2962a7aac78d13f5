//! The wire: handshake, frame header, roles and limits, message codec, signatures, golden frames.

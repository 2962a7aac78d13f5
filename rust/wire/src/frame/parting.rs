use mpreg_types::StreamId;

use crate::{FrameError, FrameKind};

/// Most streams that a [`FrameKind::Goodbye`] frame names one by one.
pub const UNFINISHED_MAX: usize = 1024;

/// Payload of a [`FrameKind::Goodbye`] frame: the sender takes no further call over the connection.
///
/// Of the receiver's calls it took those up to `last`, but for `unfinished`. It did not execute any other and never will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parting {
    /// Why, as a number that belongs to the connection layer.
    pub reason: u8,
    /// The highest of the receiver's streams that was taken; 0: none was.
    pub last: StreamId,
    /// Streams before it whose values were still arriving; at most [`UNFINISHED_MAX`].
    pub unfinished: Vec<StreamId>,
    /// One sentence for people, UTF-8.
    pub detail: Vec<u8>,
}

impl Parting {
    /// `u8 reason` · `u64 last` · `u16 count` · `count` x `u64` · detail.
    pub fn encode(&self) -> Vec<u8> {
        let unfinished = &self.unfinished[..self.unfinished.len().min(UNFINISHED_MAX)];
        let mut out = vec![self.reason];
        out.extend_from_slice(&self.last.0.to_be_bytes());
        out.extend_from_slice(&u16::try_from(unfinished.len()).unwrap_or(0).to_be_bytes());
        for stream in unfinished {
            out.extend_from_slice(&stream.0.to_be_bytes());
        }
        out.extend_from_slice(&self.detail);
        out
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(payload: &[u8]) -> Result<Self, FrameError> {
        let bad = FrameError::BadPayload { kind: FrameKind::Goodbye, bytes: payload.len() };
        let Some(([reason, last @ .., high, low], rest)) = payload.split_first_chunk::<11>() else {
            return Err(bad);
        };
        let count = usize::from(u16::from_be_bytes([*high, *low]));
        if count > UNFINISHED_MAX || rest.len() < count * 8 {
            return Err(bad);
        }
        let (unfinished, detail) = rest.split_at(count * 8);
        let (streams, _) = unfinished.as_chunks::<8>();
        Ok(Self {
            reason: *reason,
            last: StreamId(u64::from_be_bytes(*last)),
            unfinished: streams.iter().map(|stream| StreamId(u64::from_be_bytes(*stream))).collect(),
            detail: detail.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goodbye_names_what_was_taken() {
        let parting =
            |unfinished| Parting { reason: 1, last: StreamId(9), unfinished, detail: b"why".to_vec() };
        for unfinished in [vec![], vec![StreamId(3), StreamId(u64::MAX)]] {
            assert_eq!(Parting::decode(&parting(unfinished.clone()).encode()), Ok(parting(unfinished)));
        }
        let many = Parting::decode(&parting(vec![StreamId(1); UNFINISHED_MAX + 5]).encode()).unwrap();
        assert_eq!((many.unfinished.len(), &many.detail[..]), (UNFINISHED_MAX, &b"why"[..]));
    }

    #[test]
    fn half_a_goodbye_is_none() {
        let whole =
            Parting { reason: 1, last: StreamId(9), unfinished: vec![StreamId(3)], detail: vec![] }.encode();
        for end in 0..whole.len() {
            let bad = FrameError::BadPayload { kind: FrameKind::Goodbye, bytes: end };
            assert_eq!(Parting::decode(&whole[..end]), Err(bad));
        }
        let mut many = whole;
        many[9..11].copy_from_slice(&1025_u16.to_be_bytes());
        many.resize(11 + 1025 * 8, 0);
        assert!(Parting::decode(&many).is_err());
    }
}

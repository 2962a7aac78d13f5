use mpreg_types::{ErrorBody, ErrorCode, ForeignText, PathKey, Payload, VALUE_EXT_TAG, VALUE_TAG_TUPLE};

use crate::walker::{Header, Malformed, Walker};

/// Why a value has no such part. `depth` counts the keys that led somewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NoSuchPart {
    /// For people.
    pub why: String,
    /// The builtin exception that Python raises for the same.
    pub base: &'static str,
    /// How many keys of the path were found.
    pub depth: usize,
}

impl NoSuchPart {
    /// The error as Python would raise it.
    pub fn body(&self) -> ErrorBody {
        let mut body = ErrorBody::new(ErrorCode::Remote, self.why.clone());
        body.type_name = Some(ForeignText::new(self.base));
        body.base = Some(ForeignText::new(self.base));
        body
    }
}

/// Cuts a part out of an encoded value: mapping keys, fields and indices from outside inwards, as `value["rows"][0]`.
/// Shares the memory of `value`.
pub fn project(value: &Payload, path: &[PathKey]) -> Result<Payload, NoSuchPart> {
    let mut walker = Walker::new(value);
    for (depth, key) in path.iter().enumerate() {
        enter(&mut walker, key).map_err(|(why, base)| NoSuchPart { why, base, depth })?;
    }
    let from = walker.position;
    match walker.pass_value() {
        Ok(()) => Ok(value.slice(from, walker.position)),
        Err(Malformed) => Err(NoSuchPart { why: malformed().0, base: "ValueError", depth: path.len() }),
    }
}

type Refusal = (String, &'static str);

fn malformed() -> Refusal {
    ("the value ends in the middle".to_owned(), "ValueError")
}

/// Moves from a container to the item under `key`.
fn enter(walker: &mut Walker<'_>, key: &PathKey) -> Result<(), Refusal> {
    let broken = |Malformed| malformed();
    match (walker.header().map_err(broken)?, key) {
        (Header::Map(count), key) => {
            for _ in 0..count {
                if is_key(walker, key).map_err(broken)? {
                    return Ok(());
                }
                walker.pass_value().map_err(broken)?;
            }
            Err((format!("there is no key or field {}", spelled(key)), "KeyError"))
        }
        (Header::Array(count), PathKey::Index(index)) => {
            let count = if count > 0 { past_tag(walker, count)? } else { count };
            let found = if *index < 0 { i128::from(*index) + count as i128 } else { i128::from(*index) };
            let found = usize::try_from(found).ok().filter(|found| *found < count);
            let found = found
                .ok_or_else(|| (format!("there is no index {index}: it has {count} items"), "IndexError"))?;
            (0..found).try_for_each(|_| walker.pass_value()).map_err(broken)
        }
        (Header::Array(_), PathKey::Name(name)) => {
            Err((format!("a sequence has no key or field {name:?}; it takes an index"), "TypeError"))
        }
        (Header::Nil, _) => Err(("it is None, which has no parts".to_owned(), "TypeError")),
        (_, key) => Err((format!("it has no parts, so no {}", spelled(key)), "TypeError")),
    }
}

/// A tuple is an array behind a mark; other marks are of values that have no index. How many items follow.
fn past_tag(walker: &mut Walker<'_>, count: usize) -> Result<usize, Refusal> {
    let mut mark = walker.clone();
    let Ok(Header::Ext(VALUE_EXT_TAG, 1)) = mark.header() else { return Ok(count) };
    let [tag] = mark.bytes().map_err(|Malformed| malformed())?;
    if tag != VALUE_TAG_TUPLE {
        let why = "a set, an array or a buffer cannot be taken apart on the way; take the whole, or return its parts";
        return Err((why.to_owned(), "TypeError"));
    }
    *walker = mark;
    Ok(count - 1)
}

/// True if the key that stands here is `wanted`; passes over it.
fn is_key(walker: &mut Walker<'_>, wanted: &PathKey) -> Result<bool, Malformed> {
    match (walker.header()?, wanted) {
        (Header::Text(length), PathKey::Name(name)) if length == name.len() => {
            let mut text = vec![0; length];
            walker.copy_to(&mut text)?;
            Ok(text == name.as_bytes())
        }
        (Header::Int(number), PathKey::Index(index)) => Ok(number == i128::from(*index)),
        (header, _) => walker.pass(header).map(|()| false),
    }
}

fn spelled(key: &PathKey) -> String {
    match key {
        PathKey::Name(name) => format!("{name:?}"),
        PathKey::Index(index) => index.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;

    fn encoded<T: Serialize>(value: &T) -> Bytes {
        rmp_serde::to_vec_named(value).unwrap().into()
    }

    fn name(text: &str) -> PathKey {
        PathKey::Name(text.to_owned())
    }

    fn flat(value: &Payload) -> Vec<u8> {
        value.segments().flat_map(|segment| segment.to_vec()).collect()
    }

    #[derive(Serialize)]
    struct Clean {
        note: &'static str,
        rows: Vec<Vec<u32>>,
        n: i64,
    }

    #[test]
    fn parts_are_found_however_the_value_was_cut() {
        let clean =
            Clean { note: "ä\u{1f600}", rows: vec![vec![1, 70_000], vec![], vec![3; 20]], n: -40_000 };
        let whole = encoded(&clean);
        let cases: [(Vec<PathKey>, Bytes); 5] = [
            (vec![], whole.clone()),
            (vec![name("note")], encoded(&clean.note)),
            (vec![name("rows"), PathKey::Index(-1)], encoded(&clean.rows[2])),
            (vec![name("rows"), PathKey::Index(0), PathKey::Index(1)], encoded(&70_000_u32)),
            (vec![name("n")], encoded(&clean.n)),
        ];
        for at in 0..=whole.len() {
            let value: Payload = [whole.slice(..at), whole.slice(at..)].into_iter().collect();
            for (path, part) in &cases {
                assert_eq!(flat(&project(&value, path).unwrap()), part[..], "{path:?} cut at {at}");
            }
        }
    }

    #[test]
    fn a_tuple_is_indexed_without_its_mark() {
        let tuple = Payload::from(Bytes::from_static(b"\x93\xd4\x01\x01\x07\xa1x"));
        assert_eq!(flat(&project(&tuple, &[PathKey::Index(0)]).unwrap()), b"\x07");
        assert_eq!(flat(&project(&tuple, &[PathKey::Index(-1)]).unwrap()), b"\xa1x");
        assert_eq!(project(&tuple, &[PathKey::Index(2)]).unwrap_err().base, "IndexError");
        let set = Payload::from(Bytes::from_static(b"\x92\xd4\x01\x02\x07"));
        assert_eq!(project(&set, &[PathKey::Index(0)]).unwrap_err().base, "TypeError");
    }

    #[test]
    fn what_is_not_there_says_so() {
        let value = Payload::from(encoded(&Clean { note: "", rows: vec![vec![1]], n: 0 }));
        let refused = |path: &[PathKey]| project(&value, path).unwrap_err();
        assert_eq!(refused(&[name("row")]).to_string(), "there is no key or field \"row\"");
        let deep = refused(&[name("rows"), PathKey::Index(0), PathKey::Index(1)]);
        assert_eq!((deep.depth, deep.base), (2, "IndexError"));
        assert_eq!(refused(&[name("n"), name("x")]).base, "TypeError");
        assert_eq!(refused(&[name("rows"), name("x")]).base, "TypeError");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            index in -3_i64..3,
        ) {
            let value = Payload::from(bytes);
            let _ = project(&value, &[PathKey::Index(index), PathKey::Name("a".to_owned())]);
        }
    }
}

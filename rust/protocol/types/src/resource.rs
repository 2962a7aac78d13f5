use crate::text_newtype::text_newtype;

fn is_resource(text: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_.:=/-".contains(&c);
    (1..=128).contains(&text.len()) && text.bytes().all(allowed)
}

text_newtype!(
    /// Placement tag: what a function or node has at hand ("gpu", "dataset=v2", "region/eu").
    Resource,
    "resource",
    "it takes 1 to 128 letters, digits and '_', '.', ':', '=', '/', '-'",
    is_resource,
    |text| text.into()
);

text_newtype!(
    /// Key or value of a function's tags: free annotation that never takes part in selection.
    Tag,
    "tag",
    "it takes 1 to 128 letters, digits and '_', '.', ':', '=', '/', '-'",
    is_resource,
    |text| text.into()
);

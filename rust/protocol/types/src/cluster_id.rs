use crate::text_newtype::{is_label, text_newtype};

text_newtype!(
    /// Name of a cluster, the administrative group a node belongs to; a lower-case DNS label.
    ClusterId,
    "cluster name",
    "it takes 1 to 63 of a-z, 0-9, '_' and '-', with a letter or digit first and last",
    is_label,
    |text| text.into()
);

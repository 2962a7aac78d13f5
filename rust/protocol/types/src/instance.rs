use crate::text_newtype::{is_label, text_newtype};

text_newtype!(
    /// The part after the "/" in a node's id: tells replicas of one name apart.
    Instance,
    "instance name",
    "it takes 1 to 63 of a-z, 0-9, '_' and '-', with a letter or digit first and last",
    is_label,
    |text| text.into()
);

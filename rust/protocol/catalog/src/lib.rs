//! Who offers what: one signed log per owner, pushed at once and repaired by digests.

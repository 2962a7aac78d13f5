//! The routing snapshot, and the choice of a candidate on it.

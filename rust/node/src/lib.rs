//! The tokio driver of a node: owns the machines, runs their outputs, and is the public Rust API.

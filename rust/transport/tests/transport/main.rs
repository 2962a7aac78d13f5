//! Connections between two ends in one process, over everything that carries them.

mod carriers;
mod common;

//! Tests of whole catalogs: a mesh of them in virtual time, and one by one.

mod asking;
mod bench;
mod convergence;
mod faults;
mod follower;
mod limits;
mod mesh;
mod properties;
mod rules;
mod signing;

use mpreg_types::{ContractHash, ForeignText, FunctionName, FunctionVersion};

use crate::{EntryValue, FunctionEntry};

/// A function with `doc` to tell its changes apart.
fn function(name: &str, doc: &str) -> EntryValue {
    let name = FunctionName::parse(name).unwrap();
    let mut function = FunctionEntry::new(name, ContractHash::from_bytes([7; 32]));
    function.doc = ForeignText::new(doc);
    function.version = FunctionVersion::new(1, 2, 0);
    EntryValue::Function(function)
}

//! The choice as callers see it, against stated examples and against a naive reading of the rule.

mod absence;
mod choice;
mod explain;
mod publish;
mod reference;
mod world;

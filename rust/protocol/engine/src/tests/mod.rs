//! Whole engines, with the real membership and catalog, in virtual time.

mod certified;
mod churn;
mod goodbye;
mod instances;
mod item;
mod joining;
mod loads;
mod looking;
mod losses;
mod offering;
mod signer;
mod watching;
mod world;

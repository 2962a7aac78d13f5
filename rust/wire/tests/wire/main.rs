//! Tests of the wire as a stranger sees it, through its public interface.
// Why cfg(test) in a test: clippy knows by it that these modules may unwrap.

#[cfg(test)]
mod call_and_reply;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod handshake;
#[cfg(test)]
mod hostile_bytes;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod strategies;

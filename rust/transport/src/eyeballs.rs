use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// How long the next address waits for the one before it (RFC 8305, "Connection Attempt Delay").
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// Connects to the first of `addresses` that answers (Happy Eyeballs, RFC 8305): the families take turns, each attempt
/// gets a head start of 250 ms, a failure starts the next at once. The caller sets the deadline.
pub(crate) async fn connect_first(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = in_turns(addresses);
    let mut attempts = JoinSet::new();
    let mut last_error = io::Error::from(ErrorKind::AddrNotAvailable);
    let mut next_start = Instant::now();
    loop {
        if attempts.is_empty() || next_start <= Instant::now() {
            match waiting.pop_front() {
                Some(address) => {
                    attempts.spawn(TcpStream::connect(address));
                    next_start = Instant::now() + ATTEMPT_DELAY;
                }
                None if attempts.is_empty() => return Err(last_error),
                None => {}
            }
        }
        tokio::select! {
            Some(attempt) = attempts.join_next() => match attempt {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(error)) => {
                    last_error = error;
                    next_start = Instant::now();
                }
                Err(error) => last_error = io::Error::other(error),
            },
            () = sleep_until(next_start), if !waiting.is_empty() => {}
        }
    }
}

/// The resolver's order, with the families alternating from its first choice on.
fn in_turns(addresses: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.iter().copied().take(ADDRESSES_MAX).partition(|address| address.is_ipv6() == v6_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = VecDeque::new();
    loop {
        let before = turns.len();
        turns.extend(first.next());
        turns.extend(second.next());
        if turns.len() == before {
            return turns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_from_the_first_choice_on() {
        let resolved = parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        let expected = parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(in_turns(&resolved), expected);
    }

    #[tokio::test]
    async fn a_refused_address_makes_way_for_the_next() {
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refused = closed.local_addr().unwrap();
        drop(closed);
        let started = Instant::now();
        let socket = connect_first(&[refused, open.local_addr().unwrap()]).await.unwrap();
        assert_eq!(socket.peer_addr().unwrap(), open.local_addr().unwrap());
        assert!(started.elapsed() < ATTEMPT_DELAY, "it does not wait for a head start that nobody uses");
    }

    #[tokio::test]
    async fn the_last_refusal_is_the_error() {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(connect_first(&[closed]).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(connect_first(&[]).await.unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    }
}

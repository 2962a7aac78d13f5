//! Floor: raw tokio ping-pong over loopback TCP, two processes, 16-byte messages; prints the p50 round trip in µs.
//!
//! `tokio_ping_pong server` prints its port; `tokio_ping_pong client PORT ROUNDS` measures.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const MESSAGE_BYTES: usize = 16;

async fn serve() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println_port(listener.local_addr()?.port());
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut message = [0; MESSAGE_BYTES];
            while stream.read_exact(&mut message).await.is_ok() && stream.write_all(&message).await.is_ok() {}
        });
    }
}

#[expect(clippy::print_stdout, reason = "the port and the figure are this program's output")]
fn println_port(figure: impl std::fmt::Display) {
    println!("{figure}");
}

async fn measure(port: u16, rounds: usize) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let mut message = [7; MESSAGE_BYTES];
    let mut micros = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        stream.write_all(&message).await?;
        stream.read_exact(&mut message).await?;
        micros.push(start.elapsed().as_secs_f64() * 1e6);
    }
    micros.sort_by(f64::total_cmp);
    println_port(micros[rounds / 2]);
    Ok(())
}

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<usize>().ok());
    match (arguments.first().map(String::as_str), number(1), number(2)) {
        (Some("client"), Some(port), Some(rounds)) => {
            runtime.block_on(measure(u16::try_from(port).unwrap_or_default(), rounds.max(1)))
        }
        _ => runtime.block_on(serve()),
    }
}

//! A pool of connections as an application keeps it, for those who come from deadpool or bb8: the
//! same manager, and what is said instead of what.
//!
//! `cargo run -p plimsoll-pool --example database`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use plimsoll_pool::{GetError, Manager, Pool, PoolConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Opens connections to one address.
struct Connections {
    address: std::net::SocketAddr,
}

impl Manager for Connections {
    type Object = TcpStream;
    type Error = std::io::Error;

    async fn create(&self) -> Result<TcpStream, std::io::Error> {
        TcpStream::connect(self.address).await
    }

    async fn recycle(&self, connection: &mut TcpStream) -> Result<(), std::io::Error> {
        // Nothing may be left unread: the next one would take it for its own answer.
        match connection.try_read(&mut [0]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Ok(0) => Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Err(std::io::ErrorKind::InvalidData.into()),
            Err(error) => Err(error),
        }
    }
}

/// Answers each byte with the next one.
async fn database(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            while let Ok(byte) = stream.read_u8().await {
                if stream.write_u8(byte.wrapping_add(1)).await.is_err() {
                    break;
                }
            }
        });
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(database(listener));

    let config = PoolConfig {
        wait_within: Some(Duration::from_millis(200)),
        create_within: Some(Duration::from_secs(2)),
        recycle_within: Some(Duration::from_secs(1)),
        ..PoolConfig::new(4)
    };
    let pool = Pool::new(Connections { address }, config)?;

    let mut connection = pool.get().await?;
    connection.write_u8(41).await?;
    println!("the answer is {}", connection.read_u8().await?);
    drop(connection); // back to whoever waits, else on top of the stack

    // What a caller gave up on may still be on its way: throw it away.
    let connection = pool.get().await?;
    connection.discard();

    // Errors say which of the three times ran out.
    let held = [pool.get().await?, pool.get().await?, pool.get().await?, pool.get().await?];
    match pool.get().await {
        Err(GetError::WaitTimedOut { .. }) => println!("four are out; nobody came back in 200 ms"),
        other => println!("unexpected: {other:?}"),
    }
    drop(held);
    let waits = pool.waits();
    println!(
        "{} waited, the longest {:?}: those who gave up count too",
        waits.count(),
        waits.longest()
    );

    pool.close();
    pool.drained().await;
    Ok(())
}

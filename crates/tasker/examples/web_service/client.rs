//! The smallest HTTP client that the demo can do with: one request a connection.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// Sends a GET and waits for the reply.
pub(crate) async fn get(server: SocketAddr, path: &str) -> io::Result<Reply> {
    reply(send(server, "GET", path, "").await?).await
}

/// Sends a POST and waits for the reply.
pub(crate) async fn post(server: SocketAddr, path: &str, body: &str) -> io::Result<Reply> {
    reply(send(server, "POST", path, body).await?).await
}

/// Sends a request. To drop the connection is to go away without the reply.
pub(crate) async fn send(
    server: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> io::Result<TcpStream> {
    let mut connection = TcpStream::connect(server).await?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    connection.write_all(request.as_bytes()).await?;
    Ok(connection)
}

/// Reads until the server closes. A reply that was cut off is an error, as one that never came.
async fn reply(mut connection: TcpStream) -> io::Result<Reply> {
    let mut text = String::new();
    connection.read_to_string(&mut text).await?;
    let cut_off = || io::Error::new(io::ErrorKind::UnexpectedEof, "the reply was cut off");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(cut_off)?;
    let status =
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut_off)?;
    let reply = Reply { status, head: head.to_owned(), body: body.to_owned() };
    let length = reply.header("content-length").and_then(|length| length.parse().ok());
    if length.is_some_and(|length: usize| length != body.len()) {
        Err(cut_off())
    } else {
        Ok(reply)
    }
}

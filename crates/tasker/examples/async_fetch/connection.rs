//! The resource: one HTTP/1 connection, kept open from request to request.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a connection may take to close by itself.
const PATIENCE: Duration = Duration::from_millis(200);

/// Why a page was not fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    #[error("the connection broke: {0}")]
    Connection(#[from] hyper::Error),
    #[error("the server answered {0}")]
    Status(StatusCode),
}

impl FetchError {
    /// Whether the connection is as good as before. A page that is missing or broken says nothing about the
    /// connection. 503 does: whoever is at its other end is overloaded, and behind a load balancer another
    /// connection leads elsewhere.
    pub(crate) fn is_healthy(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Connection(_) => false,
            Self::Status(status) => *status != StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// One connection.
pub(crate) struct Connection {
    requests: SendRequest<Empty<Bytes>>,
    /// Moves the bytes.
    driver: JoinHandle<hyper::Result<()>>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, FetchError> {
        let stream = TcpStream::connect(address).await.map_err(FetchError::Connect)?;
        let (requests, driver) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { requests, driver: tokio::spawn(driver) })
    }

    /// Fetches a page.
    ///
    /// # Cancel safety
    ///
    /// Dropped in the middle it leaves a connection on which the rest of the answer is still to come, and
    /// which is not [ready](Self::is_ready).
    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes, FetchError> {
        self.requests.ready().await?;
        let request = Request::get(path).header(HOST, "localhost").body(Empty::new());
        let response = self.requests.send_request(request.expect("paths are well formed")).await?;
        let status = response.status();
        // Read to its end even where nobody wants it: the next answer comes after it.
        let body = response.into_body().collect().await?.to_bytes();
        if status.is_success() { Ok(body) } else { Err(FetchError::Status(status)) }
    }

    /// Whether the connection could take a request now: it is open, and no answer is outstanding.
    pub(crate) fn is_ready(&self) -> bool {
        self.requests.is_ready()
    }

    /// Closes the connection, and waits until it is.
    pub(crate) async fn close(self) -> Result<(), FetchError> {
        let Self { requests, mut driver } = self;
        drop(requests); // the driver ends by itself once nobody can ask any more
        if timeout(PATIENCE, &mut driver).await.is_err() {
            driver.abort(); // it waits for the rest of an answer
        }
        Ok(())
    }
}

//! A server on this machine that misbehaves on purpose, in the same way each time.

use std::future::{self, IntoFuture};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body_util::channel::Channel;
use tasker::CancelToken;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::pages::{Manner, Pages};

/// How long connections may take to close when all of their owners have let go.
const PATIENCE: Duration = Duration::from_secs(2);

/// A server that runs beside the program.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: CancelToken,
    serving: JoinHandle<io::Result<()>>,
}

/// What its pages share.
struct Site {
    pages: Pages,
    /// How often each page was asked for.
    visits: Vec<AtomicU32>,
}

impl Server {
    /// Starts it on a free port.
    pub(crate) async fn start(pages: Pages) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let visits = (0..pages.count).map(|_| AtomicU32::new(0)).collect();
        let site = Router::new()
            .route("/page/{number}", get(page))
            .route("/news/{number}", get(news))
            .route("/health", get(async || "well"))
            .route("/endless", get(endless))
            .with_state(Arc::new(Site { pages, visits }));
        let stop = CancelToken::new();
        let serving = axum::serve(listener, site).with_graceful_shutdown(stop.cancelled());
        Ok(Self { address, stop, serving: tokio::spawn(serving.into_future()) })
    }

    /// Stops it, and says whether every connection was closed: it waits for each of them.
    pub(crate) async fn stop(self) -> bool {
        self.stop.cancel();
        timeout(PATIENCE, self.serving).await.is_ok()
    }
}

async fn page(State(site): State<Arc<Site>>, Path(number): Path<u32>) -> Response {
    let Some(visits) = usize::try_from(number).ok().and_then(|page| site.visits.get(page)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let visit = visits.fetch_add(1, Ordering::Relaxed) + 1;
    sleep(site.pages.delay(number)).await;
    let text = site.pages.text(number);
    match site.pages.manner(number) {
        Manner::Missing => StatusCode::NOT_FOUND.into_response(),
        Manner::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Manner::Busy { visits } if visit <= visits => {
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Manner::Torn { visits } if visit <= visits => torn(&text),
        Manner::Fine | Manner::Slow | Manner::Busy { .. } | Manner::Torn { .. } => {
            text.into_response()
        }
    }
}

async fn news(Path(number): Path<u32>) -> String {
    sleep(Duration::from_millis(5)).await;
    format!("news {number}")
}

/// Never answers.
async fn endless() -> StatusCode {
    future::pending().await
}

/// Half of a text, then an error, upon which hyper closes the connection.
fn torn(text: &str) -> Response {
    let (mut sender, body) = Channel::<Bytes, io::Error>::new(1);
    let half = Bytes::from(text[..text.len() / 2].to_owned());
    tokio::spawn(async move {
        let _ = sender.send_data(half).await; // fails where the visitor has left already
        sleep(Duration::from_millis(2)).await; // the first half is on its way before the end comes
        sender.abort(io::ErrorKind::BrokenPipe.into());
    });
    Body::new(body).into_response()
}

//! The tasks: a bulk of pages, and beside it fetches that overtake it, hang, come too late or are given up.

use std::collections::HashMap;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use tasker::{AsyncTaskManager, CancelToken, Priority, ShutdownReport, TaskError};
use tokio::time::timeout;

use crate::connection::{Connection, FetchError};
use crate::pages::{Manner, Pages};
use crate::report::Page;

/// What fetches pages.
pub(crate) type Manager = AsyncTaskManager<Connection, FetchError>;
type Outcome<T> = Result<T, TaskError<FetchError>>;

/// The name of tasks that overtake the bulk.
pub(crate) const URGENT: &str = "urgent";

/// How many urgent fetches there are.
const NEWS: u32 = 10;
/// How long a page that never comes may keep its connection.
const LIMIT: Duration = Duration::from_millis(250);
/// How long a caller waits before it loses patience.
const PATIENCE: Duration = Duration::from_millis(150);
/// When an offer is not worth a fetch any more.
const FRESH: Duration = Duration::from_millis(50);

/// What became of everything that was asked for.
#[derive(Default)]
pub(crate) struct Fetched {
    /// Of the bulk, by how its pages are treated.
    pub(crate) kinds: HashMap<&'static str, Kind>,
    /// Of what ran beside the bulk: what it was, and how it ended.
    pub(crate) beside: Vec<(&'static str, String)>,
    /// How everything ended, as its callers saw it.
    pub(crate) told: Told,
    /// What should not have happened.
    pub(crate) wrong: Vec<String>,
}

/// Pages that are treated alike.
#[derive(Default)]
pub(crate) struct Kind {
    pub(crate) pages: u32,
    /// Those that ended as they should.
    pub(crate) as_meant: u32,
    /// How often those were tried.
    pub(crate) attempts: u32,
}

impl Fetched {
    /// Notes how a page of the bulk ended.
    fn page(&mut self, pages: Pages, page: u32, outcome: &Outcome<(u32, Bytes)>, stopped: bool) {
        let manner = pages.manner(page);
        let tried = match (manner, outcome) {
            (Manner::Missing, Err(error)) => has_status(error, StatusCode::NOT_FOUND).then_some(1),
            (Manner::Broken, Err(error)) => {
                has_status(error, StatusCode::INTERNAL_SERVER_ERROR).then_some(1)
            }
            (Manner::Missing | Manner::Broken, Ok(_)) | (_, Err(_)) => None,
            (manner, Ok((attempts, text))) => {
                let whole = *text == pages.text(page);
                (whole && *attempts == manner.retries() + 1).then_some(*attempts)
            }
        };
        let kind = self.kinds.entry(manner.name()).or_default();
        kind.pages += 1;
        kind.as_meant += u32::from(tried.is_some());
        kind.attempts += tried.unwrap_or(0);
        self.note(&format!("page {page} ({})", manner.name()), outcome, tried.is_some(), stopped);
    }

    /// Notes how a fetch beside the bulk ended.
    fn beside<T>(&mut self, what: &'static str, outcome: &Outcome<T>, meant: bool, stopped: bool) {
        self.beside.push((what, in_words(outcome)));
        self.note(what, outcome, meant, stopped);
    }

    fn note<T>(&mut self, what: &str, outcome: &Outcome<T>, meant: bool, stopped: bool) {
        use TaskError::{Cancelled, Killed, ShuttingDown};
        self.told.add(outcome);
        let by_stop = stopped && matches!(outcome, Err(ShuttingDown | Killed | Cancelled));
        if !meant && !by_stop {
            self.wrong.push(format!("{what}: {}", in_words(outcome)));
        }
    }
}

fn has_status(error: &TaskError<FetchError>, expected: StatusCode) -> bool {
    matches!(error, TaskError::Failed(FetchError::Status(status)) if *status == expected)
}

fn in_words<T>(outcome: &Outcome<T>) -> String {
    outcome.as_ref().map_or_else(ToString::to_string, |_| "fetched".to_owned())
}

/// Outcomes by number, as a [`ShutdownReport`] has them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    completed: u64,
    failed: u64,
    cancelled: u64,
    dropped: u64,
    pub(crate) refused: u64,
}

impl Told {
    fn add<T>(&mut self, outcome: &Outcome<T>) {
        let count = match outcome {
            Ok(_) => &mut self.completed,
            Err(TaskError::ShuttingDown) => &mut self.refused,
            Err(TaskError::Cancelled) => &mut self.cancelled,
            Err(TaskError::Killed | TaskError::Expired) => &mut self.dropped,
            Err(_) => &mut self.failed,
        };
        *count += 1;
    }

    /// Whether the manager gives the same account. What expired or was given up while it waited for room in
    /// the queue was never accepted, and is not in the report.
    pub(crate) fn agrees_with(&self, report: &ShutdownReport) -> bool {
        let Self { completed, failed, cancelled, dropped, refused: _ } = *self;
        let ended = report.completed + report.failed + report.cancelled + report.dropped;
        (completed, failed) == (report.completed, report.failed)
            && (cancelled >= report.cancelled && dropped >= report.dropped)
            && report.accepted == ended
    }
}

/// Runs all of it at the same time, until each has its outcome. `stop` tells whether it was interrupted.
pub(crate) async fn everything(
    manager: &Manager,
    pages: Pages,
    page: &Page,
    stop: &CancelToken,
) -> Fetched {
    let (bulk, (news, texts), health, hanging, offer, given_up) = tokio::join!(
        bulk(manager, pages, page),
        news(manager),
        health(manager),
        hanging(manager),
        offer(manager),
        given_up(manager),
    );
    let stopped = stop.is_cancelled();
    let mut fetched = Fetched::default();
    for (page, outcome) in (0..pages.count).zip(&bulk) {
        fetched.page(pages, page, outcome, stopped);
    }
    let mut texts = texts.into_iter();
    for (number, outcome) in (0..NEWS).zip(&news) {
        let meant = outcome.is_ok() && texts.next() == Some(Bytes::from(format!("news {number}")));
        fetched.note(&format!("news {number}"), outcome, meant, stopped);
    }
    let in_time = news.iter().filter(|outcome| outcome.is_ok()).count();
    fetched.beside.push((URGENT, format!("{in_time} of {NEWS} fetched")));
    fetched.beside("health", &health, matches!(&health, Ok(text) if text == "well"), stopped);
    fetched.beside("hanging", &hanging, matches!(hanging, Err(TaskError::TimedOut)), stopped);
    // With few pages before it, it is in time.
    let meant = matches!(offer, Ok(_) | Err(TaskError::Expired));
    fetched.beside("offer", &offer, meant, stopped);
    fetched.beside("given up", &given_up, matches!(given_up, Err(TaskError::Cancelled)), stopped);
    fetched
}

/// Submits every page, and waits for one after the other. A submitted task owns what it needs.
async fn bulk(manager: &Manager, pages: Pages, page: &Page) -> Vec<Outcome<(u32, Bytes)>> {
    let submit = |page| {
        let path = format!("/page/{page}");
        let fetch = manager
            .task(async move |cx, connection| Ok((cx.attempt(), connection.get(&path).await?)));
        fetch.name("page").submit()
    };
    let handles: Vec<_> = (0..pages.count).map(submit).collect();
    let mut outcomes = Vec::new();
    for handle in handles {
        outcomes.push(handle.await);
        page.bar().inc(1);
        if outcomes.len() == pages.count as usize / 4 {
            page.line(format_args!("A quarter is fetched. {}", manager.explain()));
        }
    }
    outcomes
}

/// Fetches the news in the middle of the bulk, one after the other. An awaited task borrows from its caller.
async fn news(manager: &Manager) -> (Vec<Outcome<()>>, Vec<Bytes>) {
    let mut outcomes = Vec::new();
    let mut texts = Vec::new();
    for number in 0..NEWS {
        let path = format!("/news/{number}");
        let fetch = manager.task(async |_, connection| {
            texts.push(connection.get(&path).await?);
            Ok(())
        });
        outcomes.push(fetch.name(URGENT).priority(Priority::High).await);
    }
    (outcomes, texts)
}

/// Asks for a sign of life, which is worth nothing if it comes late.
async fn health(manager: &Manager) -> Outcome<Bytes> {
    manager.run_task(async |_, connection| connection.get("/health").await).await
}

/// Asks for what never comes. The manager ends the attempt, and the connection with it.
async fn hanging(manager: &Manager) -> Outcome<Bytes> {
    let fetch = manager.task(async |_, connection| connection.get("/endless").await);
    fetch.name("hanging").priority(Priority::High).timeout(LIMIT).await
}

/// Asks for something that is only wanted soon.
async fn offer(manager: &Manager) -> Outcome<Bytes> {
    let fetch = manager.task(async move |_, connection| connection.get("/news/0").await);
    fetch.name("offer").priority(Priority::Low).start_within(FRESH).submit().await
}

/// Asks for what never comes, and goes away: dropping the future of a task cancels it.
async fn given_up(manager: &Manager) -> Outcome<Bytes> {
    let fetch = manager.task(async |_, connection| connection.get("/endless").await);
    timeout(PATIENCE, fetch.name("given up").priority(Priority::High))
        .await
        .unwrap_or(Err(TaskError::Cancelled)) // there is nobody to be told
}

//! The routes, and the two managers that do their work.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::{QueryRejection, StringRejection};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use serde::Deserialize;
use tasker::{
    BuildError, CancelOnDrop, Config, Priority, Task, TaskError, TaskManager, TaskStats, Work,
};

use crate::answer::Refusal;
use crate::args::Args;
use crate::fault::Fault;
use crate::primes::{Range, Sieve};
use crate::store::Store;

/// How long a client waits for a worker before it is sent away.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// How long a statement may take.
const STATEMENT: Duration = Duration::from_secs(2);
/// Statements that may wait. Many more than counts, since each takes well below a millisecond.
const STATEMENTS: usize = 1024;
/// Connections that are always open, and how many there may be.
const CONNECTIONS: [usize; 2] = [2, 4];

/// How long a body may be, in bytes.
const BYTES: usize = 16 * 1024;
/// Lines of history that one GET may ask for.
const HISTORY: u32 = 1_000;

const HOW_TO_ASK: &str = "ask as in /primes?from=0&to=1000000";

/// The managers. Clones share them, as axum's state has to.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) counters: TaskManager<Sieve, Fault>,
    pub(crate) store: TaskManager<Store, Fault>,
    /// How many tasks one request may hand in: more than the queue takes would never all find room.
    lines: usize,
    limit: Duration,
}

impl Service {
    /// Blocks until every worker has its resource.
    pub(crate) fn new(args: &Args, file: &Path) -> Result<Self, BuildError<Fault>> {
        let mut counters = Config::new(|| Ok(Sieve::new()))
            .check_health(Fault::is_healthy)
            .burst_interval(Duration::ZERO) // more workers than cores compute nothing sooner
            .resource_pool_size(0) // nothing here calls run_task
            .queue_capacity(args.queue)
            .thread_name("counter");
        if let Some(workers) = args.workers {
            counters = counters.worker_count(workers);
        }
        let file = file.to_owned();
        let store = Config::new(move || Store::open(&file))
            .on_destroy(Store::close)
            .check_health(Fault::is_healthy)
            .worker_count(CONNECTIONS[0])
            .max_worker_count(CONNECTIONS[1])
            .resource_pool_size(0)
            .queue_capacity(STATEMENTS)
            .thread_name("store");
        Ok(Self {
            counters: TaskManager::new(counters)?,
            store: TaskManager::new(store)?,
            lines: args.queue,
            limit: args.limit,
        })
    }
}

/// All routes.
pub(crate) fn router(service: Service) -> Router {
    Router::new()
        .route("/primes", get(primes).post(many_primes))
        .route("/history", get(history))
        .route("/health", get(health))
        .route("/stats", get(stats))
        .fallback(async || {
            Refusal::new(StatusCode::NOT_FOUND, "there are /primes, /history, /health and /stats")
        })
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "use GET, or POST for /primes")
        })
        .layer(DefaultBodyLimit::max(BYTES))
        .with_state(service)
}

/// Hands a task in on behalf of a client: at once or not at all, since the thread that would wait for room in
/// the queue serves everybody. axum drops a handler when its client goes away, and the task goes with it:
/// it would wait and run for nobody.
fn ask<R, K>(task: Task<'_, R, Fault, K>) -> Result<CancelOnDrop<K::Output, Fault>, Refusal>
where
    R: 'static,
    K: Work<R, Fault> + Send + 'static,
    K::Output: Send + 'static,
{
    let submitted = task.start_within(PATIENCE).try_submit();
    let handle = submitted.map_err(|rejected| TaskError::from(rejected.reason()))?;
    Ok(handle.cancel_on_drop())
}

/// From the store if the range is there, else counted.
async fn primes(
    State(Service { counters, store, limit, .. }): State<Service>,
    range: Result<Query<Range>, QueryRejection>,
) -> Result<String, Refusal> {
    let range = match range {
        Ok(Query(range)) => range.check().map_err(bad)?,
        Err(rejection) => return Err(bad(format!("{}; {HOW_TO_ASK}", rejection.body_text()))),
    };
    let known = store.task(move |cx, store| store.known(cx, range)).name("look up");
    if let Some(primes) = ask(known.priority(Priority::High).timeout(STATEMENT))?.await? {
        return Ok(format!("{primes} primes {range} (remembered)\n"));
    }
    let count = counters.task(move |cx, sieve| sieve.count(cx, range)).name("count");
    let primes = ask(count.timeout(limit))?.await?;

    // A bare handle, because it detaches: what was counted is worth keeping even if the client goes away now.
    let remember = store.task(move |cx, store| store.remember(cx, range, primes)).name("remember");
    let remembered = match remember.timeout(STATEMENT).try_submit() {
        Ok(handle) => handle.await,
        Err(rejected) => Err(rejected.reason().into()),
    };
    Ok(match remembered {
        Ok(()) => format!("{primes} primes {range} (counted)\n"),
        Err(error) => format!("{primes} primes {range} (counted, but not remembered: {error})\n"),
    })
}

/// All lines or none: if the queue has no room for one of them, those before it are cancelled by their drop.
async fn many_primes(
    State(Service { counters, lines: most, limit, .. }): State<Service>,
    body: Result<String, StringRejection>,
) -> Result<String, Refusal> {
    let body = body.map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))?;
    let mut ranges = Vec::new();
    let lines = (1..).zip(body.lines()).filter(|(_, line)| !line.trim().is_empty());
    for (number, line) in lines {
        let range = read(line).and_then(Range::check);
        ranges.push(range.map_err(|problem| bad(format!("line {number}: {problem}")))?);
    }
    if ranges.is_empty() || ranges.len() > most {
        return Err(bad(format!(
            "send 1 to {most} lines such as `0 1000000`, not {}",
            ranges.len()
        )));
    }
    let mut counts = Vec::new();
    for range in ranges {
        let count = counters.task(move |cx, sieve| sieve.count(cx, range)).name("one of many");
        // Low, so that whoever asks for one range goes first.
        counts.push((range, ask(count.priority(Priority::Low).timeout(limit))?));
    }
    let mut text = String::new();
    for (range, count) in counts {
        let _ = writeln!(text, "{} primes {range}", count.await?);
    }
    Ok(text)
}

fn read(line: &str) -> Result<Range, String> {
    let numbers = line.split_once(char::is_whitespace).and_then(|(from, to)| {
        Some(Range { from: from.parse().ok()?, to: to.trim().parse().ok()? })
    });
    numbers.ok_or_else(|| format!("`{line}` must be two numbers such as `0 1000000`"))
}

#[derive(Debug, Deserialize)]
struct Lines {
    limit: Option<u32>,
}

async fn history(
    State(Service { store, .. }): State<Service>,
    lines: Result<Query<Lines>, QueryRejection>,
) -> Result<String, Refusal> {
    let limit = lines?.limit.unwrap_or(10);
    if limit > HISTORY {
        return Err(bad(format!("`limit` ({limit}) must not be more than {HISTORY}")));
    }
    let history = store.task(move |cx, store| store.history(cx, limit)).name("history");
    let mut text = String::new();
    for (range, primes) in ask(history.priority(Priority::Low).timeout(STATEMENT))?.await? {
        let _ = writeln!(text, "{primes} primes {range}");
    }
    Ok(text)
}

/// Goes through both queues, ahead of everything else, so that it fails when clients are about to.
async fn health(State(Service { counters, store, .. }): State<Service>) -> Result<String, Refusal> {
    let counter = counters.task(|_, _| Ok(())).name("health").priority(Priority::High);
    let store = store.task(|cx, store| store.ping(cx)).name("health").priority(Priority::High);
    let (counter, store) = (ask(counter)?, ask(store.timeout(STATEMENT))?);
    counter.await?;
    store.await?;
    Ok("ok\n".to_owned())
}

/// Looks from outside: it waits for no worker, however busy they are.
async fn stats(State(Service { counters, store, .. }): State<Service>) -> String {
    let counters = described("counters", &counters.stats(), &counters.explain().to_string());
    counters + &described("store", &store.stats(), &store.explain().to_string())
}

fn described(name: &str, stats: &TaskStats, why: &str) -> String {
    format!(
        "{name}: {} running, {} waiting and {} more at high priority, {} workers of which {} are idle\n{}\n",
        stats.running_tasks,
        stats.queued_tasks,
        stats.priority_tasks,
        stats.active_workers,
        stats.idle_workers,
        why,
    )
}

fn bad(problem: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, problem)
}

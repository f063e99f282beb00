//! The second half: many readers answer the user's queries beside a load of background queries.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use tasker::{BuildError, CancelToken, Config, Event, Observer};
use tasker::{Priority, TaskError, TaskHandle, TaskManager};

use crate::clock;
use crate::database::{Found, Reader, SearchError};

/// Workers that are always there, and what a burst may add to them.
pub(crate) const WORKERS: usize = 2;
pub(crate) const MAX_WORKERS: usize = 8;
/// The load is over in a second or so: look at it often enough to answer it with more workers.
const BURST_INTERVAL: Duration = Duration::from_millis(10);
/// Background queries that wait at a time: a backlog worth a burst, and little to finish after
/// Ctrl-C.
const BACKLOG: usize = 256;
/// Letters of a background query that asks for all words that begin so.
pub(crate) const PREFIX: u32 = 3;

/// The longest time that is told apart, in nanoseconds.
const HOUR: u64 = 3_600_000_000_000;

/// What is to be asked.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The user's queries, at high priority.
    pub(crate) queries: Vec<String>,
    /// The background queries, at normal priority.
    pub(crate) load: Vec<String>,
    /// Hits wanted for each query.
    pub(crate) hits: u32,
    /// Connections to close on the way.
    pub(crate) sabotage: u32,
}

/// An answer and how long it took.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) found: Found,
    /// From the submission to the start of the attempt that answered.
    pub(crate) wait: Duration,
    /// That attempt.
    pub(crate) run: Duration,
}

/// How a query ended.
pub(crate) type Outcome = Result<Answer, TaskError<SearchError>>;

/// Wait and run times of the queries of one priority, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Times {
    pub(crate) wait: Histogram<u64>,
    pub(crate) run: Histogram<u64>,
}

/// What searching came to.
#[derive(Debug)]
pub(crate) struct Searched {
    pub(crate) high: Times,
    pub(crate) normal: Times,
    pub(crate) planned: u64,
    /// Queries that were submitted and failed, with what the first of them said.
    pub(crate) failed: u64,
    pub(crate) complaint: Option<String>,
    /// Connections that were closed under their workers' feet. Those that no later task came upon
    /// have caused no retry.
    pub(crate) sabotaged: u64,
    pub(crate) took: Duration,
}

/// The most workers there were at a time.
#[derive(Debug, Clone)]
pub(crate) struct Peak(Arc<AtomicUsize>);

impl Peak {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(WORKERS)))
    }

    pub(crate) fn workers(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Observer for Peak {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::Scaled { to, .. } = event {
            self.0.fetch_max(*to, Ordering::Relaxed);
        }
    }
}

/// A manager with a connection for each worker, and more workers while there is a backlog.
pub(crate) fn readers(
    file: &Path,
    sabotage: u32,
    peak: &Peak,
) -> Result<TaskManager<Reader, SearchError>, BuildError<SearchError>> {
    let file = file.to_owned();
    TaskManager::new(
        Config::new(move || Reader::open(&file))
            .on_destroy(Reader::close)
            .check_health(SearchError::is_healthy)
            .worker_count(WORKERS)
            .max_worker_count(MAX_WORKERS)
            .burst_interval(BURST_INTERVAL)
            // A closed connection fails one attempt and is replaced, so this many retries suffice
            // for the unluckiest query.
            .max_retries(sabotage.max(3))
            .resource_pool_size(0) // nothing here calls run_task
            .observer(peak.clone())
            .thread_name("reader"),
    )
}

/// Asks everything that is planned, or as much as comes before `stop`, and waits for all answers.
/// `show` gets the user's in their order, each as soon as it is there.
pub(crate) fn search(
    readers: &TaskManager<Reader, SearchError>,
    plan: &Plan,
    stop: &CancelToken,
    bar: &ProgressBar,
    mut show: impl FnMut(&str, &Outcome),
) -> Searched {
    let began = clock::now();
    let mut searched = Searched::new(plan);
    bar.set_length(searched.planned);
    let mut queries = plan.queries.iter();
    let mut high = VecDeque::new();
    let mut normal: VecDeque<TaskHandle<_, _>> = VecDeque::new();
    let mut saboteurs = Vec::new();

    let rounds = plan.load.len().max(1);
    let mut load = plan.load.iter();
    for round in 0..rounds {
        if stop.is_cancelled() {
            break;
        }
        if normal.len() >= BACKLOG
            && let Some(oldest) = normal.pop_front()
        {
            searched.count(Priority::Normal, &oldest.wait(), bar);
        }
        normal.extend(load.next().map(|query| ask(readers, query, plan.hits, Priority::Normal)));
        for _ in 0..due(plan.sabotage as usize, round, rounds) {
            let sabotage = readers.task(|_, reader: &mut Reader| reader.sabotage());
            saboteurs.push(sabotage.name("sabotage").submit());
        }
        // The user's queries come early, but not before there is a backlog to overtake.
        let due = due(plan.queries.len(), round, rounds.min(4 * BACKLOG));
        for query in queries.by_ref().take(due) {
            high.push_back((query, ask(readers, query, plan.hits, Priority::High)));
        }
        while let Some((query, answer)) = high.pop_front_if(|(_, answer)| answer.is_finished()) {
            let answer = answer.wait();
            searched.count(Priority::High, &answer, bar);
            show(query, &answer);
        }
    }
    for (query, answer) in high {
        let answer = answer.wait();
        searched.count(Priority::High, &answer, bar);
        show(query, &answer);
    }
    for query in normal {
        searched.count(Priority::Normal, &query.wait(), bar);
    }
    searched.took = clock::now() - began;
    searched.sabotaged =
        saboteurs.into_iter().map(TaskHandle::wait).filter(Result::is_ok).count() as u64;
    searched
}

/// Submits one query. It notes its own times, since the manager's metrics are of all priorities
/// together.
fn ask(
    readers: &TaskManager<Reader, SearchError>,
    query: &str,
    hits: u32,
    priority: Priority,
) -> TaskHandle<Answer, SearchError> {
    let name = if priority == Priority::High {
        format!("query {query}")
    } else {
        "background query".to_owned()
    };
    let query = query.to_owned();
    let queued = clock::now();
    readers
        .task(move |_, reader: &mut Reader| {
            let started = clock::now();
            let found = reader.search(&query, hits)?;
            Ok(Answer { found, wait: started - queued, run: clock::now() - started })
        })
        .priority(priority)
        .name(name)
        .submit()
}

/// How many of `count` things are due in a round, when they are spread evenly over the first
/// `rounds`: a single one comes in the middle.
fn due(count: usize, round: usize, rounds: usize) -> usize {
    let before = |round: usize| (2 * count * round.min(rounds) + rounds - 1) / (2 * rounds);
    before(round + 1) - before(round)
}

impl Searched {
    fn new(plan: &Plan) -> Self {
        Self {
            high: Times::new(),
            normal: Times::new(),
            planned: (plan.queries.len() + plan.load.len()) as u64,
            failed: 0,
            complaint: None,
            sabotaged: 0,
            took: Duration::ZERO,
        }
    }

    /// Queries that have their answer.
    pub(crate) fn answered(&self) -> u64 {
        self.high.run.len() + self.normal.run.len()
    }

    fn count(&mut self, priority: Priority, outcome: &Outcome, bar: &ProgressBar) {
        match outcome {
            Ok(answer) if priority == Priority::High => self.high.record(answer),
            Ok(answer) => self.normal.record(answer),
            Err(error) => {
                self.failed += 1;
                self.complaint.get_or_insert_with(|| error.to_string());
            }
        }
        bar.inc(1);
    }
}

impl Times {
    fn new() -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, HOUR, 3).expect("the bounds are constant and in order")
        };
        Self { wait: histogram(), run: histogram() }
    }

    fn record(&mut self, answer: &Answer) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.wait.saturating_record(nanos(answer.wait));
        self.run.saturating_record(nanos(answer.run));
    }
}

/// Background queries made of `words`, which are ASCII and have [`PREFIX`] letters or more: single
/// words, prefixes, pairs, and either of two. None without words.
pub(crate) fn load(words: &[String], count: u32) -> Vec<String> {
    if words.is_empty() {
        return Vec::new();
    }
    let mut random = fastrand::Rng::with_seed(0); // the same load in every run
    let mut word = || words[random.usize(..words.len())].as_str();
    (0..count)
        .map(|n| match n % 4 {
            0 => format!("\"{}\"", word()),
            1 => format!("\"{}\" *", &word()[..PREFIX as usize]),
            2 => format!("\"{}\" \"{}\"", word(), word()),
            _ => format!("\"{}\" OR \"{}\"", word(), word()),
        })
        .collect()
}

//! The service under its own eyes: dozens of requests over real sockets, each checked, and a stop in between.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tasker::{CancelToken, ShutdownReport};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::args::Args;
use crate::client::{self, Reply};
use crate::primes::END;
use crate::say;
use crate::service::{PATIENCE, Service};

/// Ranges that are asked for at the same time, their width, and the primes that they have together.
const RANGES: u64 = 40;
const WIDTH: u64 = 50_000;
const PRIMES: u64 = 148_933;

/// Requests beyond the room in the queue.
const TOO_MANY: usize = 5;

/// How long whatever the demo waits for may take.
const SOON: Duration = Duration::from_secs(5);

/// How long the request that is inside during the stop is to take.
const LONG: f64 = 0.7;

const NOT_UNDERSTOOD: [&str; 4] = [
    "/primes?from=10",
    "/primes?from=ten&to=20",
    "/primes?from=20&to=10",
    "/primes?from=0&to=9999999999999",
];

/// What does not hold, or what could not be seen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("{0}")]
    Claim(String),
    #[error("a request was not answered: {0}")]
    Lost(#[from] io::Error),
}

/// The ends of the counters' tasks as their clients have seen them.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    completed: u64,
    timed_out: u64,
    went_away: u64,
    expired: u64,
}

impl Tally {
    /// Whether the manager has seen the same.
    pub(crate) fn compare(&self, report: &ShutdownReport) -> Result<(), Broken> {
        let seen = [self.completed, self.timed_out, self.went_away, self.expired];
        let told = [report.completed, report.failed, report.cancelled, report.dropped];
        claim(seen == told, || {
            format!(
                "[completed, failed, cancelled, dropped]: clients saw {seen:?}, the report says {told:?}"
            )
        })
    }
}

fn claim(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken::Claim(otherwise())) }
}

fn title(title: fmt::Arguments<'_>) {
    say(format_args!("\n{title}"));
}

/// Sends everything and stops the service, with a request inside.
pub(crate) async fn run(
    server: SocketAddr,
    args: &Args,
    service: &Service,
    stop: &CancelToken,
) -> Result<Tally, Broken> {
    let demo = Demo { server, service };
    let mut tally = Tally::default();
    demo.health(&mut tally).await?;
    demo.ranges(&mut tally).await?;
    demo.many(&mut tally).await?;
    demo.mistakes().await?;
    demo.gone(&mut tally).await?;
    demo.overload(args, &mut tally).await?;
    demo.stop(stop, &mut tally).await?;
    Ok(tally)
}

struct Demo<'a> {
    server: SocketAddr,
    service: &'a Service,
}

impl Demo<'_> {
    async fn health(&self, tally: &mut Tally) -> Result<(), Broken> {
        title(format_args!("GET /health"));
        let reply = client::get(self.server, "/health").await?;
        show(&reply);
        expect(&reply, 200)?;
        tally.completed += 1;
        Ok(())
    }

    async fn ranges(&self, tally: &mut Tally) -> Result<(), Broken> {
        title(format_args!("{RANGES} times GET /primes at the same time, and the same once more"));
        for how in ["(counted)", "(remembered)"] {
            let mut requests = JoinSet::new();
            for from in (0..RANGES).map(|at| at * WIDTH) {
                let path = format!("/primes?from={from}&to={}", from + WIDTH);
                requests.spawn(get(self.server, path));
            }
            let mut found = 0;
            for reply in requests.join_all().await {
                let reply = reply?;
                expect(&reply, 200)?;
                claim(reply.body.contains(how), || format!("not {how}: {}", reply.body))?;
                found += number(&reply.body)?;
            }
            claim(found == PRIMES, || format!("there are {PRIMES} primes, not {found}"))?;
            say(format_args!("  200 {found} primes in all {how}"));
        }
        tally.completed += RANGES;
        Ok(())
    }

    async fn many(&self, tally: &mut Tally) -> Result<(), Broken> {
        title(format_args!("POST /primes with two lines, at low priority"));
        let reply = client::post(self.server, "/primes", "0 100\n0 1000000").await?;
        show(&reply);
        expect(&reply, 200)?;
        tally.completed += 2;
        claim(
            reply.body == "25 primes from 0 up to 100\n78498 primes from 0 up to 1000000\n",
            || "these are not the primes below 100 and 1000000".to_owned(),
        )
    }

    async fn mistakes(&self) -> Result<(), Broken> {
        title(format_args!("Requests that cannot be understood"));
        for path in NOT_UNDERSTOOD {
            let reply = client::get(self.server, path).await?;
            show(&reply);
            expect(&reply, 400)?;
        }
        Ok(())
    }

    async fn gone(&self, tally: &mut Tally) -> Result<(), Broken> {
        title(format_args!("A client that goes away"));
        let connection = client::send(self.server, "GET", &endless(1), "").await?;
        self.counting(1).await?;
        drop(connection);
        self.counting(0).await?;
        say(format_args!("  its count was cancelled"));
        tally.went_away += 1;
        Ok(())
    }

    async fn overload(&self, args: &Args, tally: &mut Tally) -> Result<(), Broken> {
        let Args { queue, limit, .. } = args;
        title(format_args!(
            "A count that takes too long ({limit:?}), and {} requests for the {queue} places in the queue",
            queue + TOO_MANY
        ));
        let slow = tokio::spawn(get(self.server, endless(2)));
        self.counting(1).await?;
        // Makes the overload the same on every machine: nothing leaves the queue but by the clock.
        self.service.counters.pause();
        let mut requests = JoinSet::new();
        for at in 0..queue + TOO_MANY {
            requests.spawn(get(self.server, format!("/primes?from={at}&to={END}")));
        }
        let replies = requests.join_all().await;
        self.service.counters.resume();

        let (mut full, mut expired) = (Vec::new(), Vec::new());
        for reply in replies {
            let reply = reply?;
            expect(&reply, 503)?;
            claim(reply.header("retry-after").is_some(), || {
                "a 503 without Retry-After".to_owned()
            })?;
            if reply.body.contains("full") { full.push(reply) } else { expired.push(reply) }
        }
        for (replies, when) in
            [(&full, "at once".to_owned()), (&expired, format!("after {PATIENCE:?}"))]
        {
            let text = replies.first().map_or("none", |reply| reply.body.trim());
            say(format_args!("  503 {text} ({} times, {when})", replies.len()));
        }
        claim(full.len() == TOO_MANY, || format!("{TOO_MANY} are too many, not {}", full.len()))?;
        tally.expired += expired.len() as u64;

        let reply = slow.await.map_err(io::Error::other)??;
        show(&reply);
        expect(&reply, 504)?;
        tally.timed_out += 1;
        Ok(())
    }

    async fn stop(&self, stop: &CancelToken, tally: &mut Tally) -> Result<(), Broken> {
        let paced = self.paced().await?;
        tally.completed += 1;
        title(format_args!("GET /primes?from=1&to={paced}, and a stop before it is answered"));
        self.counting(0).await?; // so that the one that runs next is the one that is sent now
        let inside = tokio::spawn(get(self.server, format!("/primes?from=1&to={paced}")));
        self.counting(1).await?;
        let stats = client::get(self.server, "/stats").await?;
        say(format_args!("  {}", stats.body.trim().replace('\n', "\n  ")));
        let running = self.service.counters.stats().running_tasks;
        stop.cancel(); // as Ctrl-C does
        claim(running == 1, || "the count had ended before the stop began".to_owned())?;

        let closed = async { while client::get(self.server, "/nowhere").await.is_ok() {} };
        timeout(SOON, closed)
            .await
            .map_err(|_| Broken::Claim("the door is still open".to_owned()))?;
        say(format_args!("  one more request finds the door closed"));

        let reply = inside.await.map_err(io::Error::other)??;
        show(&reply);
        expect(&reply, 200)?;
        tally.completed += 1;
        say(format_args!(""));
        Ok(())
    }

    /// The end of a range that takes about as long as [`LONG`] says, on this machine and in this build.
    async fn paced(&self) -> Result<u64, Broken> {
        let numbers = 5 * RANGES * WIDTH;
        let began = Instant::now();
        let reply = client::get(self.server, &format!("/primes?from=0&to={numbers}")).await?;
        expect(&reply, 200)?;
        let pace = numbers as f64 / began.elapsed().as_secs_f64();
        Ok((pace * LONG) as u64)
    }

    /// Waits until so many counts run.
    async fn counting(&self, counts: usize) -> Result<(), Broken> {
        let running = || self.service.counters.stats().running_tasks;
        let reached = async {
            while running() != counts {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let late = |_| Broken::Claim(format!("{} counts run, not {counts}", running()));
        timeout(SOON, reached).await.map_err(late)
    }
}

/// As [`client::get`], for a task of its own.
async fn get(server: SocketAddr, path: String) -> io::Result<Reply> {
    client::get(server, &path).await
}

/// Nobody waits for the end of this one. Each `from` is another range, which the store does not know.
fn endless(from: u64) -> String {
    format!("/primes?from={from}&to={END}")
}

fn number(body: &str) -> Result<u64, Broken> {
    let number = body.split(' ').next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| Broken::Claim(format!("no number: {body}")))
}

fn show(reply: &Reply) {
    for line in reply.body.lines() {
        say(format_args!("  {} {line}", reply.status));
    }
}

fn expect(reply: &Reply, status: u16) -> Result<(), Broken> {
    claim(reply.status == status, || {
        format!("{status} was due, not {}: {}", reply.status, reply.body)
    })
}

//! All of an async manager's time is its runtime's: in a test that pauses it, nothing takes any.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tasker::autoscale::{Load, Plan, ScalingPolicy};
use tasker::{Backoff, DestroyReason, Event, Observer, Owner, TaskContext, TaskError};
use tokio::time::{Instant, sleep};

use super::stage::{Manager, build, config, end, manager, occupy, paused, settle, since};
use crate::support::{Fault, Kit, Res};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
/// Tokio's timers tell milliseconds apart, and no more.
const TICK: Duration = Duration::from_millis(1);

/// When resources came and went, from the making of the diary on.
#[derive(Clone)]
struct Diary(Instant, Arc<Mutex<Vec<Entry>>>);

type Entry = (Duration, Owner, Option<DestroyReason>);

impl Diary {
    fn new() -> Self {
        Self(Instant::now(), Arc::default())
    }

    /// When resources were made.
    fn made(&self) -> Vec<Duration> {
        self.1
            .lock()
            .unwrap()
            .iter()
            .filter(|(.., gone)| gone.is_none())
            .map(|(at, ..)| *at)
            .collect()
    }

    /// When resources went for `reason`.
    fn gone(&self, reason: DestroyReason) -> Vec<Duration> {
        let entries = self.1.lock().unwrap();
        entries.iter().filter(|(.., gone)| *gone == Some(reason)).map(|(at, ..)| *at).collect()
    }
}

impl Observer for Diary {
    fn on_event(&self, event: &Event<'_>) {
        let entry = match event {
            Event::ResourceCreated { owner, .. } => (since(self.0), *owner, None),
            Event::ResourceDestroyed { owner, reason, .. } => {
                (since(self.0), *owner, Some(*reason))
            }
            _ => return,
        };
        self.1.lock().unwrap().push(entry);
    }
}

/// Says what it is told to say, and notes when it is asked.
#[derive(Clone)]
struct Metronome(Arc<Mutex<Vec<Duration>>>, Arc<AtomicUsize>, Instant);

impl Metronome {
    fn new() -> Self {
        Self(Arc::default(), Arc::default(), Instant::now())
    }

    fn asked(&self) -> Vec<Duration> {
        self.0.lock().unwrap().clone()
    }

    fn say(&self, workers: usize) {
        self.1.store(workers, Ordering::SeqCst);
    }
}

impl ScalingPolicy for Metronome {
    fn plan(&mut self, load: &Load, now: std::time::Instant) -> Plan {
        assert_eq!(now, Instant::now().into_std(), "it is asked in the runtime's time");
        self.0.lock().unwrap().push(since(self.2));
        match self.1.load(Ordering::SeqCst) {
            0 => Plan::hold(load, "as it is"),
            workers => Plan::new(workers, "as it is told"),
        }
    }
}

fn near(time: Duration, exact: Duration) -> bool {
    (exact..=exact + TICK).contains(&time)
}

// Promise 6.
#[test]
fn a_retry_waits_for_its_backoff() {
    paused(|| async {
        let kit = Kit::new();
        let backoff = Backoff::exponential(SECOND, HOUR);
        let manager = build(config(&kit, 2).retry_backoff(backoff).max_retries(5)).await;
        let mut begun = Vec::new();
        let outcome = manager.queue_task(async |_, _| {
            begun.push(Instant::now());
            Err::<(), _>(Fault::Sick)
        });
        assert!(matches!(outcome.await, Err(TaskError::RetriesExhausted { attempts: 6, .. })));
        let mut nominal = SECOND;
        for pair in begun.windows(2) {
            let waited = pair[1].duration_since(pair[0]);
            let jittered = nominal / 2..=nominal + TICK;
            assert!(jittered.contains(&waited), "{waited:?} of {jittered:?}");
            nominal *= 2;
        }
        end(&manager, &kit).await;
    });
}

#[test]
fn a_timeout_and_a_start_within_pass_in_the_runtimes_time() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let start = Instant::now();
        let late = manager.task(async |_, _| Ok(sleep(HOUR).await)).timeout(SECOND * 7);
        assert!(matches!(late.await, Err(TaskError::TimedOut)));
        assert_eq!(since(start), SECOND * 7);

        let (valve, busy) = occupy(&manager, 1).await;
        let start = Instant::now();
        let awaited = manager.task(async |_, _| Ok(())).start_within(SECOND * 3);
        let submitted = manager.task(async move |_: &TaskContext, _: &mut Res| Ok(()));
        let submitted = submitted.start_within(SECOND * 5).submit();
        assert!(matches!(awaited.await, Err(TaskError::Expired)));
        assert_eq!(since(start), SECOND * 3);
        assert!(matches!(submitted.await, Err(TaskError::Expired)));
        assert_eq!(since(start), SECOND * 5);
        let in_time = manager.task(async |_, _| Ok(())).start_within(SECOND);
        valve.open();
        in_time.await.unwrap();
        for handle in busy {
            handle.await.unwrap();
        }
        end(&manager, &kit).await;
    });
}

// Promise 9: from 10 ms to 30 s, jittered over the upper half.
#[test]
fn a_worker_without_a_resource_tries_again_later_and_later() {
    paused(|| async {
        let kit = Kit::new();
        let manager = build(config(&kit, 1).max_retries(1)).await;
        let begun = Instant::now();
        kit.fail_next_creates(16);
        let mut tried = 0;
        manager
            .queue_task(async |_, _| {
                tried += 1;
                if tried == 1 { Err(Fault::Sick) } else { Ok(()) }
            })
            .await
            .expect("a resource comes in the end");
        let took = since(begun);
        let nominal: Duration = (0..16)
            .map(|failed| (Duration::from_millis(10) * (1 << failed)).min(SECOND * 30))
            .sum();
        let jittered = nominal / 2..=nominal + TICK * 16;
        assert!(jittered.contains(&took), "{took:?} of {jittered:?}");
        assert_eq!(kit.counts().failures, 16);
        end(&manager, &kit).await;
    });
}

#[test]
fn a_policy_is_asked_once_an_interval() {
    paused(|| async {
        let (kit, policy) = (Kit::new(), Metronome::new());
        let config = config(&kit, 1).max_worker_count(3).burst_interval(SECOND);
        let manager = build(config.scaling(policy.clone())).await;
        sleep(HOUR).await;
        assert_eq!(policy.asked(), [], "nobody asks while there is nothing to scale");
        let (valve, busy) = occupy(&manager, 1).await;
        policy.say(3);
        manager.queue_task(async |_, _| Ok(())).await.expect("on a burst worker");
        policy.say(0);
        let first = policy.asked()[0];
        assert!(near(first, HOUR), "at once: {first:?}");
        settle().await;
        let before = policy.asked().len();
        sleep(SECOND * 10).await; // two may be too many all the time
        let asked = policy.asked();
        assert_eq!(asked.len() - before, 10, "{asked:?}");
        for pair in asked[before..].windows(2) {
            assert!(near(pair[1] - pair[0], SECOND), "{asked:?}");
        }
        valve.open();
        for handle in busy {
            handle.await.unwrap();
        }
        policy.say(1);
        sleep(SECOND + TICK).await;
        settle().await;
        assert_eq!(manager.stats().active_workers, 1);
        let before = policy.asked().len();
        sleep(HOUR).await;
        assert!(policy.asked().len() <= before + 1, "nothing is left to scale");
        end(&manager, &kit).await;
    });
}

#[test]
fn what_is_idle_for_too_long_goes() {
    paused(|| async {
        let (kit, diary, policy) = (Kit::new(), Diary::new(), Metronome::new());
        let config = config(&kit, 1).max_worker_count(2).burst_interval(SECOND);
        let config = config.resource_pool_size(2).idle_timeout(SECOND * 60);
        let manager = build(config.scaling(policy.clone()).observer(diary.clone())).await;
        let (valve, busy) = occupy(&manager, 1).await;
        policy.say(2);
        manager.queue_task(async |_, _| Ok(())).await.expect("on a burst worker");
        policy.say(0);
        settle().await;
        sleep(SECOND * 59).await;
        assert_eq!(diary.gone(DestroyReason::Idle), []);
        sleep(SECOND * 3).await;
        let gone = diary.gone(DestroyReason::Idle);
        assert_eq!(gone.len(), 3, "the burst worker's and the pooled ones: {gone:?}");
        let range = SECOND * 60..=SECOND * 61 + TICK * 2;
        assert!(gone.iter().all(|at| range.contains(at)), "{gone:?}");
        valve.open();
        for handle in busy {
            handle.await.unwrap();
        }
        sleep(HOUR).await;
        assert_eq!(diary.gone(DestroyReason::Idle).len(), 3, "the base stays");
        end(&manager, &kit).await;
    });
}

#[test]
fn a_resource_is_replaced_before_its_lifetime_is_over() {
    paused(|| async {
        let (kit, diary) = (Kit::new(), Diary::new());
        let config = config(&kit, 3).max_lifetime(SECOND * 1000).resource_pool_size(1);
        let manager = build(config.observer(diary.clone())).await;
        sleep(SECOND * 849).await;
        assert_eq!(diary.gone(DestroyReason::Expired), []);
        sleep(SECOND * 102).await;
        let gone = diary.gone(DestroyReason::Expired);
        let workers = gone.iter().filter(|at| **at <= SECOND * 950 + TICK).count();
        assert!(workers >= 3, "{gone:?}");
        assert_eq!(manager.stats().idle_workers, 3);
        sleep(SECOND * 50).await;
        assert_eq!(diary.gone(DestroyReason::Expired).len(), 4);
        assert_eq!(diary.made().len(), 8);
        end(&manager, &kit).await;
    });
}

#[test]
fn a_resource_is_validated_when_it_was_idle_for_long_enough() {
    paused(|| async {
        let (kit, asked) = (Kit::new(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        let config = config(&kit, 1).resource_pool_size(1).validate(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Box::pin(async {
                sleep(SECOND).await;
                true
            })
        });
        let manager = build(config.validate_after(SECOND * 10)).await;
        let run = async |manager: &Manager, validations: usize, takes: Duration| {
            for urgent in [false, true] {
                let (start, before) = (Instant::now(), asked.load(Ordering::SeqCst));
                match urgent {
                    false => manager.queue_task(async |_, _| Ok(())).await.unwrap(),
                    true => manager.run_task(async |_, _| Ok(())).await.unwrap(),
                }
                let validated = asked.load(Ordering::SeqCst) - before;
                assert_eq!((validated, since(start)), (validations, takes), "{urgent}");
            }
        };
        run(&manager, 0, Duration::ZERO).await;
        sleep(SECOND * 10 - TICK).await;
        run(&manager, 0, Duration::ZERO).await;
        sleep(SECOND * 10).await;
        run(&manager, 1, SECOND).await;
        run(&manager, 0, Duration::ZERO).await;
        end(&manager, &kit).await;
    });
}

// Promises 10 and 11, with limits.
#[test]
fn a_bounded_stop_waits_in_the_runtimes_time() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        let slow = manager.task(async move |_: &TaskContext, _: &mut Res| Ok(sleep(HOUR).await));
        let slow = slow.submit();
        settle().await;
        let start = Instant::now();
        let report = manager.stop_within(SECOND * 100).await.unwrap();
        assert!(near(since(start), SECOND * 100), "{:?}", since(start));
        assert!(near(report.took, SECOND * 100), "{report}");
        assert!(matches!(slow.await, Err(TaskError::Cancelled)));
        kit.assert_all_destroyed_once();
    });
}

// What times tell is the runtime's time as well.
#[test]
fn metrics_and_reports_are_in_the_runtimes_time() {
    paused(|| async {
        let (manager, kit) = manager(1).await;
        manager.queue_task(async |_, _| Ok(sleep(SECOND * 100).await)).await.unwrap();
        let metrics = manager.metrics();
        assert_eq!(metrics.max_execution_time.as_secs(), 100, "{metrics:?}");
        let (valve, busy) = occupy(&manager, 1).await;
        let waits = manager.task(async move |_: &TaskContext, _: &mut Res| Ok(())).submit();
        sleep(SECOND * 50).await;
        valve.open();
        waits.await.unwrap();
        for handle in busy {
            handle.await.unwrap();
        }
        assert_eq!(manager.metrics().max_wait_time.as_secs(), 50);
        end(&manager, &kit).await;
    });
}

//! Promise 6: an unhealthy error replaces the resource and lets the task run again, as often as it may.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{Backoff, Config, Overflow, Priority, TaskError, TaskManager};

use crate::support::{
    Busy, Door, Fault, Gate, Kit, LIMIT, Recorder, Reluctant, What, assert_complete, eventually,
    on_every_door, on_every_manager, pass, within,
};

// Promise 6: the second attempt finds another resource.
#[test]
fn an_unhealthy_error_runs_the_task_again_on_another_resource() {
    on_every_door(|kind, door| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let (send, attempts) = channel();
        let value = door.send(&manager, move |cx, res| {
            send.send((cx.attempt(), res.id())).unwrap();
            if cx.attempt() < 3 { Err(Fault::Sick) } else { Ok("well") }
        });
        assert_eq!(value.unwrap(), "well");
        assert_eq!(attempts.iter().collect::<Vec<_>>(), [(1, 1), (2, 2), (3, 3)]);
        assert_eq!(manager.metrics().total_tasks_retried, 2);
        let report = manager.stop().unwrap();
        assert_eq!((report.accepted, report.completed), (1, 1));
        assert_complete(&report);
        kit.assert_all_destroyed_once();
    });
}

// Promise 6: `max_retries + 1` attempts, then the last error with the number of them.
#[test]
fn a_task_that_stays_unhealthy_runs_max_retries_plus_one_times() {
    on_every_door(|kind, door| {
        for max_retries in [0, 1, 4] {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1).max_retries(max_retries));
            let (send, attempts) = channel();
            let ended = door.send(&manager, move |cx, _| {
                send.send(cx.attempt()).unwrap();
                Err::<(), _>(Fault::Sick)
            });
            let Err(TaskError::RetriesExhausted { attempts: told, source: Fault::Sick }) = ended
            else {
                panic!("{ended:?}");
            };
            assert_eq!(told, max_retries + 1);
            let attempts: Vec<u32> = attempts.iter().collect();
            assert_eq!(attempts, (1..=max_retries + 1).collect::<Vec<_>>());
            // The last one condemned its resource, too.
            assert_eq!(door.send(&manager, |_, res| Ok(res.id())).unwrap(), u64::from(told) + 1);
            assert_complete(&manager.stop().unwrap());
        }
    });
}

// Promise 6: three retries, unless somebody says otherwise.
#[test]
fn a_task_is_retried_three_times_by_default() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let ended = manager.queue_task(|_, _| Err::<(), _>(Fault::Sick));
        assert!(matches!(ended, Err(TaskError::RetriesExhausted { attempts: 4, .. })), "{ended:?}");
        assert_eq!(ended.unwrap_err().to_string(), "max retries exceeded: sick resource");
    });
}

// Promise 6: as many sick resources as there are retries cost the task nothing but time.
#[test]
fn a_task_succeeds_in_its_last_attempt() {
    on_every_door(|kind, door| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1).max_retries(3));
        kit.sicken_next_uses(3);
        assert_eq!(door.send(&manager, |_, res| res.work()).unwrap(), 4);
    });
}

// Promise 6: a task may have its own number of retries.
#[test]
fn a_task_overrides_the_managers_number_of_retries() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1).max_retries(1));
        for (own, attempts) in [(0, 1), (1, 2), (5, 6)] {
            let sick = || manager.task(|_, _| Err::<(), _>(Fault::Sick)).max_retries(own);
            for ended in [sick().run(), sick().submit().wait()] {
                let Err(TaskError::RetriesExhausted { attempts: told, .. }) = ended else {
                    panic!("{ended:?}");
                };
                assert_eq!(told, attempts);
            }
        }
    });
}

// Promise 6: only unhealthy errors are retried, also on the way.
#[test]
fn a_healthy_error_ends_a_task_that_had_been_retried() {
    on_every_door(|kind, door| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let ended = door.send(&manager, |cx, _| match cx.attempt() {
            1 => Err::<(), _>(Fault::Sick),
            _ => Err(Fault::Own),
        });
        assert!(matches!(ended, Err(TaskError::Failed(Fault::Own))), "{ended:?}");
        assert_eq!(door.send(&manager, |_, res| Ok(res.id())).unwrap(), 2);
    });
}

// Promise 6: a retry needs no room.
#[test]
fn a_retry_is_queued_although_the_queue_is_full() {
    on_every_manager(|kind| {
        for overflow in [Overflow::Wait, Overflow::Reject, Overflow::DropOldest] {
            let kit = Kit::new();
            let manager = kind.build(kit.config(1).queue_capacity(1).overflow(overflow));
            let gate = Gate::new();
            let at_gate = gate.clone();
            let sick = manager.task(move |cx, _| {
                at_gate.wait();
                if cx.attempt() <= 3 { Err(Fault::Sick) } else { Ok(cx.attempt()) }
            });
            let sick = sick.submit();
            gate.await_arrivals(1);
            let filling = manager.task(|_, _| Ok(())).submit();
            assert!(
                manager.task(|_, _| Ok(())).try_submit().is_err()
                    == (overflow != Overflow::DropOldest)
            );
            gate.open();
            assert_eq!(sick.wait().unwrap(), 4);
            drop(filling);
            assert_complete(&manager.stop().unwrap());
        }
    });
}

// Promise 6: a retry cannot fail, so it cannot be evicted either.
#[test]
fn a_waiting_retry_is_never_evicted() {
    on_every_manager(|kind| {
        let (kit, slow) = (Kit::new(), Gate::new());
        let config = kit.config(1).queue_capacity(1).overflow(Overflow::DropOldest);
        let manager = kind.build(config);
        kit.block_creates(&slow);
        let retried =
            manager.task(|cx, _| if cx.attempt() == 1 { Err(Fault::Sick) } else { Ok(()) });
        let retried = retried.submit();
        slow.await_arrivals(1); // it stands in the High lane, and nobody can take it
        let high = || manager.task(|_, _| Ok(())).priority(Priority::High).submit();
        let (evicted, kept) = (high(), high());
        assert!(matches!(evicted.wait(), Err(TaskError::QueueFull)));
        slow.open();
        retried.wait().unwrap();
        kept.wait().unwrap();
        assert_complete(&manager.stop().unwrap());
    });
}

// Promise 6: with a backoff the retry waits for its time, and takes no worker meanwhile.
#[test]
fn a_retry_with_a_backoff_waits_for_its_time() {
    on_every_door(|kind, door| {
        let (clock, seen) = (ManualClock::new(), Recorder::new());
        let backoff = Backoff::fixed(Duration::from_secs(60));
        let config = Kit::new().config(1).retry_backoff(backoff).clock(clock.clone());
        let manager = kind.build(config.observer(seen.clone()));
        thread::scope(|scope| {
            let task = scope.spawn(|| {
                door.send(&manager, |cx, _| match cx.attempt() {
                    1 => Err(Fault::Sick),
                    attempt => Ok(attempt),
                })
            });
            seen.wait_for(1, |what| matches!(what, What::TaskRetried { .. }));
            let busy = Busy::with(&manager, 1); // the worker is free for others
            assert_eq!(manager.stats().delayed_tasks, 1);
            pass(&manager, &clock, Duration::from_secs(29));
            assert_eq!(manager.stats().delayed_tasks, 1, "not before half of the delay");
            pass(&manager, &clock, Duration::from_secs(31));
            let stats = manager.stats();
            assert_eq!((stats.delayed_tasks, stats.priority_tasks), (0, 1), "after all of it");
            busy.release();
            assert_eq!(task.join().unwrap().unwrap(), 2);
        });
    });
}

// Promise 6: delays are jittered over the upper half of the nominal one, which doubles up to its maximum.
#[test]
fn an_exponential_backoff_doubles_up_to_its_maximum() {
    on_every_door(|kind, door| {
        let ms = Duration::from_millis;
        let (clock, seen) = (ManualClock::new(), Recorder::new());
        let config = Kit::new()
            .config(1)
            .max_retries(5)
            .retry_backoff(Backoff::exponential(ms(100), ms(1000)))
            .clock(clock.clone());
        let manager = kind.build(config.observer(seen.clone()));
        thread::scope(|scope| {
            let task = scope.spawn(|| door.send(&manager, |_, _| Err::<(), _>(Fault::Sick)));
            for retries in 1..=5 {
                seen.wait_for(retries, |what| matches!(what, What::TaskRetried { .. }));
                clock.advance(ms(1000));
            }
            let ended = task.join().unwrap();
            assert!(matches!(ended, Err(TaskError::RetriesExhausted { attempts: 6, .. })));
        });
        let delays = seen.events().into_iter().filter_map(|event| match event.what {
            What::TaskRetried { attempt, delay, .. } => Some((attempt, delay)),
            _ => None,
        });
        let nominal = [100, 200, 400, 800, 1000].map(ms);
        for ((attempt, delay), (n, nominal)) in delays.zip((1..).zip(nominal)) {
            assert_eq!(attempt, n);
            assert!((nominal / 2..=nominal).contains(&delay), "{delay:?} of {nominal:?}");
        }
    });
}

// Promise 6: a manager whose workers all have something to replace loses no task.
#[test]
fn tasks_of_a_crowd_on_sick_resources_all_succeed_in_the_end() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(3).max_retries(2));
        let found = Arc::new(Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for caller in 0..6 {
                let (manager, found) = (&manager, Arc::clone(&found));
                scope.spawn(move || {
                    for n in 0..30 {
                        let door = Door::ALL[(caller + n) % 4];
                        let attempts = door.send(manager, move |cx, _| {
                            let well = cx.attempt() > (n % 3) as u32;
                            if well { Ok(cx.attempt()) } else { Err(Fault::Sick) }
                        });
                        found.lock().unwrap().push((n % 3, attempts.unwrap()));
                    }
                });
            }
        });
        for (sick, attempts) in found.lock().unwrap().iter() {
            assert_eq!(*attempts as usize, sick + 1);
        }
        let retries = 6 * 10 * (1 + 2);
        eventually("every worker is back", || manager.stats().idle_workers == 3);
        assert_complete(&manager.stop().unwrap());
        assert_eq!(manager.metrics().total_tasks_retried, retries);
        assert_eq!(kit.created(), 3 + retries);
        kit.assert_all_destroyed_once();
    });
}

// Promise 6 (and the metrics): whoever has the outcome of a second attempt finds the retry counted. The
// worker of the first attempt is held up in the drop of its error while the other one ends the task.
#[test]
fn a_retry_is_counted_before_its_task_can_end() {
    within(LIMIT, || {
        let config = || {
            Config::<(), Reluctant>::new(|| Ok(()))
                .check_health(|_| false)
                .worker_count(2)
                .max_worker_count(2)
        };
        for manager in [
            TaskManager::new(config()),
            TaskManager::new(config().lending(false)),
            TaskManager::new_local(config()),
        ] {
            let (manager, gate) = (manager.unwrap(), Gate::new());
            let held_up = gate.clone();
            let task = manager.task(move |cx, ()| match cx.attempt() {
                1 => Err(Reluctant(Some(held_up.clone()))),
                attempt => Ok(attempt),
            });
            let attempts = task.submit().wait();
            let retried = manager.metrics().total_tasks_retried;
            gate.open(); // in any case, so that a failure fails instead of hanging
            assert_eq!((attempts.unwrap(), retried), (2, 1));
        }
    });
}

//! What is known to be wrong in the reference: each of these tests fails where its behaviour is kept.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{Phase, Priority, TaskError};

use crate::support::{
    Busy, Door, Fault, Gate, Kit, LIMIT, Recorder, What, assert_complete, begin_stop, eventually,
    on_every_manager, pass, report_of,
};

// Promise 6 (reference: an unhealthy worker is never replaced): workers that have all turned out
// unhealthy, again and again, still work.
#[test]
fn unhealthy_workers_are_replaced_every_time() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(2).max_retries(0));
        for round in 1..=10 {
            let ended = manager.task(|_, _| Err::<(), _>(Fault::Sick)).submit().wait();
            assert!(matches!(ended, Err(TaskError::RetriesExhausted { .. })), "{ended:?}");
            eventually("the worker is back", || manager.stats().active_workers == 2);
            assert_eq!((kit.created(), kit.destroyed()), (2 + round, round));
        }
        let busy = Busy::with(&manager, 2); // both take tasks
        busy.release();
        assert_complete(&manager.stop().unwrap());
    });
}

// Promise 4 (reference: priority is a random `select`): a hundred urgent tasks pass a hundred others
// without one exception.
#[test]
fn priority_is_not_left_to_chance() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let (send, ran) = channel();
        for n in 0..200 {
            let send = send.clone();
            let priority = if n % 2 == 0 { Priority::Normal } else { Priority::High };
            let task = manager.task(move |cx, _| {
                send.send(cx.priority()).unwrap();
                Ok(())
            });
            drop(task.priority(priority).submit());
        }
        busy.release();
        let ran: Vec<_> = (0..200).map(|_| ran.recv_timeout(LIMIT).unwrap()).collect();
        assert!(ran[..100].iter().all(|priority| *priority == Priority::High), "{ran:?}");
    });
}

// Promise 11 (reference: `Kill` leaves blocked callers hanging): they are answered before the kill has
// even finished.
#[test]
fn kill_leaves_no_blocked_caller_hanging() {
    on_every_manager(|kind| {
        let seen = Recorder::new();
        let manager = kind.build(Kit::new().config(1).observer(seen.clone()));
        let busy = Busy::with(&manager, 1);
        thread::scope(|scope| {
            let manager = &manager;
            let blocked: Vec<_> =
                (0..8).map(|_| scope.spawn(|| manager.queue_task(|_, _| Ok(())))).collect();
            seen.wait_for(9, |what| matches!(what, What::TaskQueued { .. }));
            let kill = scope.spawn(|| manager.kill().unwrap());
            for blocked in blocked {
                assert!(matches!(blocked.join().unwrap(), Err(TaskError::Killed)));
            }
            busy.release();
            assert_complete(&kill.join().unwrap());
        });
    });
}

// Promise 10 (reference: `Stop` cancels the contexts of tasks that it promises to finish): neither the
// one that runs nor the one that waits finds itself cancelled.
#[test]
fn stop_cancels_no_context() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let gate = Gate::new();
        let look = |gate: Gate| {
            manager.task(move |cx, _| {
                gate.wait();
                Ok(cx.is_cancelled())
            })
        };
        let running = look(gate.clone()).submit();
        gate.await_arrivals(1);
        let waiting = look(gate.clone()).submit();
        let stop = begin_stop(&manager);
        assert_eq!(manager.phase(), Phase::Stopping);
        gate.open();
        assert!(!running.wait().unwrap());
        assert!(!waiting.wait().unwrap());
        let report = report_of(stop);
        assert_eq!((report.accepted, report.completed), (2, 2));
        assert_complete(&report);
    });
}

// Promise 2 (reference: `MaxWorkerCount` is overrun while resources are slow to create): every look at
// the load finds the same backlog, and the third worker is never hired.
#[test]
fn slow_creations_do_not_overrun_the_cap() {
    on_every_manager(|kind| {
        let interval = Duration::from_millis(100);
        let (kit, clock, slow) = (Kit::new(), ManualClock::new(), Gate::new());
        let config = kit.config(1).max_worker_count(2).burst_interval(interval);
        let manager = kind.build(config.clock(clock.clone()));
        let busy = Busy::with(&manager, 1);
        kit.block_creates(&slow);
        let waiting: Vec<_> = (0..50).map(|_| manager.task(|_, _| Ok(())).submit()).collect();
        for _ in 0..20 {
            pass(&manager, &clock, interval);
        }
        slow.await_arrivals(1);
        assert_eq!(kit.live(), 2);
        slow.open();
        for waiting in waiting {
            waiting.wait().unwrap();
        }
        busy.release();
        assert_complete(&manager.stop().unwrap());
        assert_eq!(kit.peak(), 2);
    });
}

// Promise 14 (reference: rates are lifetime averages, so that it never scales down): after a burst the
// manager goes back to its base workers, however busy its past was.
#[test]
fn a_manager_scales_down_after_a_burst() {
    on_every_manager(|kind| {
        let interval = Duration::from_millis(100);
        let (kit, clock) = (Kit::new(), ManualClock::new());
        let config = kit.config(1).max_worker_count(4).burst_interval(interval);
        let manager = kind.build(config.clock(clock.clone()));
        for _ in 0..200 {
            manager.queue_task(|_, _| Ok(())).unwrap();
        }
        let gate = Gate::new();
        let burst = || {
            let gate = gate.clone();
            let task = manager.task(move |_, _| {
                gate.wait();
                Ok(())
            });
            task.submit()
        };
        let burst: Vec<_> = (0..4).map(|_| burst()).collect();
        eventually("four workers are busy", || {
            clock.advance(interval);
            manager.stats().running_tasks == 4
        });
        gate.open();
        for burst in burst {
            burst.wait().unwrap();
        }
        eventually("only the base worker is left", || {
            clock.advance(interval);
            kit.live() == 1
        });
        assert_eq!(manager.stats().burst_workers, 0);
        manager.queue_task(|_, _| Ok(())).unwrap();
        assert_complete(&manager.stop().unwrap());
    });
}

// Promise 8 (reference: a panic ends the process): this process, for instance, goes on.
#[test]
fn a_panic_does_not_end_the_process() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let survived = Mutex::new(0);
        for door in Door::ALL {
            let ended = door.send(&manager, |_, _| -> Result<(), Fault> { panic!("fatal there") });
            assert!(matches!(ended, Err(TaskError::Panicked(_))), "{ended:?}");
            *survived.lock().unwrap() += 1;
        }
        assert_eq!(*survived.lock().unwrap(), 4);
        assert_complete(&manager.stop().unwrap());
    });
}

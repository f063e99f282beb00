//! Promise 16: tasks that wait for tasks of their own manager are served, or told that they would wait for ever.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use tasker::autoscale::{Fixed, Reason};
use tasker::{Event, Observer, TaskError, TaskHandle, TaskManager};

use crate::support::{
    Busy, Fault, Gate, Kit, LIMIT, Manager, Recorder, Res, What, assert_complete, begin_kill,
    begin_stop, end, eventually, on_every_manager, report_of, within,
};

type Tasks = TaskManager<Res, Fault>;

/// Runs `depth` tasks, each in the middle of the one before; how many of them ran.
fn nest(manager: &Tasks, depth: u32) -> Result<u32, TaskError<Fault>> {
    if depth == 0 {
        return Ok(0);
    }
    let inside = manager.clone();
    manager.task(move |_, _| Ok(1 + nest(&inside, depth - 1).unwrap_or(0))).run()
}

// The cap allows for one more worker: the tasks inside run on it.
#[test]
fn a_worker_is_added_for_a_task_that_waits_for_another() {
    on_every_manager(|kind| {
        let (kit, seen) = (Kit::new(), Recorder::new());
        let config = kit.config(1).max_worker_count(4).scaling(Fixed::new(1));
        let manager = kind.build(config.observer(seen.clone()));
        assert_eq!(nest(&manager, 4).unwrap(), 4, "{kind:?}");
        let blocked =
            |what: &What| matches!(what, What::Scaled { reason: Reason::Blocked { .. }, .. });
        assert_eq!(seen.count(blocked), 3);
        end(&manager, &kit);
    });
}

// At the cap the last to block is told, and those before it go on.
#[test]
fn the_last_to_block_is_told_that_it_would_wait_for_ever() {
    on_every_manager(|kind| {
        for workers in 1..=3 {
            let kit = Kit::new();
            let manager = kind.build(kit.config(workers));
            let depth = workers as u32;
            assert_eq!(nest(&manager, depth + 1).unwrap(), depth, "{kind:?}");
            let report = manager.stop().unwrap();
            assert_complete(&report);
            assert_eq!((report.completed, report.failed), (u64::from(depth), 1), "{report}");
            kit.assert_all_destroyed_once();
        }
    });
}

// The closure of a task that is refused is dropped unused; what it borrowed is the caller's again.
#[test]
fn a_refused_call_is_withdrawn() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let inside = manager.clone();
        let outcome = manager.queue_task(move |_, _| {
            let mut ran = false;
            let refused = inside.queue_task(|_, _| {
                ran = true;
                Ok(())
            });
            assert!(matches!(refused, Err(TaskError::WouldDeadlock)), "{refused:?}");
            let stats = inside.stats();
            assert_eq!((ran, stats.queued_tasks, stats.running_tasks), (false, 0, 1));
            assert_eq!(
                refused.unwrap_err().to_string(),
                "waiting for this task would block every worker"
            );
            Ok(())
        });
        outcome.unwrap();
        end(&manager, &kit);
    });
}

// A task with a handle stays queued: it runs when the one that waited for it has ended.
#[test]
fn a_refused_wait_leaves_the_task_queued() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let (inside, (send, receive)) = (manager.clone(), channel());
        let outcome = manager.queue_task(move |_, _| {
            let send = send.clone();
            let queued = inside
                .task_once(move |_, _| {
                    send.send("it ran").unwrap();
                    Ok(())
                })
                .submit();
            Ok(queued.wait().map_err(|error| error.to_string()))
        });
        assert_eq!(outcome.unwrap().unwrap_err(), "waiting for this task would block every worker");
        assert_eq!(receive.recv().unwrap(), "it ran");
        let report = manager.stop().unwrap();
        assert_eq!((report.completed, report.failed), (2, 0), "{report}");
        assert_complete(&report);
    });
}

// A wait that is bounded ends by itself, and so nobody is refused for it and nobody is hired.
#[test]
fn a_bounded_wait_is_nobodys_business() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1).max_worker_count(2).scaling(Fixed::new(1)));
        let inside = manager.clone();
        let outcome = manager.queue_task(move |_, _| {
            let queued = inside.task(|_, _| Ok(7)).submit();
            Ok(queued.wait_timeout(Duration::from_millis(1)).expect_err("nobody runs it"))
        });
        assert_eq!(outcome.unwrap().wait().unwrap(), 7);
        assert_eq!(kit.created(), 1);
        end(&manager, &kit);
    });
}

// Nor a handle that is polled in a task on a thread: that waits for nothing by itself.
#[test]
fn a_poll_in_a_task_on_a_thread_is_no_wait() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let inside = manager.clone();
        let outcome = manager.queue_task(move |_, _| {
            let mut queued = inside.task(|_, _| Ok(7)).submit();
            let polled = Pin::new(&mut queued).poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending(), "{polled:?}");
            Ok(queued)
        });
        assert_eq!(outcome.unwrap().wait().unwrap(), 7, "{kind:?}");
        end(&manager, &kit);
    });
}

// Whoever is not in the middle of a task holds no worker up.
#[test]
fn callers_from_outside_are_never_refused() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let busy = Busy::with(&manager, 1);
        thread::scope(|scope| {
            let run = scope.spawn(|| manager.run_on(1));
            let wait = scope.spawn(|| manager.task(|_, _| Ok(2)).submit().wait());
            eventually("they wait", || manager.stats().queued_tasks == 2);
            busy.release();
            assert_eq!(run.join().unwrap().unwrap() + wait.join().unwrap().unwrap(), 3);
        });
        end(&manager, &kit);
    });
}

trait RunOn {
    fn run_on(&self, value: u32) -> Result<u32, TaskError<Fault>>;
}

impl RunOn for Tasks {
    fn run_on(&self, value: u32) -> Result<u32, TaskError<Fault>> {
        self.task(move |_, _| Ok(value)).run()
    }
}

// Of two that block at the same time one is refused and the other one is served by the worker that this frees.
#[test]
fn of_two_that_block_one_is_served() {
    on_every_manager(|kind| {
        for _ in 0..20 {
            let (kit, gate) = (Kit::new(), Gate::new());
            let manager = kind.build(kit.config(2));
            let outer = |_: usize| {
                let (inside, gate) = (manager.clone(), gate.clone());
                manager.task(move |_, _| {
                    gate.wait();
                    Ok(inside.run_on(1).is_ok())
                })
            };
            let tasks = [outer(0).submit(), outer(1).submit()];
            gate.await_arrivals(2);
            gate.open();
            let served = tasks.map(|task| task.wait().unwrap());
            // Or both, one after the other: the first may have ended before the second one blocks.
            assert!(served.contains(&true), "{kind:?}: {served:?}");
            end(&manager, &kit);
        }
    });
}

// The bug that this looks for: the one that still worked goes away, and nobody blocks last.
#[test]
fn who_is_left_behind_by_a_lower_cap_is_told() {
    on_every_manager(|kind| {
        for by_handle in [false, true] {
            let kit = Kit::new();
            let manager = kind.build(kit.config(2));
            let busy = Busy::with(&manager, 1);
            let inside = manager.clone();
            let outer = manager.task(move |_, _| {
                let task = inside.task(|_, _| Ok(()));
                Ok(match by_handle {
                    false => task.run().is_ok(),
                    true => task.submit().wait().is_ok(),
                })
            });
            let outer = outer.submit();
            eventually("they wait", || manager.stats().queued_tasks == 1);
            manager.resize(1, 1).unwrap();
            busy.release();
            assert!(!outer.wait().unwrap(), "{kind:?}");
            end(&manager, &kit);
        }
    });
}

// In a pause tasks wait on purpose; when it ends, who cannot be served is told, and who can is served.
#[test]
fn a_pause_is_no_deadlock() {
    on_every_manager(|kind| {
        for (cap, served) in [(1, false), (2, true)] {
            let (kit, gate) = (Kit::new(), Gate::new());
            let config = kit.config(1).max_worker_count(cap).scaling(Fixed::new(1));
            let manager = kind.build(config);
            let (inside, inner) = (manager.clone(), gate.clone());
            let outer = manager.task(move |_, _| {
                inner.wait();
                Ok(inside.run_on(1).is_ok())
            });
            let outer = outer.submit();
            gate.await_arrivals(1);
            manager.pause();
            gate.open();
            eventually("they wait", || manager.stats().queued_tasks == 1);
            let outer = outer.wait_timeout(Duration::from_millis(5)).expect_err("it waits");
            assert_eq!(kit.created(), 1);
            manager.resume();
            assert_eq!(outer.wait().unwrap(), served, "{kind:?}");
            end(&manager, &kit);
        }
    });
}

// The stop ends the pause, and with it the reason to leave those alone who wait.
#[test]
fn a_stop_in_a_pause_answers_who_waits_inside_a_task() {
    on_every_manager(|kind| {
        for (by_handle, cap, served) in
            [(false, 1, false), (false, 2, true), (true, 1, false), (true, 2, true)]
        {
            let (kit, gate) = (Kit::new(), Gate::new());
            let config = kit.config(1).max_worker_count(cap).scaling(Fixed::new(1));
            let manager = kind.build(config);
            let (inside, inner) = (manager.clone(), gate.clone());
            let outer = manager.task(move |_, _| {
                inner.wait();
                let task = inside.task(|_, _| Ok(()));
                Ok(match by_handle {
                    false => task.run().is_ok(),
                    true => task.submit().wait().is_ok(),
                })
            });
            let outer = outer.submit();
            gate.await_arrivals(1);
            manager.pause();
            gate.open();
            eventually("they wait", || manager.stats().queued_tasks == 1);
            let outer = outer.wait_timeout(Duration::from_millis(5)).expect_err("it waits");
            let stop = begin_stop(&manager);
            assert_eq!(outer.wait().unwrap(), served, "{kind:?}");
            assert_complete(&report_of(stop));
            kit.assert_all_destroyed_once();
        }
    });
}

// What a blocked caller carries out when it comes to wait is the user's code, too, and may use up its wake-up: here an
// observer is told of the worker that is added, and parks until another one has come that wakes its thread.
#[test]
fn an_observer_that_uses_up_a_wake_up_leaves_nobody_asleep() {
    struct Parks(Kit, Gate, Arc<Mutex<Option<Tasks>>>);
    impl Observer for Parks {
        fn on_event(&self, event: &Event<'_>) {
            if let Event::Scaled { reason: Reason::Blocked { .. }, .. } = event {
                let manager = self.2.lock().unwrap().clone();
                manager.unwrap().resize(3, 3).unwrap();
                thread::park();
                self.0.block_creates(&self.1); // the one that is told of comes too late
            }
        }
    }
    within(LIMIT, || {
        let (kit, gate, known) = (Kit::new(), Gate::new(), Arc::new(Mutex::new(None)));
        let observer = Parks(kit.clone(), gate.clone(), Arc::clone(&known));
        let config = kit.config(1).max_worker_count(2).scaling(Fixed::new(1)).observer(observer);
        let manager = Manager::Lending.build(config);
        *known.lock().unwrap() = Some(manager.clone());
        assert_eq!(nest(&manager, 2).unwrap(), 2);
        gate.open();
        end(&manager, &kit);
        *known.lock().unwrap() = None; // its observer would keep it for ever
    });
}

// Two tasks that wait for each other do so for ever, however many workers are idle.
#[test]
fn a_circle_of_handles_is_broken() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(3));
        let ((to_first, first), (to_second, second)) = (channel(), channel());
        let waits = |handles: std::sync::mpsc::Receiver<TaskHandle<bool, Fault>>| {
            let handles = Mutex::new(handles);
            manager.task(move |_, _| {
                let other = handles.lock().unwrap().recv().unwrap();
                Ok(matches!(other.wait(), Err(TaskError::WouldDeadlock)))
            })
        };
        let (a, b) = (waits(first).submit(), waits(second).submit());
        let ended = {
            let (sent, outcome) = channel();
            manager.task(|_, _| Ok(())).run().unwrap(); // the third one works
            to_first.send(b).unwrap();
            to_second.send(a).unwrap();
            manager
                .task_once(move |_, _| {
                    sent.send(()).unwrap();
                    Ok(())
                })
                .submit()
                .wait()
                .unwrap();
            outcome
        };
        ended.recv().unwrap();
        let report = manager.stop().unwrap();
        assert_eq!(report.completed, 4, "{report}");
        assert_complete(&report);
    });
}

// A task that has its own handle must not wait for itself.
#[test]
fn a_task_that_waits_for_itself_is_told() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(2));
        let ((send, receive), (tell, told)) = (channel::<TaskHandle<(), Fault>>(), channel());
        let own = manager.task_once(move |_, _| {
            let own = receive.recv().unwrap();
            tell.send(matches!(own.wait(), Err(TaskError::WouldDeadlock))).unwrap();
            Ok(())
        });
        send.send(own.submit()).unwrap();
        assert!(told.recv().unwrap(), "{kind:?}");
        end(&manager, &kit);
    });
}

// `run_task` waits for nobody where a resource can be made for it; a local one needs a worker.
#[test]
fn an_urgent_task_inside_a_task_runs_or_is_refused() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let inside = manager.clone();
        let outcome = manager.queue_task(move |_, _| Ok(inside.run_task(|_, _| Ok(5))));
        match (kind, outcome.unwrap()) {
            (Manager::Local, Err(TaskError::WouldDeadlock)) => {}
            (Manager::Lending | Manager::NotLending, Ok(5)) => {}
            other => panic!("{other:?}"),
        }
        end(&manager, &kit);
    });
}

// The task inside runs again on a new resource, of the worker that was added for it.
#[test]
fn a_retry_inside_a_task_is_served_too() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1).max_worker_count(2).scaling(Fixed::new(1)));
        let (inside, sick) = (manager.clone(), kit.clone());
        let outcome = manager.task(move |_, _| {
            sick.sicken_next_uses(2);
            Ok(inside.task(|_, res: &mut Res| res.work()).max_retries(2).run())
        });
        assert!(outcome.run().unwrap().is_ok(), "{kind:?}");
        end(&manager, &kit);
    });
}

// A shutdown does not leave those alone who wait inside of tasks.
#[test]
fn a_shutdown_answers_who_waits_inside_a_task() {
    on_every_manager(|kind| {
        for (kill, cap) in [(false, 1), (false, 2), (true, 1), (true, 2)] {
            let (kit, gate) = (Kit::new(), Gate::new());
            let config = kit.config(1).max_worker_count(cap).scaling(Fixed::new(1));
            let manager = kind.build(config);
            let (inside, inner) = (manager.clone(), gate.clone());
            let (send, receive) = channel();
            let queued = manager.task_once(move |_, _| {
                let queued = inside.task(|_, _| Ok(())).submit();
                inner.wait();
                send.send(queued.wait()).unwrap();
                Ok(())
            });
            let outer = queued.submit();
            gate.await_arrivals(1);
            let shutdown = if kill { begin_kill(&manager) } else { begin_stop(&manager) };
            gate.open();
            match (kill, cap, receive.recv().unwrap()) {
                (true, _, Err(TaskError::Killed)) | (false, 2, Ok(())) => {}
                (false, 1, Err(TaskError::WouldDeadlock)) => {}
                other => panic!("{kind:?}: {other:?}"),
            }
            let _ = outer.wait();
            assert_complete(&report_of(shutdown));
            kit.assert_all_destroyed_once();
        }
    });
}

// The bug that this looks for: a stop does not wait between the tries of a worker that gets no resource, and each one
// that left made room for the next, for ever.
#[test]
fn a_stop_ends_although_no_worker_can_be_added() {
    on_every_manager(|kind| {
        let (kit, gate) = (Kit::new(), Gate::new());
        let manager = kind.build(kit.config(1).max_worker_count(2).scaling(Fixed::new(1)));
        let (inside, inner) = (manager.clone(), gate.clone());
        let outer = manager.task(move |_, _| {
            let queued = inside.task(|_, _| Ok(())).submit();
            inner.wait();
            Ok(queued.wait().is_ok())
        });
        let outer = outer.submit();
        gate.await_arrivals(1);
        kit.break_down();
        gate.open();
        kit.wait_until(|counts| counts.failures > 0);
        let report = manager.stop().unwrap();
        assert!(!outer.wait().unwrap(), "it is told, and its worker runs the other one");
        assert_eq!((report.accepted, report.completed), (2, 2), "{report}");
        assert_complete(&report);
        kit.assert_all_destroyed_once();
    });
}

// What a closure owns may wait when it is dropped: that is a part of its task.
#[test]
fn a_capture_that_waits_when_it_is_dropped_is_told() {
    struct Waits(Tasks, Sender<Result<(), TaskError<Fault>>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            // A panic in here would be caught: what came of it is judged elsewhere.
            let _ = self.1.send(self.0.task(|_, _| Ok(())).submit().wait());
        }
    }
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let (send, told) = channel();
        let waits = Waits(manager.clone(), send);
        let task = manager.task(move |_, _| {
            let _ = &waits;
            Ok(())
        });
        task.submit().wait().unwrap();
        let outcome = told.recv().unwrap();
        assert!(matches!(outcome, Err(TaskError::WouldDeadlock)), "{outcome:?}");
        end(&manager, &kit);
    });
}

// The wait in the middle of a task drops the waker that a poll has left with the handle. That is the user's code, too,
// and may use up the wake-up: here it parks until the task has ended that is waited for.
#[test]
fn a_waker_that_uses_up_a_wake_up_leaves_nobody_asleep() {
    struct Parks(Gate);
    impl Wake for Parks {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Parks {
        fn drop(&mut self) {
            self.0.open();
            thread::park();
        }
    }
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(2));
        let inside = manager.clone();
        let outer = manager.task(move |_, _| {
            let gate = Gate::new();
            let passed = gate.clone();
            let task = inside.task_once(move |_, _| {
                passed.wait();
                Ok(7)
            });
            let mut handle = task.submit();
            gate.await_arrivals(1);
            let waker = Waker::from(Arc::new(Parks(gate)));
            let polled = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
            drop(waker);
            Ok(handle.wait())
        });
        assert_eq!(outer.submit().wait().unwrap().unwrap(), 7, "{kind:?}");
        end(&manager, &kit);
    });
}

//! Handles: one for threads and futures alike, to be waited on, polled, asked, or dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use tasker::{CancelToken, TaskError, TaskStatus};

use crate::support::{
    Busy, Fault, Gate, Kit, LIMIT, Manager, block_on, eventually, on_every_manager, within,
};

// Promise 1: a thread that waits gets the outcome, whether it comes before or after it.
#[test]
fn waiting_gives_the_outcome_before_and_after_the_end() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let early = manager.task(|_, _| Ok("early")).submit();
        let late = manager.task(|_, _| Err::<(), _>(Fault::Own)).submit();
        let waiting = thread::spawn(move || early.wait());
        busy.release();
        assert_eq!(waiting.join().unwrap().unwrap(), "early");
        eventually("it ends", || late.is_finished());
        assert!(matches!(late.wait(), Err(TaskError::Failed(Fault::Own))));
    });
}

// Promise 1: a bounded wait gives the handle back, and the task runs on.
#[test]
fn a_bounded_wait_gives_the_handle_back() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let handle = manager.task(|_, _| Ok(7)).submit();
        let handle = handle.wait_timeout(Duration::ZERO).expect_err("it has not even begun");
        let handle = handle.wait_timeout(Duration::from_millis(1)).expect_err("still not");
        busy.release();
        assert_eq!(handle.wait_timeout(LIMIT).expect("it is over").unwrap(), 7);
        let forever = manager.task(|_, _| Ok(8)).submit();
        assert_eq!(forever.wait_timeout(Duration::MAX).expect("it is over").unwrap(), 8);
    });
}

// Promise 1: awaiting a handle is waiting for it.
#[test]
fn awaiting_gives_the_outcome_before_and_after_the_end() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let early = manager.task(|_, _| Ok("early")).submit();
        let waiting = thread::spawn(move || block_on(early));
        busy.release();
        assert_eq!(waiting.join().unwrap().unwrap(), "early");
        let late = manager.task(|_, _| Err::<(), _>(Fault::Own)).submit();
        eventually("it ends", || late.is_finished());
        assert!(matches!(block_on(late), Err(TaskError::Failed(Fault::Own))));
        let both = block_on(async {
            let first = manager.queue_task_async(|_, _| Ok(20));
            let second = manager.queue_task_with_priority_async(|_, _| Ok(22));
            Ok::<_, TaskError<Fault>>(first.await? + second.await?)
        });
        assert_eq!(both.unwrap(), 42);
    });
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

// Promise 1: the waker of the last poll is woken, once.
#[test]
fn the_waker_of_the_last_poll_is_woken() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let mut handle = manager.task(|_, _| Ok(7)).submit();
        let (old, new) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
        for wakes in [&old, &new] {
            let waker = Waker::from(Arc::clone(wakes));
            let poll = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
            assert!(poll.is_pending());
        }
        busy.release();
        eventually("somebody is woken", || new.0.load(Ordering::SeqCst) == 1);
        assert_eq!(old.0.load(Ordering::SeqCst), 0);
        let poll = Pin::new(&mut handle).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(poll, Poll::Ready(Ok(7))));
    });
}

// Promise 1: a handle that was polled can still be waited on by a thread.
#[test]
fn a_polled_handle_can_be_waited_on() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let mut handle = manager.task(|_, _| Ok(7)).submit();
        let poll = Pin::new(&mut handle).poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll.is_pending());
        busy.release();
        assert_eq!(handle.wait().unwrap(), 7);
    });
}

// Promise 1: dropping a handle detaches; the task runs all the same.
#[test]
fn dropping_a_handle_detaches_its_task() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let (send, ran) = channel();
        for n in 0..3 {
            let send = send.clone();
            drop(
                manager
                    .task(move |_, _| {
                        send.send(n).unwrap();
                        Ok(())
                    })
                    .submit(),
            );
        }
        busy.release();
        for n in 0..3 {
            assert_eq!(ran.recv_timeout(LIMIT), Ok(n));
        }
        assert_eq!(manager.stop().unwrap().completed, 4);
    });
}

// Promise 1: the value of a detached task is dropped, once, also where its drop panics.
#[test]
fn the_value_of_a_detached_task_is_dropped() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("a value's drop panics");
        }
    }
    on_every_manager(|kind| {
        let drops = Arc::new(AtomicUsize::new(0));
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let counted = Arc::clone(&drops);
        drop(manager.task_once(move |_, _| Ok(Counted(counted))).submit());
        busy.release();
        assert!(manager.queue_task(|_, _| Ok(())).is_ok(), "the worker lives on");
        manager.stop().unwrap();
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    });
}

// Promise 17: the status follows the task from station to station.
#[test]
fn the_status_follows_the_task() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let gates = [Gate::new(), Gate::new()];
        let wait = gates.clone();
        let handle = manager.task(move |cx, res| {
            wait[cx.attempt() as usize - 1].wait();
            if cx.attempt() == 1 { Err(Fault::Sick) } else { res.work() }
        });
        let handle = handle.submit();
        assert_eq!((handle.status(), handle.is_finished()), (TaskStatus::Queued, false));
        busy.release();
        for (attempt, gate) in (1..).zip(&gates) {
            gate.await_arrivals(1);
            assert_eq!(handle.status(), TaskStatus::Running { attempt });
            gate.open();
        }
        eventually("it ends", || handle.is_finished());
        assert_eq!(handle.status(), TaskStatus::Finished);
        assert_eq!(handle.wait().unwrap(), 2);
    });
}

// Promise 4: numbers rise in the order of submission, and the handle knows its task's.
#[test]
fn a_handle_knows_its_tasks_number() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let first = manager.task(|cx, _| Ok(cx.id())).submit();
        let second = manager.task(|cx, _| Ok(cx.id())).submit();
        let (id_1, id_2) = (first.id(), second.id());
        assert!(id_1 < id_2);
        assert_eq!((first.wait().unwrap(), second.wait().unwrap()), (id_1, id_2));
        assert!(id_1.to_string().starts_with('#'));
    });
}

// Promise 17: handles and tokens work from any thread, many at once.
#[test]
fn a_token_can_be_waited_for_by_threads_and_futures() {
    within(LIMIT, || {
        let token = CancelToken::new();
        let blocking = token.clone();
        let bounded = token.clone();
        let polled = token.clone();
        let waiters = [
            thread::spawn(move || blocking.wait()),
            thread::spawn(move || assert!(bounded.wait_timeout(LIMIT))),
            thread::spawn(move || block_on(polled.cancelled())),
        ];
        assert!(!token.wait_timeout(Duration::ZERO));
        token.cancel();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert!(token.wait_timeout(Duration::MAX));
        block_on(token.cancelled());
    });
}

// Promise 1: a handle shows what it is.
#[test]
fn a_handle_can_be_printed() {
    within(LIMIT, || {
        let manager = Manager::Lending.build(Kit::new().config(1));
        let busy = Busy::with(&manager, 1);
        let handle = manager.task(|_, _| Ok(())).submit();
        let text = format!("{handle:?}");
        assert!(text.contains("TaskHandle") && text.contains("Queued"), "{text}");
        busy.release();
    });
}

// Promise 17: whoever waits no more cancels what it waited for, if the handle was made so.
#[test]
fn a_handle_made_to_cancel_on_drop_cancels_what_waits_and_what_runs() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let started = Gate::new();
        let inside = started.clone();
        let running = manager.task_once(move |cx, _| {
            inside.open();
            cx.token().wait();
            Err::<(), _>(Fault::Own)
        });
        let running = running.submit().cancel_on_drop();
        started.wait();
        let queued = manager.task(|_, _| -> Result<(), _> { panic!("it was cancelled") });
        drop(queued.submit().cancel_on_drop());
        drop(running);
        let report = manager.stop().unwrap();
        assert_eq!((report.accepted, report.cancelled), (2, 2), "{report}");
    });
}

// Promise 17: what has ended stays as it is, and a handle that is plain again detaches.
#[test]
fn a_handle_made_to_cancel_on_drop_gives_the_outcome_and_can_be_made_plain() {
    on_every_manager(|kind| {
        let manager = kind.build(Kit::new().config(1));
        let ended = manager.task(|_, _| Ok(7)).submit().cancel_on_drop();
        assert_eq!(block_on(ended).unwrap(), 7);
        let busy = Busy::with(&manager, 1);
        drop(manager.task(|_, _| Ok(8)).submit().cancel_on_drop().into_handle());
        busy.release();
        let report = manager.stop().unwrap();
        assert_eq!((report.completed, report.cancelled), (3, 0), "{report}");
    });
}

//! What the types promise: which threads they may go to, and which errors they work with.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::rc::Rc;

use tasker::{
    Backoff, BuildError, CancelToken, Cancelled, Collector, Config, DestroyReason, Event, Level,
    Logger, MetricsCollector, NoopLogger, Observer, Outcome, Overflow, Owner, Panic, Phase,
    Priority, RejectReason, Rejected, ShutdownError, ShutdownReport, Straggler, TaskContext,
    TaskError, TaskHandle, TaskId, TaskLifecycleTimestamps, TaskManager, TaskMetrics, TaskStats,
    TaskStatus, TracingLogger,
};

use crate::support::{LIMIT, within};

type AnyError = Box<dyn Error + Send + Sync>;

fn is_send<T: Send>() {}
fn is_sync<T: Sync>() {}
fn is_clone<T: Clone>() {}
fn is_copy<T: Copy>() {}
fn is_debug<T: Debug + ?Sized>() {}
fn is_unpin<T: Unpin>() {}
fn is_error<T: Error>() {}
fn is_future<F: Future<Output = O>, O>() {}
fn is_hashable<T: Eq + std::hash::Hash>() {}
fn is_static<T: 'static>() {}

// Promise 18 by type: a manager is shared between threads whatever its resource is.
#[test]
fn a_manager_is_shared_between_threads_whatever_its_resource_is() {
    type Local = TaskManager<Rc<()>, String>;
    is_send::<Local>();
    is_sync::<Local>();
    is_clone::<Local>();
    is_debug::<Local>();
    is_static::<Local>();
}

// Promise 1 by type: a handle goes anywhere and is a future that needs no pinning.
#[test]
fn a_handle_is_a_future_that_goes_anywhere() {
    // What only has to be sent suffices: neither the value nor the error need be shared.
    type Sent = std::cell::Cell<u8>;
    type Handle = TaskHandle<Sent, Sent>;
    is_send::<Handle>();
    is_sync::<Handle>();
    is_unpin::<Handle>();
    is_future::<Handle, Result<Sent, TaskError<Sent>>>();
    is_debug::<Handle>();
}

// Promise 17 by type: a token and a context go to other threads.
#[test]
fn tokens_and_contexts_go_to_other_threads() {
    is_send::<CancelToken>();
    is_sync::<CancelToken>();
    is_clone::<CancelToken>();
    is_send::<TaskContext>();
    is_sync::<TaskContext>();
    fn check(token: &CancelToken) -> impl Future<Output = ()> + Send + use<> {
        token.cancelled() // 'static: it outlives the borrow
    }
    let token = CancelToken::new();
    let future = check(&token);
    drop((token, future));
}

// Small print: every public type can be printed, whatever is in it.
#[test]
fn every_public_type_can_be_printed() {
    struct Opaque;
    is_debug::<Config<Opaque, Opaque>>();
    is_debug::<TaskManager<Opaque, Opaque>>();
    is_debug::<TaskHandle<Opaque, Opaque>>();
    is_debug::<Rejected<Opaque>>();
    is_debug::<TaskContext>();
    is_debug::<CancelToken>();
    is_debug::<(Backoff, Cancelled, Collector, DestroyReason, Level, NoopLogger)>();
    is_debug::<(Outcome, Overflow, Owner, Panic, Phase, Priority, RejectReason)>();
    is_debug::<(ShutdownError, ShutdownReport, Straggler, TaskId, TracingLogger)>();
    is_debug::<(TaskLifecycleTimestamps, TaskMetrics, TaskStats, TaskStatus)>();
    is_debug::<(TaskError<u8>, BuildError<u8>)>();
    is_debug::<Event<'_>>();
}

// Small print: small types can be compared, hashed and copied.
#[test]
fn small_types_can_be_compared_hashed_and_copied() {
    is_copy::<(TaskId, Priority, Phase, Outcome, Owner, DestroyReason, Level, Overflow)>();
    is_copy::<(TaskStatus, TaskStats, ShutdownError, RejectReason, Backoff)>();
    is_hashable::<(TaskId, Priority, Phase, Outcome, Owner, DestroyReason, Level, Overflow)>();
}

// Promise 15 by type: what watches is an object, shared between threads.
#[test]
fn loggers_collectors_and_observers_are_objects() {
    is_send::<Box<dyn Logger>>();
    is_sync::<Box<dyn MetricsCollector>>();
    is_sync::<Box<dyn Observer>>();
}

// Small print: errors are errors wherever the user's can be shown, and only there.
#[test]
fn errors_work_with_any_error_that_can_be_shown() {
    is_error::<TaskError<String>>();
    is_error::<BuildError<String>>();
    // Box<dyn Error + Send + Sync> and anyhow::Error are not errors themselves.
    is_error::<TaskError<AnyError>>();
    is_error::<BuildError<AnyError>>();
    is_error::<ShutdownError>();
    is_error::<RejectReason>();
    is_error::<Rejected<fn()>>();
    is_error::<Cancelled>();
    is_send::<TaskError<AnyError>>();
    is_sync::<TaskError<AnyError>>();
}

// Small print: with `?` into a boxed error and back, the user's own error can be got at.
#[test]
fn errors_pass_through_a_boxed_error_and_give_the_cause_back() {
    fn program() -> Result<(), AnyError> {
        let config = Config::<String, AnyError>::new(|| Ok("7".into())).worker_count(1);
        let manager = TaskManager::new(config)?;
        let number = manager.queue_task(|_, text| Ok(text.parse::<u32>()?))?;
        assert_eq!(number, 7);
        let error = manager.queue_task(|_, _| Ok("seven".parse::<u32>()?)).unwrap_err();
        assert_eq!(error.to_string(), "invalid digit found in string");
        assert!(error.inner().is_some_and(|inner| inner.is::<std::num::ParseIntError>()));
        let cause = error.into_inner().expect("the task's own error");
        assert!(cause.downcast::<std::num::ParseIntError>().is_ok());
        manager.stop()?;
        Err(manager.queue_task(|_, _| Ok(())).unwrap_err())?
    }
    within(LIMIT, || {
        let error = program().unwrap_err();
        assert_eq!(error.to_string(), "task manager is shutting down");
        assert!(error.is::<TaskError<AnyError>>());
    });
}

// Promise 9 and small print: the error of a failed build shows its cause in the reference's words.
#[test]
fn a_failed_build_shows_its_cause() {
    within(LIMIT, || {
        let config = Config::<(), AnyError>::new(|| Err("no route to host".into()));
        let error = TaskManager::new(config.worker_count(1)).unwrap_err();
        assert_eq!(error.to_string(), "failed to initialize resource pool: no route to host");
        assert_eq!(error.into_inner().unwrap().to_string(), "no route to host");
        let config = Config::<(), AnyError>::new(|| Ok(()));
        let error = TaskManager::new(config.worker_count(0)).unwrap_err();
        assert_eq!(error.to_string(), "worker count must be positive");
        assert!(error.inner().is_none());
    });
}

// Small print: the old name of the constructor still works, with a warning.
#[test]
fn the_old_name_of_the_constructor_works() {
    within(LIMIT, || {
        let config = Config::<(), String>::new(|| Ok(())).worker_count(1);
        #[expect(deprecated, reason = "this is what is tested")]
        let manager = TaskManager::new_runner(config).unwrap();
        assert!(manager.queue_task(|_, _| Ok(())).is_ok());
    });
}

// Promise 1 by type: a task's value and error need only be sent, never shared.
#[test]
fn a_task_may_give_what_cannot_be_shared() {
    within(LIMIT, || {
        type Sent = std::cell::Cell<u8>;
        let config = Config::<Sent, Sent>::new(|| Ok(Sent::new(1))).worker_count(1);
        let manager = TaskManager::new(config).unwrap();
        let value = manager.task(|_, cell| Ok(Sent::new(cell.get() + 1))).submit().wait();
        assert!(value.is_ok_and(|cell| cell.get() == 2));
        let error = manager.queue_task(|_, cell| Err::<(), _>(Sent::new(cell.get())));
        assert_eq!(error.unwrap_err().into_inner().unwrap().get(), 1);
    });
}

// Small print: what `Display` says of a type is fit for people.
#[test]
fn public_types_are_shown_in_plain_words() {
    fn show(shown: &dyn Display) -> String {
        shown.to_string()
    }
    assert_eq!(show(&Priority::High), "high");
    assert_eq!(show(&Phase::Stopping), "stopping");
    assert_eq!(show(&Owner::Worker(3)), "worker 3");
    assert_eq!(show(&Cancelled), "the task was cancelled");
    assert_eq!(show(&RejectReason::QueueFull), "task queue is full");
    assert_eq!(show(&TaskError::<String>::Cancelled), "task was cancelled");
}

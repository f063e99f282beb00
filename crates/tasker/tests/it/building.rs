//! Building a manager: what is refused, in which words, and what a failure leaves behind: nothing.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::thread;

use tasker::{BuildError, Phase};

use crate::support::{
    Fault, Gate, Kit, LIMIT, Manager, Recorder, What, assert_complete, on_every_manager, within,
};

// Promise 9: numbers that contradict each other are refused before anything is made.
#[test]
fn a_contradiction_is_refused_before_anything_is_created() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let config = || kit.config(3);
        let texts = [
            (config().worker_count(0), "worker count must be positive"),
            (
                config().max_worker_count(2),
                "max_worker_count (2) is less than worker_count (3): raise the one or lower the other",
            ),
            (
                config().queue_capacity(0),
                "queue capacity must be positive: leave it unset for a queue without a limit",
            ),
        ];
        for (config, text) in texts {
            let refused = kind.try_build(config).unwrap_err();
            assert_eq!(refused.to_string(), text);
            assert_eq!(refused.into_inner(), None);
        }
        assert_eq!(kit.counts().calls, 0);
        assert_eq!(kit.holders(), 1);
    });
}

// Promise 9: the variants carry what they say.
#[test]
fn a_refusal_carries_the_numbers() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let none = kind.try_build(kit.config(0));
        assert!(matches!(none, Err(BuildError::NoWorkers)), "{none:?}");
        let few = kind.try_build(kit.config(3).max_worker_count(2));
        let as_given = matches!(
            few,
            Err(BuildError::MaxBelowWorkers { worker_count: 3, max_worker_count: 2, .. })
        );
        assert!(as_given, "{few:?}");
        let full = kind.try_build(kit.config(1).queue_capacity(0));
        assert!(matches!(full, Err(BuildError::NoCapacity)), "{full:?}");
    });
}

// Promise 9: `new` fails fast, whichever creation it was, and leaves neither resource nor thread.
#[test]
fn a_failed_creation_fails_the_building_and_leaves_nothing_behind() {
    on_every_manager(|kind| {
        let pooled = if kind == Manager::Local { 0 } else { 2 };
        for failing in 1..=3 + pooled {
            let (kit, seen) = (Kit::new(), Recorder::new());
            kit.fail_create(failing);
            let config = kit.config(3).resource_pool_size(2).observer(seen.clone());
            let failed = kind.try_build(config);
            assert!(matches!(failed, Err(BuildError::CreateFailed(Fault::Create))), "{failed:?}");
            kit.assert_all_destroyed_once();
            assert_eq!(kit.holders(), 1, "a thread is still there");
            let started = seen.count(|what| matches!(what, What::WorkerStarted { .. }));
            let stopped = seen.count(|what| matches!(what, What::WorkerStopped { .. }));
            assert_eq!((started, stopped), (3, 3));
        }
    });
}

// Promise 9: the errors read as the reference's, and give the cause back.
#[test]
fn a_failed_creation_tells_its_error() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        kit.fail_next_creates(9);
        let failed = kind.try_build(kit.config(2)).unwrap_err();
        assert_eq!(failed.to_string(), "failed to initialize resource pool: create fault");
        assert!(failed.source().is_none(), "the cause is in the text");
        assert_eq!(failed.inner(), Some(&Fault::Create));
        assert_eq!(failed.into_inner(), Some(Fault::Create));
        kit.fail_next_creates(0);
        kit.panic_next_create();
        let failed = kind.try_build(kit.config(2)).unwrap_err();
        assert_eq!(failed.to_string(), "on_create panicked: on_create panics on order");
        assert_eq!(failed.into_inner(), None);
    });
}

// Promise 9: after a failure the same kit builds a manager that works.
#[test]
fn a_building_that_failed_can_be_tried_again() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        kit.break_down();
        assert!(kind.try_build(kit.config(2)).is_err());
        kit.mend();
        let manager = kind.try_build(kit.config(2)).unwrap();
        manager.queue_task(|_, _| Ok(())).unwrap();
        assert_complete(&manager.stop().unwrap());
        kit.assert_all_destroyed_once();
    });
}

// Small print: everything is there when `new` returns.
#[test]
fn a_new_manager_has_every_resource_that_it_was_asked_for() {
    on_every_manager(|kind| {
        for _ in 0..20 {
            let (kit, seen) = (Kit::new(), Recorder::new());
            let config = kit.config(3).resource_pool_size(2).observer(seen.clone());
            let manager = kind.build(config);
            let pooled = if kind == Manager::Local { 0 } else { 2 };
            let stats = manager.stats();
            assert_eq!((stats.base_workers, stats.active_workers), (3, 3));
            assert_eq!((stats.burst_workers, stats.recovering_workers), (0, 0));
            assert_eq!(stats.available_resources, pooled);
            assert_eq!(kit.created(), 3 + pooled as u64);
            assert_eq!(manager.phase(), Phase::Running);
            assert_complete(&manager.stop().unwrap());
        }
    });
}

// Small print of `run_task`: it uses an idle worker's resource before it makes one of its own, and the
// workers of a manager that nobody has used yet are idle.
#[test]
fn the_workers_of_a_new_manager_are_idle() {
    on_every_manager(|kind| {
        for _ in 0..50 {
            let kit = Kit::new();
            let manager = kind.build(kit.config(2));
            assert_eq!(manager.stats().idle_workers, 2);
            assert!(manager.run_task(|_, res| Ok(res.id())).unwrap() <= 2);
            assert_eq!(kit.created(), 2);
        }
    });
}

// Small print: a pooled resource that is slow to make is waited for like a worker's, and none of them is
// made on a thread that `new` does not wait for.
#[test]
fn new_creates_every_resource_on_its_workers_threads() {
    for kind in [Manager::Lending, Manager::NotLending] {
        within(LIMIT, move || {
            for _ in 0..50 {
                let (kit, threads) = (Kit::new(), Arc::new(Mutex::new(Vec::new())));
                let (create, names) = (kit.clone(), Arc::clone(&threads));
                let config = tasker::Config::new(move || {
                    let name = thread::current().name().unwrap_or_default().to_owned();
                    names.lock().unwrap().push(name);
                    create.create()
                });
                let destroy = kit.clone();
                let config = config
                    .on_destroy(move |res| destroy.destroy(res))
                    .worker_count(2)
                    .resource_pool_size(3)
                    .thread_name("builder");
                let manager = kind.build(config);
                let made_by = threads.lock().unwrap().clone();
                assert_eq!(made_by.len(), 5);
                for name in made_by {
                    assert!(["builder-0", "builder-1"].contains(&&*name), "made by {name}");
                }
                assert_complete(&manager.stop().unwrap());
            }
        });
    }
}

// Small print: in parallel, because connections take their time.
#[test]
fn new_creates_the_workers_resources_in_parallel() {
    on_every_manager(|kind| {
        let (kit, gate) = (Kit::new(), Gate::new());
        kit.block_creates(&gate);
        thread::scope(|scope| {
            let manager = scope.spawn(|| kind.build(kit.config(4)));
            gate.await_arrivals(4); // none of them waits for another
            gate.open();
            assert_eq!(manager.join().unwrap().stats().active_workers, 4);
        });
    });
}

// Small print: threads are named after their manager.
#[test]
fn workers_threads_are_named_and_numbered() {
    on_every_manager(|kind| {
        for (name, expected) in [(None, "tasker-0"), (Some("kitchen"), "kitchen-0")] {
            let config = Kit::new().config(1).lending(false);
            let config = match name {
                Some(name) => config.thread_name(name),
                None => config,
            };
            let manager = kind.build(config);
            let task = |_: &_, _: &mut _| Ok(thread::current().name().map(str::to_owned));
            assert_eq!(manager.task(task).submit().wait().unwrap().as_deref(), Some(expected));
        }
    });
}

// Promise 9: the deprecated name builds the same manager.
#[test]
#[expect(deprecated, reason = "it is the old name that is tested")]
fn the_old_name_builds_a_manager() {
    within(LIMIT, || {
        let kit = Kit::new();
        let manager = tasker::TaskManager::new_runner(kit.config(1)).unwrap();
        assert_eq!(manager.queue_task(|_, res| Ok(res.id())).unwrap(), 1);
        assert_complete(&manager.stop().unwrap());
    });
}

//! A worker's life: get a resource, run tasks on it, replace it when it is condemned, go when told.

pub(crate) mod attempt;
pub(crate) mod scoped;
pub(crate) mod settle;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::context::{Seat, TaskContext};
use crate::engine::{Building, Engine, Unequipped};
use crate::event::{DestroyReason, Event, Owner};
use crate::metrics::TaskLifecycleTimestamps;
use crate::queue::job::Job;
use crate::queue::{Attempted, Effects, Order};
use crate::resource::lending::Lease;
use crate::resource::slot::Failure;
use crate::sync::Waiter;
use crate::task::Name;
use attempt::{discard, discard_for};
use settle::{Case, Verdict, Went};

/// A worker on its own thread.
pub(crate) struct Worker<R, E> {
    engine: Arc<Engine<R, E>>,
    seat: usize,
    number: usize,
    held: Option<Lease<R>>,
    /// At rest: the resource may lie on the shelf.
    rests: bool,
    /// An order that came while the worker was still being built.
    order: Option<(Order<R, E>, Instant)>,
}

impl<R: 'static, E: Send + 'static> Worker<R, E> {
    pub(crate) fn new(engine: Arc<Engine<R, E>>, seat: usize, number: usize) -> Self {
        Self { engine, seat, number, held: None, rests: false, order: None }
    }

    /// Runs until the worker is told to leave. A base worker makes its first resource while the manager
    /// is being built, helps to fill the pool, and does not try twice.
    pub(crate) fn run(mut self, building: Option<&Building<E>>) {
        let worker = self.number;
        self.engine.queue.sit_down(self.seat, Waiter::me());
        self.engine.reporter.emit(|sequence| Event::WorkerStarted { sequence, worker });
        match building {
            Some(building) => self.build(building),
            None => self.recover(),
        }
        while self.has_resource() {
            self.serve();
        }
        self.engine.worker_left(self.seat, worker);
    }

    fn build(&mut self, building: &Building<E>) {
        match self.create(Owner::Worker(self.number)) {
            Ok((resource, took)) => {
                self.equip(resource, took);
                while building.is_going_well() && self.engine.queue.take_reserve_slot() {
                    match self.create(Owner::Pool) {
                        Ok((resource, took)) => {
                            if let Some(late) = self.engine.stock(resource, took) {
                                self.engine.destroy(late, Owner::Pool, DestroyReason::Shutdown);
                            }
                        }
                        Err(failure) => building.failed(failure),
                    }
                }
            }
            Err(failure) => {
                self.engine.queue.leaving(self.seat);
                building.failed(failure);
            }
        }
        if self.has_resource() {
            // Before its part is done, so that the workers of a new manager are idle.
            self.check_in(self.engine.clock.now());
        }
        building.part_done();
    }

    fn has_resource(&self) -> bool {
        self.held.is_some() || self.rests
    }

    fn check_in(&mut self, now: Instant) {
        let engine = &self.engine;
        let clock = || engine.clock.now();
        self.order =
            engine.queue.check_in(self.seat, &mut self.held, now, clock, |fx| engine.perform(fx));
        self.rests = self.order.is_none();
    }

    /// The next order, after a rest if there is none yet.
    fn next(&mut self) -> (Order<R, E>, Instant) {
        let engine = &self.engine;
        let order = self.order.take().unwrap_or_else(|| {
            engine.queue.await_order(self.seat, &mut self.held, || engine.clock.now())
        });
        self.rests = false;
        order
    }

    /// Takes orders until one of them leaves the worker without a resource.
    fn serve(&mut self) {
        let mut now = None; // when the last attempt ended, where that is still the present
        loop {
            if !self.rests && self.order.is_none() {
                let now = now.take().unwrap_or_else(|| self.engine.clock.now());
                self.check_in(now);
            }
            let (order, at) = self.next();
            match order {
                Order::Run(job) => {
                    let (condemned, ended) = self.run_task(job, at);
                    now = Some(ended);
                    if let Some(reason) = condemned {
                        return self.replace(reason);
                    }
                }
                Order::Replace(reason) => return self.replace(reason),
                Order::Check if self.is_sound() => {}
                Order::Check => return self.replace_unsound(),
                Order::Leave(reason) => return self.destroy(reason),
            }
        }
    }

    /// One attempt: runs it, settles it, tells everybody.
    fn run_task(&mut self, job: Job<R, E>, started: Instant) -> (Option<DestroyReason>, Instant) {
        let engine = &self.engine;
        let lease = self.held.as_mut().expect("a worker is given tasks while it has a resource");
        let ticket = job.ticket();
        let settings = &ticket.settings;
        let attempt = ticket.begin_attempt();
        let id = ticket.id();
        let name = settings.name();
        engine.reporter.emit(|sequence| Event::TaskStarted { sequence, id, name, attempt });
        let seat = Seat::of(self.seat);
        let cx = TaskContext::new(id, attempt, settings, started, lease.token.clone(), seat);
        let ran = job.task().attempt(&cx, &mut lease.resource);
        discard(cx);
        let finished = engine.clock.now();
        let times = TaskLifecycleTimestamps::new(ticket.queued_at, started, finished);
        let case = engine.case(&ran, settings, ticket.may_run_again, attempt);
        let delay = engine.retry_delay(case);
        ticket.set_last_if_retrying(case, times);
        // Before the task can start, or even end, elsewhere. (If it is cancelled at this very moment it ends
        // here after all, with one retry too many counted.)
        let cancelled = lease.token.why();
        let retries = settle::settle(Case { cancelled, ..case }).task == settle::Settled::RunsAgain;
        let (retried, name) = if retries {
            engine.reporter.retry();
            (engine.reporter.reserve_sequence(), settings.name.clone())
        } else {
            (0, None) // nobody is told of a retry
        };
        // A delivery that runs code of the user's takes time that is not the next task's.
        let brief = job.is_brief() && engine.reporter.observers.is_empty();
        let mut fx = Effects::new();
        let attempted = Attempted { case, delay, finished };
        let queue = &engine.queue;
        let brief = brief && case.went == Went::Well && engine.reporter.is_brief();
        let settlement = if brief {
            let (settlement, next) =
                queue.settle_and_check_in(self.seat, &mut self.held, job, attempted, &mut fx);
            if let Some(order) = next {
                self.rests = order.is_none();
                self.order = order;
            }
            settlement
        } else {
            queue.settle_job(self.seat, lease, job, attempted, &mut fx)
        };
        engine.perform(fx);
        match settlement.job {
            Some(job) => {
                engine.conclude(job, ran, settlement.verdict.task, attempt, times, brief);
            }
            None => {
                discard_for(engine.identity(), ran);
                let name = name.as_ref().map(Name::as_str);
                engine.reporter.emit_at(retried, |sequence| Event::TaskRetried {
                    sequence,
                    id,
                    name,
                    attempt,
                    delay,
                });
            }
        }
        let now = if brief { finished } else { engine.clock.now() };
        let Verdict { condemned, suspect, .. } = settlement.verdict;
        if !suspect {
            return (condemned, now);
        }
        // The time that a validation takes is not the next task's.
        let unsound = (!self.is_sound()).then(|| {
            self.engine.condemn(self.seat);
            DestroyReason::Invalid
        });
        (unsound, self.engine.clock.now())
    }

    /// Whether the worker's resource may be used again.
    fn is_sound(&mut self) -> bool {
        let lease = self.held.as_mut().expect("a worker checks the resource that it has");
        self.engine.is_sound(&mut lease.resource)
    }

    fn replace_unsound(&mut self) {
        self.engine.condemn(self.seat);
        self.replace(DestroyReason::Invalid);
    }

    fn replace(&mut self, reason: DestroyReason) {
        self.destroy(reason);
        self.recover();
    }

    fn destroy(&mut self, reason: DestroyReason) {
        if let Some(lease) = self.held.take() {
            let owner = Owner::Worker(self.number);
            self.engine.destroy(*lease.resource, owner, reason);
        }
    }

    /// Tries to get a resource until there is one, or until the worker is not needed any more.
    fn recover(&mut self) {
        let mut failures = 0;
        loop {
            if self.engine.queue.should_leave_unequipped(self.seat, self.engine.clock.now()) {
                break;
            }
            let failure = match self.create(Owner::Worker(self.number)) {
                Ok((resource, took)) => return self.equip(resource, took),
                Err(failure) => failure,
            };
            match self.engine.create_failed(self.seat, failure, &mut failures) {
                Unequipped::Wait => self.engine.queue.await_retry(self.seat),
                Unequipped::TryAgain => {}
                Unequipped::Leave => break,
            }
        }
    }

    fn create(&self, owner: Owner) -> Result<(R, Duration), Failure<E>> {
        self.engine.create(owner)
    }

    fn equip(&mut self, resource: R, took: Duration) {
        self.held = Some(self.engine.equip(self.seat, resource, took));
    }
}

//! An errand: a spawned task plays the worker of one seat until its resource is at rest or its seat free. Where tasks
//! are submitted it is the runner that takes one after the other.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::{consume_budget, yield_now};

use super::Core;
use super::attempt::{Attempt, ending};
use super::bell::Bell;
use super::hooks::Unmade;
use super::shift::{Ended, Shift};
use crate::engine::{Building, Unequipped};
use crate::event::{DestroyReason, Event, Owner};
use crate::metrics::TaskLifecycleTimestamps;
use crate::outcome::{Outcome, Panic, TaskError};
use crate::queue::job::{Bench, Job};
use crate::queue::{Attempted, Effects, Order, Settlement};
use crate::resource::lending::Lease;
use crate::resource::slot::Failure;
use crate::shutdown::Phase;
use crate::task::{Name, Settings};
use crate::worker::attempt::discard_for;
use crate::worker::settle::{Case, Settled, Went, settle};

/// The worker of a seat, while it is at work. Dropped unfinished, because its runtime is gone, it does what
/// can be done without one.
pub(crate) struct Worker<R: Send + 'static, E: Send + 'static> {
    engine: Arc<Core<R, E>>,
    seat: usize,
    number: usize,
    held: Option<Lease<R>>,
    bell: Arc<Bell>,
    /// It is part of a manager that is being built.
    building: Option<Arc<Building<E>>>,
    finished: bool,
    /// Its resource lies on the shelf, and may get an order or be lent.
    rests: bool,
    /// It has run tasks since it last rested.
    ran: bool,
    /// Where it polls them.
    bench: Option<Box<dyn Bench>>,
    shift: Option<Box<Shift<R, E>>>,
}

/// What a worker does next, and from when on that counts.
type Next<R, E> = Option<(Order<R, E>, Instant)>;

/// How often a runner lets others run and looks again before it goes: whoever submits tasks one after the other is about
/// to submit the next one, for which another errand would be spawned.
const LOOKS: u32 = 8;

impl<R: Send + 'static, E: Send + 'static> Worker<R, E> {
    pub(crate) fn new(engine: Arc<Core<R, E>>, seat: usize, number: usize) -> Self {
        Self {
            engine,
            seat,
            number,
            held: None,
            bell: Bell::new(),
            building: None,
            finished: false,
            rests: false,
            ran: false,
            bench: None,
            shift: None,
        }
    }

    /// It is part of a manager that is being built; from here on, since its future may never be polled.
    pub(crate) fn building(mut self, building: Arc<Building<E>>) -> Self {
        self.building = Some(building);
        self
    }

    /// A new worker makes its resource. A base worker does so while the manager is being built, helps to fill
    /// the pool, and does not try twice.
    pub(crate) async fn begin(mut self) {
        self.engine.queue.sit_down(self.seat, self.bell.waiter());
        let worker = self.number;
        self.engine.reporter.emit(|sequence| Event::WorkerStarted { sequence, worker });
        match self.building.clone() {
            Some(building) => self.build(&building).await,
            None => self.recover().await,
        }
        self.serve(None).await;
        self.part_done();
    }

    /// Carries out the order that lies at the seat.
    pub(crate) async fn run_errand(mut self) {
        self.engine.queue.sit_down(self.seat, self.bell.waiter());
        let order = self.take_order();
        debug_assert!(order.is_some(), "an errand is run for an order");
        self.serve(order).await;
    }

    async fn build(&mut self, building: &Building<E>) {
        match self.engine.make(Owner::Worker(self.number)).await {
            Ok((resource, took)) => {
                self.equip(resource, took);
                while building.is_going_well() && self.engine.queue.take_reserve_slot() {
                    match self.engine.make(Owner::Pool).await {
                        Ok((resource, took)) => {
                            if let Some(late) = self.engine.stock(resource, took) {
                                self.engine
                                    .unmake(late, Owner::Pool, DestroyReason::Shutdown)
                                    .await;
                            }
                        }
                        Err(Unmade::Failed(failure)) => building.failed(failure),
                        Err(Unmade::Killed) => break,
                    }
                }
            }
            Err(unmade) => {
                self.engine.queue.leaving(self.seat);
                if let Unmade::Failed(failure) = unmade {
                    building.failed(failure);
                }
            }
        }
    }

    fn part_done(&mut self) {
        if let Some(building) = self.building.take() {
            building.part_done();
        }
    }

    /// Carries out one order after the other, until the resource is at rest or the worker has left.
    async fn serve(&mut self, mut next: Next<R, E>) {
        loop {
            let mut checked_in = None;
            match next {
                None => {}
                Some((Order::Run(job), at)) => checked_in = self.run_task(job, at).await,
                Some((Order::Check, _)) => self.check().await,
                Some((Order::Replace(reason), _)) => self.replace(reason).await,
                Some((Order::Leave(reason), _)) => self.unmake(reason).await,
            }
            if checked_in.is_none() && self.held.is_none() {
                return self.leave();
            }
            let order = checked_in.unwrap_or_else(|| self.check_in());
            self.rests = order.is_none();
            next = match order {
                Some(order) => Some(order),
                None => self.look_around().await,
            };
            if next.is_none() {
                return;
            }
        }
    }

    /// One attempt of a submitted task. What the worker does next, or rest, if it has checked in.
    async fn run_task(&mut self, job: Job<R, E>, at: Instant) -> Option<Next<R, E>> {
        self.ran = true;
        let lease = self.held.take().expect("a worker is given tasks while it has a resource");
        let shift = self.shift.get_or_insert_with(|| Shift::new(&self.engine, self.seat));
        shift.begin(lease, job);
        // Tasks that never wait leave the others of their runtime their turn.
        let yielded = yield_if_over_budget().await;
        let shift = self.shift.as_mut().expect("it was just seen");
        // Whoever was told of the last end may have taken its time, which is not this task's.
        let Settings { timeout, start_within, .. } = &shift.job().ticket().settings;
        let exact = yielded || timeout.is_some() || start_within.is_some();
        shift.start_at(if exact { self.engine.clock.now() } else { at });
        shift.job().take_up(&mut self.bench);
        let bench = self.bench.as_mut().expect("the task has taken its place there");
        let with = &mut self.shift;
        poll_fn(|cx| bench.poll(cx, with)).await;
        self.settle().await
    }

    /// Settles the attempt that has ended, and tells everybody.
    async fn settle(&mut self) -> Option<Next<R, E>> {
        let shift = self.shift.as_mut().expect("it comes back when its attempt has ended");
        let started = shift.started();
        let Ended { lease, job, attempt } = shift.end();
        self.held = Some(lease);
        let lease = self.held.as_mut().expect("it was just laid there");
        let engine = &self.engine;
        let ticket = job.ticket();
        let settings = &ticket.settings;
        let (id, attempts) = (ticket.id(), ticket.attempt());
        let finished = engine.clock.now();
        let times = TaskLifecycleTimestamps::new(ticket.queued_at, started, finished);
        let (case, ran) = match attempt {
            Attempt::Ended(ran, _) => {
                (engine.case(&ran, settings, ticket.may_run_again, attempts), Some(ran))
            }
            Attempt::Cut(went) => (engine.case_of(went, settings, false, attempts), None),
        };
        let before = if case.went.has_begun() { Some(times) } else { ticket.last() };
        let delay = engine.retry_delay(case);
        ticket.set_last_if_retrying(case, times);
        // Before the task can start, or even end, elsewhere, as a thread does it.
        let cancelled = lease.token.why();
        let retries = settle(Case { cancelled, ..case }).task == Settled::RunsAgain;
        let (retried, name) = if retries {
            engine.reporter.retry();
            (engine.reporter.reserve_sequence(), settings.name.clone())
        } else {
            (0, None)
        };
        let brief = job.is_brief() && case.went == Went::Well && engine.reporter.is_brief();
        let attempted = Attempted { case, delay, finished };
        let mut fx = Effects::new();
        let mut checked_in = None;
        let Settlement { verdict, job } = if brief {
            let (queue, held) = (&engine.queue, &mut self.held);
            let (settlement, next) =
                queue.settle_and_check_in(self.seat, held, job, attempted, &mut fx);
            checked_in = next;
            settlement
        } else {
            engine.queue.settle_job(self.seat, lease, job, attempted, &mut fx)
        };
        self.rests = matches!(checked_in, Some(None));
        engine.perform(fx);
        match job {
            Some(job) => {
                let ending = ending(engine.identity(), ran, verdict.task, attempts);
                let outcome = ending.as_ref().err().map_or(Outcome::Completed, TaskError::outcome);
                engine.tell_end(id, job.ticket().settings.name(), outcome, before);
                match ending {
                    Ok(()) if brief => engine.finish_briefly(job),
                    ending => engine.finish(job, ending),
                }
            }
            None => {
                discard_for(engine.identity(), ran);
                let name = name.as_ref().map(Name::as_str);
                engine.reporter.emit_at(retried, |sequence| Event::TaskRetried {
                    sequence,
                    id,
                    name,
                    attempt: attempts,
                    delay,
                });
            }
        }
        if let Some(reason) = verdict.condemned {
            self.replace(reason).await;
        } else if verdict.suspect {
            self.check().await;
        }
        checked_in
    }

    fn check_in(&mut self) -> Next<R, E> {
        let engine = &self.engine;
        let clock = || engine.clock.now();
        engine.queue.check_in(self.seat, &mut self.held, clock(), clock, |fx| engine.perform(fx))
    }

    fn take_order(&mut self) -> Next<R, E> {
        let order = self.engine.queue.take_order(self.seat, &mut self.held)?;
        self.rests = false;
        Some((order, self.engine.clock.now()))
    }

    /// The resource is at rest: the next order if one comes soon, or none, and nobody attends the seat any more.
    async fn look_around(&mut self) -> Next<R, E> {
        if std::mem::take(&mut self.ran) {
            for _ in 0..LOOKS {
                turn_or_ring(&self.bell).await;
                let order = self.take_order();
                if order.is_some() {
                    return order;
                }
            }
        }
        self.get_up()
    }

    fn get_up(&mut self) -> Next<R, E> {
        self.rests = false;
        match self.engine.queue.get_up(self.seat, &mut self.held) {
            Some(order) => Some((order, self.engine.clock.now())),
            None => {
                self.finished = true; // from here on the seat may have another errand
                None
            }
        }
    }

    fn leave(&mut self) {
        self.finished = true;
        self.engine.worker_left(self.seat, self.number);
    }

    /// Whether the worker's resource may be used again.
    async fn is_sound(&mut self) -> bool {
        let lease = self.held.as_mut().expect("a worker checks the resource that it has");
        self.engine.proves_sound(&mut lease.resource).await
    }

    /// Keeps the resource if it is sound, and replaces it if not.
    async fn check(&mut self) {
        if self.is_sound().await {
            return;
        }
        self.engine.condemn(self.seat);
        let reason = match self.engine.queue.phase() {
            Phase::Killed => DestroyReason::Shutdown, // it was not asked
            _ => DestroyReason::Invalid,
        };
        self.replace(reason).await;
    }

    async fn replace(&mut self, reason: DestroyReason) {
        self.unmake(reason).await;
        self.recover().await;
    }

    async fn unmake(&mut self, reason: DestroyReason) {
        if let Some(lease) = self.held.take() {
            self.engine.unmake(*lease.resource, Owner::Worker(self.number), reason).await;
        }
    }

    /// Tries to get a resource until there is one, or until the worker is not needed any more.
    async fn recover(&mut self) {
        let mut failures = 0;
        loop {
            if self.engine.queue.should_leave_unequipped(self.seat, self.engine.clock.now()) {
                break;
            }
            let failure = match self.engine.make(Owner::Worker(self.number)).await {
                Ok((resource, took)) => return self.equip(resource, took),
                Err(Unmade::Failed(failure)) => failure,
                Err(Unmade::Killed) => {
                    self.engine.queue.leaving(self.seat);
                    break;
                }
            };
            match self.engine.create_failed(self.seat, failure, &mut failures) {
                Unequipped::Wait => {
                    while self.engine.queue.is_retry_ahead(self.seat) {
                        self.bell.rung().await;
                    }
                }
                Unequipped::TryAgain => {}
                Unequipped::Leave => break,
            }
        }
    }

    fn equip(&mut self, resource: R, took: Duration) {
        self.held = Some(self.engine.equip(self.seat, resource, took));
    }
}

impl<R: Send + 'static, E: Send + 'static> Drop for Worker<R, E> {
    fn drop(&mut self) {
        // What is in the middle of an attempt ends it, and lays the resource on the shelf with an order.
        drop((self.bench.take(), self.shift.take()));
        if !self.finished {
            self.engine.strand();
            if self.rests {
                self.get_up(); // whoever has borrowed the resource brings it back
            } else if self.held.is_none() {
                // An order whose errand never began; with it the resource comes off the shelf.
                let _ = self.take_order();
            }
        }
        if !self.finished {
            if let Some(lease) = self.held.take() {
                let owner = Owner::Worker(self.number);
                self.engine.unmake_at_once(*lease.resource, owner, DestroyReason::Shutdown);
            }
            if let Some(building) = &self.building {
                building.failed(Failure::Panicked(Panic::new(Box::new("the runtime shut down"))));
            }
            self.leave();
        }
        self.part_done();
    }
}

/// Lets others run until a turn of its runtime is over, or the bell rings. Whoever yields goes on when its thread has
/// nothing else to do, which may be long after; a ring wakes it on any thread.
async fn turn_or_ring(bell: &Bell) {
    let (mut turn, mut ring) = (pin!(yield_now()), pin!(bell.rung()));
    poll_fn(|cx| match ring.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => turn.as_mut().poll(cx),
    })
    .await;
}

/// Lets others run if this task has done much since it was last polled; whether it had.
async fn yield_if_over_budget() -> bool {
    let mut budget = pin!(consume_budget());
    let mut yielded = false;
    poll_fn(|cx| {
        let polled = budget.as_mut().poll(cx);
        yielded |= polled.is_pending();
        polled.map(|()| yielded)
    })
    .await
}

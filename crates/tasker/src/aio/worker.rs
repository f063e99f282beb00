//! An errand: a spawned task plays the worker of one seat until its resource is at rest or its seat free.

use std::sync::Arc;
use std::time::Duration;

use super::Core;
use super::bell::Bell;
use super::hooks::Unmade;
use crate::engine::{Building, Unequipped};
use crate::event::{DestroyReason, Event, Owner};
use crate::outcome::Panic;
use crate::queue::Order;
use crate::resource::lending::Lease;
use crate::resource::slot::Failure;
use crate::shutdown::Phase;

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
}

impl<R: Send + 'static, E: Send + 'static> Worker<R, E> {
    pub(crate) fn new(engine: Arc<Core<R, E>>, seat: usize, number: usize) -> Self {
        let (held, building, finished) = (None, None, false);
        Self { engine, seat, number, held, bell: Bell::new(), building, finished }
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
        let order = self.engine.queue.take_order(self.seat, &mut self.held);
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
    async fn serve(&mut self, mut order: Option<Order<R, E>>) {
        loop {
            match order {
                None => {}
                Some(Order::Check) if self.is_sound().await => {}
                Some(Order::Check) => {
                    self.engine.condemn(self.seat);
                    let reason = match self.engine.queue.phase() {
                        Phase::Killed => DestroyReason::Shutdown, // it was not asked
                        _ => DestroyReason::Invalid,
                    };
                    self.replace(reason).await;
                }
                Some(Order::Replace(reason)) => self.replace(reason).await,
                Some(Order::Leave(reason)) => self.unmake(reason).await,
                Some(Order::Run(_)) => unreachable!("futures run their tasks themselves"),
            }
            if self.held.is_none() {
                return self.leave();
            }
            order = self.check_in();
            if order.is_none() {
                self.finished = true; // from here on the seat may have another errand
                return;
            }
        }
    }

    fn check_in(&mut self) -> Option<Order<R, E>> {
        let engine = &self.engine;
        let clock = || engine.clock.now();
        let order = engine.queue.check_in(self.seat, &mut self.held, clock(), clock, |fx| {
            engine.perform(fx);
        });
        order.map(|(order, _)| order)
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
        if !self.finished {
            self.engine.strand();
            if self.held.is_none() {
                // An order whose errand never began; with it the resource comes off the shelf.
                let _ = self.engine.queue.take_order(self.seat, &mut self.held);
            }
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

//! ractor: a factory of actors, each with a state of its own.

use std::sync::Arc;

use ractor::concurrency::oneshot;
use ractor::factory::queues::DefaultQueue;
use ractor::factory::routing::QueuerRouting;
use ractor::factory::{
    Factory, FactoryArguments, FactoryRef, Job, Worker, WorkerBuilder, WorkerId,
};
use ractor::{Actor, ActorProcessingErr, RpcReplyPort};

use super::{About, AsyncBacklog, Awaited, BoxFuture};
use crate::caller::{Caller, Tally};
use crate::work::{Empty, Work};

pub(super) const ABOUT: About = About {
    name: "ractor factory",
    differs: "messages to actors by way of a factory, which is an actor too: messages instead of closures; \
              it has priorities and replaces workers, but no retries or times.",
};

/// The factory, which workers that are free take jobs from.
#[derive(Debug)]
pub(crate) struct RactorFactory(FactoryRef<(), Count>);

/// Asks for one piece of work.
#[derive(Debug)]
pub(crate) struct Count(RpcReplyPort<u64>);

struct Counter;

impl Worker for Counter {
    type Key = ();
    type Message = Count;
    /// Its resource.
    type State = u64;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: WorkerId,
        _: &FactoryRef<(), Count>,
        (): (),
    ) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: WorkerId,
        _: &FactoryRef<(), Count>,
        job: Job<(), Count>,
        resource: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        Ok(job.msg.0.send(Empty.run(resource))?)
    }
}

struct Builder;

impl WorkerBuilder<Counter, ()> for Builder {
    fn build(&mut self, _: WorkerId) -> (Counter, ()) {
        (Counter, ())
    }
}

type Definition =
    Factory<(), Count, (), Counter, QueuerRouting<(), Count>, DefaultQueue<(), Count>>;

impl RactorFactory {
    pub(crate) async fn new(workers: usize) -> Self {
        let arguments = FactoryArguments::builder()
            .worker_builder(Box::new(Builder))
            .num_initial_workers(workers)
            .router(QueuerRouting::default())
            .queue(DefaultQueue::default())
            .build();
        let (factory, _) =
            Actor::spawn(None, Definition::default(), arguments).await.expect("it starts");
        Self(factory)
    }
}

impl Drop for RactorFactory {
    fn drop(&mut self) {
        self.0.stop(None);
    }
}

impl Awaited for RactorFactory {
    fn about(&self) -> About {
        ABOUT
    }

    fn call(self: Arc<Self>, caller: Caller<Empty>) -> BoxFuture<Tally> {
        Box::pin(async move {
            let factory = &self.0;
            let op = |_| async move {
                let reply = factory.call_job((), Count, None).await;
                reply.expect("the factory runs").expect("the worker answers")
            };
            caller.repeat_async(op).await
        })
    }
}

impl AsyncBacklog for RactorFactory {
    fn about(&self) -> About {
        ABOUT
    }

    fn hand_in(&self, n: u64) -> BoxFuture<u64> {
        let mut answers = Vec::with_capacity(n as usize);
        for _ in 0..n {
            let (reply, answer) = oneshot();
            self.0.dispatch((), Count(reply.into())).expect("the factory runs");
            answers.push(answer);
        }
        Box::pin(async move {
            let mut results = 0;
            for answer in answers {
                results += answer.await.expect("the worker answers");
            }
            results
        })
    }
}

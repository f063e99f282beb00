//! deadpool: a pool of anything, whose users await an object and run in their own task.

use std::convert::Infallible;
use std::sync::Arc;

use deadpool::managed::{Manager, Metrics, Pool, RecycleResult};

use super::{About, AsyncBacklog, Awaited, BoxFuture, spawned};
use crate::caller::{Caller, Tally};
use crate::work::{Empty, Work};

pub(super) const ABOUT: About = About {
    name: "deadpool",
    differs: "`get`, then the caller does the work itself: objects are checked when they are given out; no \
              priorities, retries, times or outcomes. A backlog is a spawned task each.",
};

#[derive(Debug)]
pub(crate) struct Deadpool(Pool<Counters>);

#[derive(Debug)]
pub(crate) struct Counters;

impl Manager for Counters {
    type Type = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        Ok(0)
    }

    async fn recycle(&self, _: &mut u64, _: &Metrics) -> RecycleResult<Infallible> {
        Ok(())
    }
}

impl Deadpool {
    pub(crate) fn new(size: usize) -> Self {
        Self(Pool::builder(Counters).max_size(size).build().expect("no timeouts are set"))
    }
}

async fn work(pool: &Pool<Counters>) -> u64 {
    Empty.run(&mut pool.get().await.expect("a counter is made"))
}

impl Awaited for Deadpool {
    fn about(&self) -> About {
        ABOUT
    }

    fn call(self: Arc<Self>, caller: Caller<Empty>) -> BoxFuture<Tally> {
        Box::pin(async move { caller.repeat_async(|_| work(&self.0)).await })
    }
}

impl AsyncBacklog for Deadpool {
    fn about(&self) -> About {
        ABOUT
    }

    fn hand_in(&self, n: u64) -> BoxFuture<u64> {
        spawned(n, || {
            let pool = self.0.clone();
            async move { work(&pool).await }
        })
    }
}

//! bb8: a pool of connections, whose users await one and run in their own task.

use std::convert::Infallible;
use std::sync::Arc;

use bb8::{ManageConnection, Pool};

use super::{About, AsyncBacklog, Awaited, BoxFuture, spawned};
use crate::caller::{Caller, Tally};
use crate::work::{Empty, Work};

pub(super) const ABOUT: About = About {
    name: "bb8",
    differs: "`get`, then the caller does the work itself: its test of each connection is switched off; no \
              priorities, retries, times or outcomes. A backlog is a spawned task each.",
};

#[derive(Debug)]
pub(crate) struct Bb8(Pool<Counters>);

#[derive(Debug)]
pub(crate) struct Counters;

impl ManageConnection for Counters {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(0)
    }

    async fn is_valid(&self, _: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut u64) -> bool {
        false
    }
}

impl Bb8 {
    pub(crate) async fn new(size: usize) -> Self {
        let size = u32::try_from(size).expect("a pool has fewer connections");
        let builder = Pool::builder().max_size(size).test_on_check_out(false);
        Self(builder.build(Counters).await.expect("a counter is made"))
    }
}

async fn work(pool: &Pool<Counters>) -> u64 {
    Empty.run(&mut pool.get().await.expect("a counter is made"))
}

impl Awaited for Bb8 {
    fn about(&self) -> About {
        ABOUT
    }

    fn call(self: Arc<Self>, caller: Caller<Empty>) -> BoxFuture<Tally> {
        Box::pin(async move { caller.repeat_async(|_| work(&self.0)).await })
    }
}

impl AsyncBacklog for Bb8 {
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

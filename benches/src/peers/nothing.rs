//! No manager at all: each caller does its work itself.

use super::{About, Blocking, on_own_resource};
use crate::caller::{Caller, Tally};
use crate::work::Work;

pub(super) const ABOUT: About = About {
    name: "no manager",
    differs: "the limit: every caller has a resource of its own, so that nothing is shared and nobody waits.",
};

#[derive(Debug)]
pub(crate) struct Nothing;

impl<W: Work> Blocking<W> for Nothing {
    fn about(&self) -> About {
        ABOUT
    }

    fn call(&self, caller: Caller<W>) -> Tally {
        caller.repeat(on_own_resource)
    }
}

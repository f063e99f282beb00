//! DECISION: how long a resource is kept, and what is done when its time comes.

use std::time::{Duration, Instant};

use crate::event::DestroyReason;

/// What was asked for about the life of resources; nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LifeRules {
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) max_uses: Option<u64>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) min_idle: usize,
    /// Resources can be validated, and must be if they were idle for so long.
    pub(crate) validate_after: Option<Duration>,
}

impl LifeRules {
    /// Whether a resource is kept for as long as its worker, however old it is and whatever it did.
    pub(crate) fn keeps_all(&self) -> bool {
        self.max_lifetime.is_none() && self.max_uses.is_none() && self.validate_after.is_none()
    }
}

/// The part of its lifetime after which a replacement is prepared: drawn evenly between these, so that
/// resources made together do not expire together. What is left is time to make the replacement.
const EARLIEST: f64 = 0.85;
const LATEST: f64 = 0.95;

/// One resource's age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    /// From here on a replacement is wanted.
    ages_at: Option<Instant>,
    /// Here the resource goes.
    ends_at: Option<Instant>,
    uses: u64,
}

/// How far a life is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Young,
    /// A replacement is wanted; until it is there the resource is still good.
    Aging(DestroyReason),
    /// The resource must not be used any more.
    Over(DestroyReason),
}

/// What is done about a worker's resource that is aging or over.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Succession {
    /// Nothing, for now.
    Wait,
    /// One more worker is hired, and takes over when its resource is ready.
    Hire,
    /// The worker destroys its resource and makes another.
    Replace(DestroyReason),
    /// The worker goes: its successor is there, or on its way.
    Leave(DestroyReason),
}

impl Life {
    /// A resource made now; `draw` is even in `0.0..1.0`.
    pub(crate) fn begin(rules: &LifeRules, draw: f64, now: Instant) -> Self {
        let ages = |lifetime: Duration| lifetime.mul_f64(EARLIEST + (LATEST - EARLIEST) * draw);
        // A lifetime beyond what an `Instant` can tell is no limit.
        let at = |age: Duration| now.checked_add(age);
        let ends_at = rules.max_lifetime.and_then(at);
        let ages_at = rules.max_lifetime.filter(|_| ends_at.is_some()).map(ages).and_then(at);
        Self { ages_at, ends_at, uses: 0 }
    }

    /// Of a worker that has no resource yet.
    pub(crate) const fn none() -> Self {
        Self { ages_at: None, ends_at: None, uses: 0 }
    }

    /// A task is going to use the resource.
    #[inline]
    pub(crate) fn used(&mut self) {
        self.uses += 1;
    }

    /// The task did not get to use it after all.
    pub(crate) fn unused(&mut self) {
        self.uses = self.uses.saturating_sub(1);
    }

    pub(crate) fn stage(&self, rules: &LifeRules, now: Instant) -> Stage {
        let spent = rules.max_uses.is_some_and(|max| self.uses >= max);
        let past = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        if past(self.ends_at) {
            Stage::Over(DestroyReason::Expired)
        } else if spent {
            Stage::Over(DestroyReason::MaxUses)
        } else if past(self.ages_at) {
            Stage::Aging(DestroyReason::Expired)
        } else if self.is_worn(rules) {
            Stage::Aging(DestroyReason::MaxUses)
        } else {
            Stage::Young
        }
    }

    /// Whether its uses, rather than its years, are what makes it age.
    pub(crate) fn is_worn(&self, rules: &LifeRules) -> bool {
        rules.max_uses.is_some_and(|max| self.uses >= max - max / 10)
    }

    /// When to look again although nobody uses the resource.
    pub(crate) fn next_at(&self, now: Instant) -> Option<Instant> {
        self.ages_at.filter(|at| *at > now).or(self.ends_at.filter(|at| *at > now))
    }
}

/// What is done, given whether a successor is there or under way and whether there is a free seat for one.
pub(crate) fn succession(stage: Stage, has_successor: bool, has_room: bool) -> Succession {
    match (stage, has_successor, has_room) {
        (Stage::Young, ..) | (Stage::Aging(_), true, _) => Succession::Wait,
        (Stage::Aging(_), false, true) => Succession::Hire,
        // Its lifetime is drawn early on purpose; its last uses are as good as its first.
        (Stage::Aging(DestroyReason::Expired), false, false) => {
            Succession::Replace(DestroyReason::Expired)
        }
        (Stage::Aging(_), false, false) => Succession::Wait,
        (Stage::Over(reason), true, _) => Succession::Leave(reason),
        (Stage::Over(reason), false, _) => Succession::Replace(reason),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::clock::real_now;
    use DestroyReason::{Expired, MaxUses};

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn used(rules: &LifeRules, uses: u64) -> Life {
        let mut life = Life::begin(rules, 0.0, real_now());
        (0..uses).for_each(|_| life.used());
        life
    }

    #[test]
    fn a_lifetime_is_jittered_and_never_exceeded() {
        let now = real_now();
        let rules = LifeRules { max_lifetime: Some(secs(100)), ..LifeRules::default() };
        for (draw, ages) in [(0.0, 85), (0.5, 90), (1.0, 95)] {
            let life = Life::begin(&rules, draw, now);
            let stage = |after| life.stage(&rules, now + secs(after));
            assert_eq!(stage(ages - 1), Stage::Young);
            assert_eq!(stage(ages + 1), Stage::Aging(Expired));
            assert_eq!(stage(100), Stage::Over(Expired));
            assert!(life.next_at(now).unwrap() < now + secs(96));
            assert_eq!(life.next_at(now + secs(ages + 1)), Some(now + secs(100)));
            assert_eq!(life.next_at(now + secs(100)), None);
            // What is due at a time is no reason to look again after it.
            assert_eq!(life.next_at(life.ages_at.unwrap()), life.ends_at);
        }
    }

    #[test]
    fn a_resource_is_kept_as_long_as_its_worker_unless_a_rule_may_end_it() {
        let (time, none) = (Some(secs(9)), LifeRules::default());
        let table = [
            (none, true),
            (LifeRules { idle_timeout: time, min_idle: 2, ..none }, true), // of workers and of the pool
            (LifeRules { max_lifetime: time, ..none }, false),
            (LifeRules { max_uses: Some(9), ..none }, false),
            (LifeRules { validate_after: time, ..none }, false),
        ];
        for (rules, keeps) in table {
            assert_eq!(rules.keeps_all(), keeps, "{rules:?}");
        }
    }

    #[test]
    fn a_use_that_was_none_does_not_count() {
        let rules = LifeRules { max_uses: Some(2), ..LifeRules::default() };
        let mut life = used(&rules, 2);
        life.unused();
        assert_eq!(life.stage(&rules, real_now()), Stage::Young);
        life.used();
        assert_eq!(life.stage(&rules, real_now()), Stage::Over(MaxUses));
    }

    #[test]
    fn a_resource_ages_in_the_last_tenth_of_its_uses() {
        let rules = |max| LifeRules { max_uses: Some(max), ..LifeRules::default() };
        let table = [
            (1, 0, Stage::Young),
            (1, 1, Stage::Over(MaxUses)),
            (5, 4, Stage::Young),
            (5, 5, Stage::Over(MaxUses)),
            (100, 89, Stage::Young),
            (100, 90, Stage::Aging(MaxUses)),
            (100, 100, Stage::Over(MaxUses)),
            (u64::MAX, 3, Stage::Young),
        ];
        for (max, uses, stage) in table {
            let rules = rules(max);
            assert_eq!(used(&rules, uses).stage(&rules, real_now()), stage, "{uses} of {max}");
        }
    }

    #[test]
    fn without_rules_nothing_ages() {
        let rules = LifeRules::default();
        let life = used(&rules, 1000);
        assert_eq!(life.stage(&rules, real_now() + secs(1_000_000)), Stage::Young);
        assert_eq!(life.next_at(real_now()), None);
        let endless = LifeRules { max_lifetime: Some(Duration::MAX), ..rules };
        assert_eq!(Life::begin(&endless, 0.5, real_now()).next_at(real_now()), None);
    }

    #[test]
    fn a_replacement_is_made_first_where_there_is_room() {
        let (aging, worn) = (Stage::Aging(Expired), Stage::Aging(MaxUses));
        let table = [
            (Stage::Young, false, true, Succession::Wait),
            (aging, false, true, Succession::Hire),
            (aging, true, true, Succession::Wait),
            (aging, false, false, Succession::Replace(Expired)),
            (worn, false, true, Succession::Hire),
            (worn, false, false, Succession::Wait),
            (Stage::Over(MaxUses), true, false, Succession::Leave(MaxUses)),
            (Stage::Over(MaxUses), false, true, Succession::Replace(MaxUses)),
            (Stage::Over(Expired), false, false, Succession::Replace(Expired)),
        ];
        for (stage, successor, room, expected) in table {
            assert_eq!(succession(stage, successor, room), expected, "{stage:?}");
        }
    }
}

//! DECISION: which of all that waits is next: the highest lane first, and in a lane whoever came first.
//!
//! A lane holds *jobs*, which a worker runs, and *claims* of blocked callers, which only want a
//! resource. Both stand in one order of arrival; each can step out in O(1).

use super::line::Line;

/// How many lanes there are: low, normal, high, and one above all for `run_task`.
pub(crate) const LEVELS: usize = 4;
/// The lane above all, for `run_task` where nothing can be lent.
pub(crate) const URGENT: usize = 3;

/// Who is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Job(Spot),
    Claim(Spot),
}

impl Next {
    pub(crate) fn at(spot: Spot, is_job: bool) -> Self {
        if is_job { Self::Job(spot) } else { Self::Claim(spot) }
    }
}

/// Where something stands: its lane and its index there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) level: usize,
    pub(crate) index: u32,
}

#[derive(Debug)]
pub(crate) struct Lanes<J, C> {
    jobs: [Line<J>; LEVELS],
    claims: [Line<C>; LEVELS],
    arrivals: u64,
    all_jobs: usize,
    all_claims: usize,
}

impl<J, C> Lanes<J, C> {
    pub(crate) fn new() -> Self {
        Self {
            jobs: std::array::from_fn(|_| Line::new()),
            claims: std::array::from_fn(|_| Line::new()),
            arrivals: 0,
            all_jobs: 0,
            all_claims: 0,
        }
    }

    pub(crate) fn push_job(&mut self, level: usize, job: J) -> Spot {
        self.arrivals += 1;
        self.all_jobs += 1;
        Spot { level, index: self.jobs[level].push_back(self.arrivals, job) }
    }

    pub(crate) fn push_claim(&mut self, level: usize, claim: C) -> Spot {
        self.arrivals += 1;
        self.all_claims += 1;
        Spot { level, index: self.claims[level].push_back(self.arrivals, claim) }
    }

    pub(crate) fn remove_job(&mut self, spot: Spot) -> Option<J> {
        let job = self.jobs[spot.level].remove(spot.index)?;
        self.all_jobs -= 1;
        Some(job)
    }

    pub(crate) fn remove_claim(&mut self, spot: Spot) -> Option<C> {
        let claim = self.claims[spot.level].remove(spot.index)?;
        self.all_claims -= 1;
        Some(claim)
    }

    pub(crate) fn job(&self, spot: Spot) -> Option<&J> {
        self.jobs[spot.level].get(spot.index)
    }

    pub(crate) fn claim(&self, spot: Spot) -> Option<&C> {
        self.claims[spot.level].get(spot.index)
    }

    pub(crate) fn job_mut(&mut self, spot: Spot) -> Option<&mut J> {
        self.jobs[spot.level].get_mut(spot.index)
    }

    pub(crate) fn claim_mut(&mut self, spot: Spot) -> Option<&mut C> {
        self.claims[spot.level].get_mut(spot.index)
    }

    pub(crate) fn jobs(&self) -> usize {
        self.all_jobs
    }

    pub(crate) fn claims(&self) -> usize {
        self.all_claims
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.all_jobs + self.all_claims == 0
    }

    /// How many wait in one lane.
    pub(crate) fn waiting(&self, level: usize) -> usize {
        self.jobs[level].len() + self.claims[level].len()
    }

    pub(crate) fn jobs_in(&self, level: usize) -> usize {
        self.jobs[level].len()
    }

    /// The first of a lane's claims, whatever jobs stand before it.
    pub(crate) fn first_claim_in(&self, level: usize) -> Option<Spot> {
        self.claims[level].front().map(|(index, _)| Spot { level, index })
    }

    /// Who has precedence over everyone else.
    pub(crate) fn next(&self) -> Option<Next> {
        (0..LEVELS).rev().find_map(|level| self.next_in(level))
    }

    /// Who is first in one lane.
    pub(crate) fn next_in(&self, level: usize) -> Option<Next> {
        let spot = |index| Spot { level, index };
        match (self.jobs[level].front(), self.claims[level].front()) {
            (None, None) => None,
            (Some((job, _)), None) => Some(Next::Job(spot(job))),
            (None, Some((claim, _))) => Some(Next::Claim(spot(claim))),
            (Some((job, came)), Some((claim, then))) => {
                Some(if came < then { Next::Job(spot(job)) } else { Next::Claim(spot(claim)) })
            }
        }
    }

    /// The first claim in order of precedence, whatever jobs stand before it.
    pub(crate) fn first_claim(&self) -> Option<Spot> {
        (0..LEVELS).rev().find_map(|level| self.first_claim_in(level))
    }

    /// The first job for which one of `idle` free resources is left over when every claim before it
    /// has been given one.
    pub(crate) fn first_job_within(&self, idle: usize) -> Option<Spot> {
        let mut left = idle;
        for level in (0..LEVELS).rev() {
            if left == 0 {
                return None;
            }
            let claims = &self.claims[level];
            match self.jobs[level].front() {
                None => left = left.saturating_sub(claims.len()),
                Some((index, came)) => {
                    let before =
                        claims.iter().take(left).filter(|(_, then, _)| *then < came).count();
                    return (before < left).then_some(Spot { level, index });
                }
            }
        }
        None
    }

    /// The first job of each lane that has one.
    pub(crate) fn first_jobs(&self) -> impl Iterator<Item = &J> {
        self.jobs.iter().filter_map(|line| line.get(line.front()?.0))
    }

    /// The first claim of each lane that has one.
    pub(crate) fn first_claims(&self) -> impl Iterator<Item = &C> {
        self.claims.iter().filter_map(|line| line.get(line.front()?.0))
    }

    /// Every job, highest lane first.
    pub(crate) fn iter_jobs(&self) -> impl Iterator<Item = &J> {
        self.jobs.iter().rev().flat_map(|line| line.iter().map(|(_, _, job)| job))
    }

    /// The oldest of the lowest lane that is not above `level` and for which `may_go` holds.
    pub(crate) fn oldest_not_above(
        &self,
        level: usize,
        may_go_job: impl Fn(&J) -> bool,
        may_go_claim: impl Fn(&C) -> bool,
    ) -> Option<Next> {
        (0..=level).find_map(|level| {
            let job = self.jobs[level].iter().find(|(_, _, job)| may_go_job(job));
            let claim = self.claims[level].iter().find(|(_, _, claim)| may_go_claim(claim));
            let spot = |index| Spot { level, index };
            match (job, claim) {
                (None, None) => None,
                (Some((job, ..)), None) => Some(Next::Job(spot(job))),
                (None, Some((claim, ..))) => Some(Next::Claim(spot(claim))),
                (Some((job, came, _)), Some((claim, then, _))) => {
                    Some(if came < then { Next::Job(spot(job)) } else { Next::Claim(spot(claim)) })
                }
            }
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn drain(lanes: &mut Lanes<&'static str, &'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| match lanes.next()? {
            Next::Job(spot) => lanes.remove_job(spot),
            Next::Claim(spot) => lanes.remove_claim(spot),
        })
        .collect()
    }

    #[test]
    fn a_higher_lane_goes_first_and_a_lane_keeps_its_order_of_arrival() {
        let mut lanes = Lanes::new();
        lanes.push_job(0, "low");
        lanes.push_job(1, "normal 1");
        lanes.push_claim(1, "normal 2");
        lanes.push_job(2, "high");
        lanes.push_job(1, "normal 3");
        lanes.push_job(URGENT, "urgent");
        assert_eq!(
            drain(&mut lanes),
            ["urgent", "high", "normal 1", "normal 2", "normal 3", "low"]
        );
        assert!(lanes.is_empty());
    }

    #[test]
    fn a_job_is_within_reach_when_the_claims_before_it_leave_a_resource() {
        let mut lanes = Lanes::new();
        lanes.push_claim(2, "c1");
        lanes.push_claim(1, "c2");
        let job = lanes.push_job(1, "j");
        lanes.push_claim(1, "c3");
        for (idle, expected) in [(0, None), (1, None), (2, None), (3, Some(job)), (4, Some(job))] {
            assert_eq!(lanes.first_job_within(idle), expected, "{idle} idle");
        }
    }

    #[test]
    fn the_oldest_of_the_lowest_lane_is_the_one_to_evict() {
        let mut lanes = Lanes::new();
        lanes.push_job(2, "high");
        let kept = lanes.push_job(1, "kept");
        let claim = lanes.push_claim(1, "claim");
        assert_eq!(lanes.oldest_not_above(0, |_| true, |_| true), None);
        assert_eq!(lanes.oldest_not_above(2, |_| true, |_| true), Some(Next::Job(kept)));
        assert_eq!(
            lanes.oldest_not_above(1, |job| *job != "kept", |_| true),
            Some(Next::Claim(claim))
        );
    }

    #[test]
    fn who_waits_can_be_looked_at_and_changed() {
        let mut lanes = Lanes::new();
        let (job, claim) = (lanes.push_job(1, "job"), lanes.push_claim(1, "claim"));
        assert_eq!(lanes.job_mut(job).map(|job| std::mem::replace(job, "changed")), Some("job"));
        *lanes.claim_mut(claim).expect("it waits") = "changed too";
        assert_eq!((lanes.job(job), lanes.claim(claim)), (Some(&"changed"), Some(&"changed too")));
        assert_eq!(
            (lanes.jobs(), lanes.claims(), lanes.waiting(1), lanes.jobs_in(1)),
            (1, 1, 2, 1)
        );
    }

    #[test]
    fn who_steps_out_is_not_next() {
        let mut lanes: Lanes<&str, &str> = Lanes::new();
        let first = lanes.push_job(1, "first");
        lanes.push_job(1, "second");
        assert_eq!(lanes.remove_job(first), Some("first"));
        assert_eq!(drain(&mut lanes), ["second"]);
    }
}

//! The one lock: lanes, seats, the shelf of idle resources, the agenda and the phase change together
//! under it. `README.md` beside this file has the protocol.

pub(crate) mod awaited;
mod blocked;
mod claim;
mod close;
pub(crate) mod delay;
mod door;
mod due;
mod floor;
mod guest;
mod inbox;
#[cfg(all(test, loom))]
mod inspect;
pub(crate) mod job;
pub(crate) mod lanes;
mod life;
mod line;
#[cfg(any(feature = "tokio", all(test, loom)))]
mod poll;
mod pool;
mod rack;
mod scale;
mod seat;
mod stuck;

use std::cell::Cell;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use claim::{Attempted, Denial, Loan};
pub(crate) use door::{Borrowed, Entry, Mode, Submitted};
pub(crate) use due::Timetable;
pub(crate) use guest::{Chore, Guest, Welcome};
#[cfg(any(feature = "tokio", all(test, loom)))]
pub(crate) use poll::Abandoned;
pub(crate) use pool::Visit;
use rack::Locked;
#[cfg(feature = "tokio")]
pub(crate) use seat::Settlement;
pub(crate) use seat::{AfterFailure, Order};

use crate::autoscale::{Allowance, Gauge, Reason};
use crate::cancel::{CancelToken, Why};
use crate::explain::StuckTask;
use crate::metrics::Arrivals;
use crate::outcome::TaskError;
use crate::overflow::Overflow;
use crate::pool::roster::{Condition, Roster};
use crate::resource::lending::Shelf;
use crate::resource::life::{Life, LifeRules};
use crate::resource::rack::{Places, Rack};
use crate::retry::backoff::Backoff;
use crate::shutdown::{Phase, Straggler, Tally};
use crate::sync::{AtomicU64, Condvar, Mutex, Numbers, Ordering, Waiter};
use crate::task::{Name, Priority, TaskId};

use delay::{Agenda, Appointment};
use inbox::Inbox;
use job::{Job, Place};
use lanes::{LEVELS, Lanes};
use line::Line;

/// How long the first blocked caller of a lane may be overtaken by callers that are already running.
/// Half a millisecond is far below what a person or a timeout notices, and long enough to save the two
/// context switches that every strict hand-over costs (promises 4 and 18).
pub(crate) const OVERTAKING: Duration = Duration::from_micros(500);

/// How long the first blocked caller naps between two looks while it is being overtaken.
const NAP: Duration = Duration::from_micros(100);

/// What a manager's queue is told once.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) worker_count: usize,
    pub(crate) max_worker_count: usize,
    pub(crate) burst_interval: Duration,
    pub(crate) retry_backoff: Backoff,
    pub(crate) reserve_size: usize,
    pub(crate) capacity: usize,
    pub(crate) overflow: Overflow,
    /// Idle resources lie on the shelf and blocking callers borrow them.
    pub(crate) lends: bool,
    /// Resources may leave their threads at all.
    pub(crate) shelves: bool,
    /// A short timed nap makes sense: time moves by itself.
    pub(crate) naps: bool,
    /// Workers are slots without threads, and callers are futures: nobody is overtaken, and an order to a
    /// slot that is at rest is an errand for somebody.
    pub(crate) slots: bool,
    /// Idle resources lie on a rack, from which callers take them without the lock.
    pub(crate) racks: bool,
    /// So do the resources of the pool.
    pub(crate) pool_racks: bool,
    /// Tasks are handed in without the lock while everybody is busy.
    pub(crate) inbox: bool,
    /// How long an attempt may take before it is told of.
    pub(crate) stuck_after: Option<Duration>,
    /// Another worker takes the place of one whose task is stuck.
    pub(crate) replace_stuck: bool,
    /// Since when to count the tasks that come in, where nobody else does.
    pub(crate) counts_arrivals: Option<Instant>,
    pub(crate) life: LifeRules,
}

impl Rules {
    /// Whether there can be more workers than the base, now or at another load.
    fn may_scale(&self) -> bool {
        !self.burst_interval.is_zero() && self.max_worker_count > self.worker_count
    }
}

/// Everything that changes together.
pub(crate) struct Queue<R, E> {
    state: Mutex<State<R, E>>,
    /// What can be done without the lock while nobody waits.
    rack: Option<Arc<dyn Rack<R>>>,
    /// What `run_task` takes from the pool without the lock.
    pool_rack: Option<Arc<dyn Rack<R>>>,
    /// Where tasks can be handed in without the lock while everybody is busy.
    inbox: Option<Arc<Inbox<R, E>>>,
    ids: Arc<Numbers>,
    finished: Condvar,
    /// Cancelled when a shutdown is over, for those who await it.
    pub(crate) over: CancelToken,
}

pub(crate) struct State<R, E> {
    rules: Rules,
    phase: Phase,
    tally: Tally,
    ids: Arc<Numbers>,
    /// What has been accepted and waits.
    lanes: Lanes<Entry<Job<R, E>>, Entry<u32>>,
    /// How many in the lanes take a place of the capacity.
    counted: usize,
    /// Who waits for room in the lanes.
    outside: Lanes<Entry<Job<R, E>>, Entry<u32>>,
    /// Retries that are not due yet.
    delayed: Line<(Who<R, E>, Appointment)>,
    /// Blocked callers, wherever they wait.
    claims: Line<claim::Claim<E>>,
    /// Who waits in the middle of a task for another one.
    blocked: Line<blocked::Blocked>,
    /// Seats whose tasks wait for others, or have just waited.
    held_up: usize,
    /// Numbers the tasks of seats that were held up.
    epochs: u64,
    arrivals: u64,
    /// Since when each lane's first claim has been its first.
    first_since: [Option<Instant>; LEVELS],
    /// The one claim that is awake, or napping, while resources lie idle and callers wait.
    usher: Option<u32>,
    roster: Roster,
    seats: Vec<Seat<R, E>>,
    hired: usize,
    shelf: Box<dyn Shelf<R>>,
    rack: Option<Arc<dyn Rack<R>>>,
    /// The seats that have a place there.
    racked: u64,
    /// Seats whose resources were on the rack when it was opened, a bit for each; none while it is closed.
    on_rack: u64,
    inbox: Option<Arc<Inbox<R, E>>>,
    /// The highest lane whose tasks can be handed in without the lock; none while the inbox is closed.
    inbox_open_to: Option<usize>,
    /// The inbox's memory while it is closed.
    inbox_spare: Vec<Job<R, E>>,
    /// When tasks last ended there, by seat, as far as it has been asked.
    rested: Vec<Option<Instant>>,
    guests: Line<Running>,
    pool: pool::PoolRack<R>,
    reserve_missing: usize,
    /// Places of the pool for which a resource is being made.
    reserve_making: usize,
    /// Places of the pool that are empty because what lay there was idle for too long.
    reserve_dormant: usize,
    /// When the pool has to be looked through for what lies there for too long.
    reserve_watch: Option<Appointment>,
    steward: Option<Waiter>,
    steward_live: bool,
    /// What the steward, or those who stand in for it, are in the middle of.
    chores: usize,
    /// The manager is built; before that the workers fill the pool, so that `new` fails fast.
    built: bool,
    steward_retry: Option<Appointment>,
    agenda: Agenda<due::Due>,
    tick: Option<Appointment>,
    /// It is as early as it would be if one more task came, or there is no room to grow.
    hastened: bool,
    /// When somebody looks for tasks that are stuck.
    stuck_watch: Option<Appointment>,
    /// Seats whose workers do not count against the cap, since their task is stuck: few as a rule.
    aside: Vec<usize>,
    /// When a policy was last asked.
    last_look: Option<Instant>,
    /// How long after a look the next arrival may ask for another.
    between_looks: Duration,
    gauge: Gauge,
    /// For the metrics, where they are the manager's own.
    arrived: Option<Box<Arrivals>>,
    /// There may be more workers than the base: then somebody looks at the gauge.
    may_scale: bool,
    allowance: Allowance,
    /// Creations that failed since the last one that did not.
    failures: u32,
    /// What the policy said last, and the last change of the number of workers.
    latest: Option<Reason>,
    last_change: Option<scale::Changed>,
    /// Tasks are accepted and not started.
    paused: bool,
    /// Who is without a resource, by kind, as of a state of roster and links; see `unequipped_by_kind`.
    by_kind: Cell<((u64, u64), scale::ByKind)>,
    /// Rises when a worker without a resource changes its kind.
    regrouped: u64,
    /// Workers in the middle of something that go when they are free.
    outgoing: usize,
    /// After a resize there may be more workers than there should be; whoever is free first goes.
    shrinking: bool,
    timekeeper: Option<Waiter>,
    began: Option<Instant>,
    /// The manager is drained, and everybody has been told.
    dismissed: bool,
    done: Option<Instant>,
    /// The manager's event numbers, shared with its reporter.
    sequence: Arc<AtomicU64>,
}

/// Who waits: a task for a worker, or a blocked caller for a resource.
pub(crate) enum Who<R, E> {
    Job(Job<R, E>),
    Claim(u32),
}

/// What belongs to one worker besides its condition.
struct Seat<R, E> {
    number: usize,
    waiter: Option<Waiter>,
    /// Somebody carries out what it is ordered to: always, where workers are threads.
    attended: bool,
    token: CancelToken,
    running: Running,
    order: Option<Order<R, E>>,
    retry: Option<Appointment>,
    /// When the creation that is under way began.
    creating_since: Option<Instant>,
    life: Life,
    /// The next look at the resource's age.
    age: Option<Appointment>,
    /// What becomes of the worker when it is free.
    parting: Option<life::Parting>,
    /// Who is to take over, and from whom.
    successor: Option<usize>,
    predecessor: Option<usize>,
    /// How many wait in the middle of its task for other tasks.
    blocked: u32,
    /// Another one when a task has ended that was held up.
    epoch: u64,
    /// Its task is stuck, and another worker has its place.
    set_aside: bool,
}

/// What runs on a seat, or as a guest. It is written in place for every task: moving it about was a
/// tenth of what a blocking call costs.
struct Running {
    active: bool,
    id: TaskId,
    name: Option<Name>,
    location: Option<&'static Location<'static>>,
    started: Option<Instant>,
    /// It was told of as stuck.
    told: bool,
    why: Option<Why>,
    timeout: Option<Appointment>,
    token: Option<CancelToken>, // a guest's; a seat keeps its own
}

impl Running {
    fn none() -> Self {
        Self {
            active: false,
            id: TaskId(0),
            name: None,
            location: None,
            started: None,
            told: false,
            why: None,
            timeout: None,
            token: None,
        }
    }

    /// A task starts.
    #[inline]
    fn begin(
        &mut self,
        id: TaskId,
        name: Option<Name>,
        location: &'static Location<'static>,
        now: Instant,
        timeout: Option<Appointment>,
    ) {
        self.active = true;
        self.id = id;
        self.name = name;
        self.location = Some(location);
        self.started = Some(now);
        self.told = false;
        self.why = None;
        self.timeout = timeout;
    }
}

/// What is to be done once the lock is released: waking and everything that runs user code.
pub(crate) struct Effects<R, E> {
    pub(crate) wake: Vec<Waiter>,
    /// Tasks that end without running (any more), and whether they had been accepted.
    pub(crate) ended: Vec<(Job<R, E>, TaskError<E>, bool)>,
    pub(crate) cancel: Vec<Cancelling>,
    pub(crate) admitted: Vec<Admitted>,
    pub(crate) news: Vec<News>,
    /// The policy is to be asked; only the timekeeper is told.
    pub(crate) look: bool,
    /// Whoever carries it out has an order already, or may be given one: what takes time is not to be done here.
    pub(crate) aside: bool,
    /// The shutdown is over.
    pub(crate) over: bool,
}

/// A seat whose worker has something to do.
#[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "threads run no errands"))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Errand {
    pub(crate) seat: usize,
    pub(crate) number: usize,
}

/// Something that runs is told to stop; with `abort` its future is dropped at its next await.
pub(crate) struct Cancelling {
    pub(crate) token: CancelToken,
    pub(crate) why: Why,
    pub(crate) abort: bool,
}

/// A task that got the room it waited for.
pub(crate) struct Admitted {
    pub(crate) sequence: u64,
    pub(crate) id: TaskId,
    pub(crate) name: Option<Name>,
    pub(crate) priority: Priority,
}

/// What observers and the pool are to be told. The sequence number is taken under the lock: told
/// outside of it, a stop's beginning could otherwise come after its end.
pub(crate) enum News {
    Phase {
        sequence: u64,
        phase: Phase,
    },
    Scaled {
        sequence: u64,
        from: usize,
        to: usize,
        reason: Reason,
    },
    Paused {
        sequence: u64,
        paused: bool,
    },
    /// A task runs for too long.
    Stuck {
        sequence: u64,
        task: Box<StuckTask>,
    },
    /// Somebody is to carry out the order that lies at a seat.
    Errand(Errand),
    /// A worker is to be started for a seat that is already taken.
    Hired {
        seat: usize,
        number: usize,
    },
}

impl News {
    fn is_of_a_task(&self) -> bool {
        matches!(self, Self::Stuck { .. })
    }
}

impl<R, E> Effects<R, E> {
    pub(crate) fn new() -> Self {
        Self {
            wake: Vec::new(),
            ended: Vec::new(),
            cancel: Vec::new(),
            admitted: Vec::new(),
            news: Vec::new(),
            look: false,
            aside: false,
            over: false,
        }
    }

    /// Whether there is nothing to carry out, as after most tasks.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.wake.is_empty()
            && !self.over
            && self.ended.is_empty()
            && self.cancel.is_empty()
            && self.admitted.is_empty()
            && self.news.is_empty()
    }

    /// Whether dropping it gives nothing back.
    pub(crate) fn has_no_memory(&self) -> bool {
        let Self { wake, ended, cancel, admitted, news, look: _, aside: _, over: _ } = self;
        let memory = [
            wake.capacity(),
            ended.capacity(),
            cancel.capacity(),
            admitted.capacity(),
            news.capacity(),
        ];
        memory == [0; 5]
    }

    /// Whether carrying it out can run code of the user's.
    fn runs_user_code(&self) -> bool {
        !(self.ended.is_empty()
            && self.cancel.is_empty()
            && self.admitted.is_empty()
            && self.news.is_empty())
    }

    /// Whether it tells callers or watchers of single tasks.
    pub(crate) fn tells_of_tasks(&self) -> bool {
        !(self.ended.is_empty() && self.admitted.is_empty())
            || self.news.iter().any(News::is_of_a_task)
    }

    /// Takes that out.
    pub(crate) fn split_off_endings(&mut self) -> Self {
        Self {
            news: self.news.extract_if(.., |news| news.is_of_a_task()).collect(),
            ended: std::mem::take(&mut self.ended),
            admitted: std::mem::take(&mut self.admitted),
            ..Self::new()
        }
    }

    /// Not for a future's waker, which is cloned and woken outside the lock.
    fn wake(&mut self, waiter: Option<&Waiter>) {
        self.wake.extend(waiter.cloned());
    }
}

/// Numbers for `stats()`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) worker_count: usize,
    pub(crate) active: usize,
    pub(crate) burst: usize,
    pub(crate) idle: usize,
    pub(crate) recovering: usize,
    pub(crate) queued: usize,
    pub(crate) high: usize,
    pub(crate) delayed: usize,
    pub(crate) running: usize,
    pub(crate) reserved: usize,
    pub(crate) max_worker_count: usize,
    pub(crate) leaving: usize,
    pub(crate) paused: bool,
}

impl<R, E> Queue<R, E> {
    pub(crate) fn new(
        rules: Rules,
        mut shelf: Box<dyn Shelf<R>>,
        sequence: Arc<AtomicU64>,
        now: Instant,
    ) -> Self {
        let ids = Arc::new(Numbers::default());
        let places =
            || Places::new(rules.max_worker_count, Arc::clone(&ids), rules.counts_arrivals, now);
        let rack = rules.racks.then(|| shelf.set_up(places())).flatten();
        let pool_places =
            || Places::new(rules.reserve_size, Arc::clone(&ids), rules.counts_arrivals, now);
        let pool_rack = rules.pool_racks.then(|| shelf.set_up_pool(pool_places())).flatten();
        // What takes a place of a capacity has to know how many are taken.
        let inbox = rules.inbox && rules.capacity == usize::MAX;
        let inbox = inbox.then(|| Arc::new(Inbox::new()));
        let state = State {
            phase: Phase::Running,
            tally: Tally::default(),
            ids: Arc::clone(&ids),
            lanes: Lanes::new(),
            counted: 0,
            outside: Lanes::new(),
            delayed: Line::new(),
            claims: Line::new(),
            blocked: Line::new(),
            held_up: 0,
            epochs: 0,
            arrivals: 0,
            first_since: [None; LEVELS],
            usher: None,
            roster: Roster::new(rules.max_worker_count),
            seats: Vec::new(),
            hired: 0,
            shelf,
            rested: vec![None; if rack.is_some() { rules.max_worker_count } else { 0 }],
            racked: rack.as_ref().map_or(0, |rack| rack.seats()),
            rack: rack.clone(),
            on_rack: 0,
            inbox: inbox.clone(),
            inbox_open_to: None,
            inbox_spare: Vec::new(),
            guests: Line::new(),
            pool: pool::PoolRack::new(pool_rack.clone()),
            reserve_missing: rules.reserve_size,
            reserve_making: 0,
            reserve_dormant: 0,
            reserve_watch: None,
            steward: None,
            steward_live: false,
            chores: 0,
            built: false,
            steward_retry: None,
            agenda: Agenda::new(),
            tick: None,
            hastened: false,
            stuck_watch: None,
            aside: Vec::new(),
            last_look: None,
            between_looks: crate::autoscale::pause_between_looks(
                Duration::ZERO,
                rules.burst_interval,
            ),
            gauge: Gauge::new(now),
            arrived: rules.counts_arrivals.map(|start| Box::new(Arrivals::new(start))),
            may_scale: rules.may_scale(),
            allowance: Allowance::FULL,
            failures: 0,
            latest: None,
            last_change: None,
            paused: false,
            by_kind: Cell::default(),
            regrouped: 1, // nothing is known yet
            outgoing: 0,
            shrinking: false,
            timekeeper: None,
            began: None,
            dismissed: false,
            done: None,
            sequence,
            rules,
        };
        state.note_on_rack();
        let (state, finished, over) = (Mutex::new(state), Condvar::new(), CancelToken::new());
        Self { state, rack, pool_rack, inbox, ids, finished, over }
    }

    /// The whole state: racks and inbox are closed until the guard goes.
    fn lock(&self) -> Locked<'_, R, E> {
        let mut state = self.lock_beside_inbox();
        state.close_inbox();
        state
    }

    /// As [`lock`](Self::lock), but what has been handed in stays where it is, and more may come.
    fn lock_beside_inbox(&self) -> Locked<'_, R, E> {
        let mut state = self.state.lock();
        if state.on_rack != 0 {
            state.close_rack();
        }
        if state.pool.is_open() {
            state.close_pool();
        }
        Locked(state)
    }

    pub(crate) fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Adds the tasks that have come in.
    pub(crate) fn add_arrivals(&self, sum: &mut Arrivals) {
        if let Some(arrived) = &self.lock().arrived {
            sum.add(arrived);
        }
        for rack in self.rack.iter().chain(&self.pool_rack) {
            rack.add_arrivals(sum);
        }
    }

    pub(crate) fn count(&self) -> Count {
        let state = self.lock();
        let roster = &state.roster;
        let high = Priority::High.level();
        let waiting = state.lanes.jobs() + state.lanes.claims();
        let outside = state.outside.jobs() + state.outside.claims();
        let high_waiting = state.lanes.waiting(high) + state.outside.waiting(high);
        Count {
            worker_count: state.rules.worker_count,
            active: roster.equipped(),
            burst: roster.staying().saturating_sub(state.rules.worker_count),
            idle: roster.idle(),
            recovering: roster.count(Condition::Creating) + roster.count(Condition::Recovering),
            queued: waiting + outside - high_waiting,
            high: high_waiting,
            delayed: state.delayed.len(),
            running: state.seats.iter().filter(|seat| seat.running.active).count()
                + state.guests.iter().filter(|(_, _, running)| running.active).count(),
            reserved: state.shelf.reserved(),
            max_worker_count: state.rules.max_worker_count,
            leaving: roster.count(Condition::Leaving),
            paused: state.paused,
        }
    }
}

impl<R, E> State<R, E> {
    fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// A task has been let in.
    #[inline]
    fn accept(&mut self, now: Instant) {
        self.tally.accepted += 1;
        if let Some(arrived) = &mut self.arrived {
            arrived.record(now);
        }
    }

    fn next_id(&self) -> TaskId {
        TaskId(self.ids.next())
    }

    /// Notes `what` for `at` and sees to it that the timekeeper knows.
    fn appoint(&mut self, at: Instant, what: due::Due, fx: &mut Effects<R, E>) -> Appointment {
        let earliest = self.agenda.next_at();
        let appointment = self.agenda.add(at, what);
        if earliest.is_none_or(|earliest| at < earliest) {
            fx.wake(self.timekeeper.as_ref());
        }
        appointment
    }

    /// Everything that has not ended: what runs, then what waits.
    fn stragglers(&self, now: Instant) -> Vec<Straggler> {
        let running = self.seats.iter().map(|seat| &seat.running).filter(|running| running.active);
        let guests = self.guests.iter().map(|(_, _, running)| running);
        let guests = guests.filter(|running| running.active);
        let mut all: Vec<Straggler> = running
            .chain(guests)
            .map(|running| Straggler {
                id: running.id,
                name: running.name.as_ref().map(|name| name.as_str().to_owned()),
                running_for: running
                    .started
                    .map_or(Duration::ZERO, |started| now.saturating_duration_since(started)),
            })
            .collect();
        let queued = |id, name: Option<&Name>| Straggler {
            id,
            name: name.map(|name| name.as_str().to_owned()),
            running_for: Duration::ZERO,
        };
        let of_job = |job: &Job<R, E>| {
            let ticket = job.ticket();
            queued(ticket.id(), ticket.settings.name.as_ref())
        };
        all.extend(self.lanes.iter_jobs().map(|entry| of_job(&entry.what)));
        all.extend(self.delayed.iter().filter_map(|(_, _, (who, _))| match who {
            Who::Job(job) => Some(of_job(job)),
            Who::Claim(_) => None,
        }));
        let waiting = self.claims.iter().filter(|(_, _, claim)| claim.is_pending());
        all.extend(waiting.map(|(_, _, claim)| queued(claim.id, claim.name.as_ref())));
        all
    }

    fn place_of(who: &Who<R, E>, claims: &mut Line<claim::Claim<E>>, place: Place) {
        match who {
            Who::Job(job) => job.ticket().set_place(place),
            Who::Claim(key) => {
                if let Some(claim) = claims.get_mut(*key) {
                    claim.set_place(place);
                }
            }
        }
    }
}

//! The table that the default policy is held to, with the figures of the others beside it.

use std::io::{self, Write};
use std::time::Duration;

use tasker::autoscale::simulate::{Setup, Trace};

use crate::policies;
use crate::table::milliseconds;

const SEEDS: [u64; 3] = [1, 2, 3];
const PRICE: f64 = 20.0;
const MAX: usize = 32;

/// The 99th percentile of waits in milliseconds and the cost, which the default policy is not to exceed.
const LIMITS: [(&str, u64, f64); 4] = [
    ("steady", 30, 4300.0),
    ("step", 2000, 5200.0),
    ("spikes", 2300, 5800.0),
    ("sine", 360, 8300.0),
];

/// Whether the default policy is within every limit.
pub(crate) fn print(out: &mut impl Write) -> io::Result<bool> {
    let setup = Setup::new(Duration::from_secs(2)).worker_count(2).max_worker_count(MAX);
    writeln!(
        out,
        "a creation takes 2 s and costs {PRICE}, 2 to {MAX} workers, tasks take 0.2 s on average"
    )?;
    writeln!(
        out,
        "for each of the seeds 1, 2 and 3: the 99th percentile of waits, and the cost\n"
    )?;
    writeln!(
        out,
        "{:8} {:11} {:>27}  {:>24}  {:>5} {:>10}",
        "trace", "policy", "p99 wait, ms", "cost, resource-seconds", "peak", "above cap"
    )?;
    let mut holds = true;
    for (trace, wait, cost) in LIMITS {
        writeln!(out, "{trace:8} {:11} {:>27}  {:>24}", "limit", wait, cost)?;
        for policy in policies::NAMES {
            let (mut waits, mut costs) = (String::new(), String::new());
            let (mut peak, mut violations) = (0, 0);
            for seed in SEEDS {
                let made = Trace::named(trace, seed).expect("a name of the library");
                let simulation = policies::play(policy, &made, &setup, MAX, PRICE)
                    .expect("the limits fit every policy");
                waits += &format!("{:>9}", milliseconds(simulation.wait_p99));
                costs += &format!("{:>8.0}", simulation.cost(PRICE));
                peak = peak.max(simulation.peak);
                violations += simulation.cap_violations;
                if policy == "break-even" {
                    holds &= simulation.wait_p99 <= Duration::from_millis(wait);
                    holds &= simulation.cost(PRICE) <= cost;
                }
                holds &= simulation.cap_violations == 0;
            }
            writeln!(
                out,
                "{:8} {policy:11} {waits:>27}  {costs:>24}  {peak:>5} {violations:>10}",
                ""
            )?;
        }
        writeln!(out)?;
    }
    let verdict = if holds { "is within every limit" } else { "is beyond a limit" };
    writeln!(out, "break-even {verdict}")?;
    Ok(holds)
}

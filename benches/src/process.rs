//! What the system says of this process: its memory, its threads' CPU and how often they were woken.

use std::fs;
use std::time::Duration;

/// Resident memory in MB, where `/proc` tells.
pub(crate) fn resident_mb() -> Option<f64> {
    Some(resident()? as f64 / 1e6)
}

/// Resident memory in bytes, where `/proc` tells.
pub(crate) fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// What all threads but the calling one have used so far: whoever watches is not part of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    /// Voluntary context switches: each is a thread that had been woken and went to sleep again.
    pub(crate) wakeups: u64,
}

impl Usage {
    pub(crate) fn of_the_others() -> Self {
        let own = fs::read_link("/proc/thread-self").unwrap_or_default();
        let (mut nanoseconds, mut wakeups) = (0, 0);
        for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            if Some(thread.file_name().as_os_str()) == own.file_name() {
                continue;
            }
            let read =
                |file: &str| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
            let status = read("status");
            let line =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            wakeups += line.and_then(|n| n.trim().parse::<u64>().ok()).unwrap_or(0);
            let schedule = read("schedstat");
            nanoseconds +=
                schedule.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
        Self { cpu: Duration::from_nanos(nanoseconds), wakeups }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            wakeups: self.wakeups.saturating_sub(before.wakeups),
        }
    }
}

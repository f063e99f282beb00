//! What the system says of this process: its memory and its threads.

use std::fs;

/// Resident memory in bytes, where `/proc` tells.
pub(crate) fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = status.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size())
}

/// How many threads there are, where `/proc` tells.
pub(crate) fn threads() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("Threads:"))?.trim().parse().ok()
}

/// `smaps` tells the kernel's page in KiB, so that no call of the C library is needed.
fn page_size() -> u64 {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let line = maps.lines().find_map(|line| line.strip_prefix("KernelPageSize:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(4) * 1024
}

/// What memory may grow by, beyond a tenth, before it is not called flat: what an allocator may keep.
const SLACK: u64 = 8 << 20;
/// Fewer samples say nothing.
const SAMPLES: usize = 50;

/// Whether memory stayed where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// There were too few samples, or the system does not tell.
    Unknown,
    /// The medians of the second fifth of the samples, after warm-up, and of the last one.
    Flat {
        early: u64,
        late: u64,
    },
    Grew {
        early: u64,
        late: u64,
    },
}

impl Memory {
    /// Compares samples that were taken between generations, when nothing but the soak itself lived: the
    /// first fifth warms up, the median of the last may be above that of the second by a tenth and 8 MiB.
    pub(crate) fn of(samples: &[u64]) -> Self {
        if samples.len() < SAMPLES {
            return Self::Unknown;
        }
        let fifth = samples.len() / 5;
        let early = median(&samples[fifth..2 * fifth]);
        let late = median(&samples[samples.len() - fifth..]);
        if late <= early + early / 10 + SLACK {
            Self::Flat { early, late }
        } else {
            Self::Grew { early, late }
        }
    }
}

fn median(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows_after_warm_up_is_not_flat() {
        const MIB: u64 = 1 << 20;
        let warms_up: Vec<u64> = (0..100).map(|n| MIB * (10 + n.min(19))).collect();
        assert!(matches!(Memory::of(&warms_up), Memory::Flat { .. }));
        let grows: Vec<u64> = (0..100).map(|n| MIB * (10 + n)).collect();
        assert!(matches!(Memory::of(&grows), Memory::Grew { .. }));
        assert_eq!(Memory::of(&grows[..SAMPLES - 1]), Memory::Unknown);
    }
}

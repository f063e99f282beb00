//! Counts heap allocations and live bytes, while it is told to.
//!
//! Counting is off while time is measured: a count that all threads share would slow down exactly those
//! systems that allocate. Then an allocation costs one load of a flag that nobody writes.
//!
//! # Safety
//!
//! [`Counting`] hands every call on to [`System`] with the arguments it got, and returns what that returns.
//! Beside that it only adds to atomic counters: it neither allocates nor panics, and it reads no memory that
//! it hands out.

#![expect(unsafe_code, reason = "an allocator; the chapter above says why it is sound")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Below zero where more was freed than allocated since counting began.
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

/// The allocator of the whole program.
#[derive(Debug)]
pub(crate) struct Counting;

/// Counts from now on, until it is dropped. There is one at a time.
#[derive(Debug)]
pub(crate) struct Count(());

/// What was counted so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    /// Calls that asked for memory: one that makes a block larger counts as well.
    pub(crate) allocations: u64,
    pub(crate) live_bytes: i64,
}

impl Count {
    pub(crate) fn begin() -> Self {
        let was_on = COUNTS.swap(true, Ordering::SeqCst);
        assert!(!was_on, "two counts at a time would count each other's allocations");
        ALLOCATIONS.store(0, Ordering::SeqCst);
        LIVE_BYTES.store(0, Ordering::SeqCst);
        Self(())
    }

    pub(crate) fn so_far(&self) -> Counted {
        Counted {
            allocations: ALLOCATIONS.load(Ordering::SeqCst),
            live_bytes: LIVE_BYTES.load(Ordering::SeqCst),
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        COUNTS.store(false, Ordering::SeqCst);
    }
}

fn add(allocations: u64, bytes: i64) {
    if COUNTS.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(allocations, Ordering::Relaxed);
        LIVE_BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call goes on to `System` as it came, and its result goes back as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(1, layout.size() as i64);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(1, layout.size() as i64);
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        add(0, -(layout.size() as i64));
        // SAFETY: `block` came from `System`, because every allocation of this allocator does.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(1, size as i64 - layout.size() as i64);
        // SAFETY: as in `dealloc`; the caller vouches for `size`.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::Count;

    #[test]
    fn an_allocation_is_counted_and_its_bytes_are_live_until_it_is_freed() {
        let count = Count::begin();
        let before = count.so_far();
        let block = black_box(vec![1_u8; 1 << 20]); // other tests' threads allocate less than this
        let held = count.so_far();
        drop(block);
        let after = count.so_far();
        assert!(held.allocations > before.allocations);
        assert!(held.live_bytes - before.live_bytes > 1 << 19);
        assert!(held.live_bytes - after.live_bytes > 1 << 19);
    }
}

//! An allocator that counts what it hands out.
//!
//! # Safety
//!
//! [`Counting`] hands every call on to [`System`] with the arguments it got, and returns what that returns.
//! Beside that it only adds to atomic counters: it neither allocates nor panics, and it reads no memory that
//! it hands out.

#![expect(unsafe_code, reason = "an allocator; the chapter above says why it is sound")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Sub;
use std::sync::atomic::{AtomicI64, Ordering};

static ALLOCATIONS: AtomicI64 = AtomicI64::new(0);
static BYTES: AtomicI64 = AtomicI64::new(0);

/// The allocator of the whole program.
pub(crate) struct Counting;

/// What the heap holds, or what was added to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heap {
    /// Calls that asked for memory so far: one that makes a block larger counts as well.
    pub(crate) allocations: i64,
    /// Bytes that were asked for and not given back.
    pub(crate) bytes: i64,
}

impl Heap {
    pub(crate) fn now() -> Self {
        Self {
            allocations: ALLOCATIONS.load(Ordering::SeqCst),
            bytes: BYTES.load(Ordering::SeqCst),
        }
    }
}

impl Sub for Heap {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            allocations: self.allocations - before.allocations,
            bytes: self.bytes - before.bytes,
        }
    }
}

fn add(allocations: i64, bytes: i64) {
    ALLOCATIONS.fetch_add(allocations, Ordering::SeqCst);
    BYTES.fetch_add(bytes, Ordering::SeqCst);
}

// SAFETY: every call goes on to `System` as it came, and its result goes back as it came. What is not defined here
// falls back on these.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(1, layout.size() as i64);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
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

//! DECISION: a line of waiting things: first in, first out, and any of them can step out in O(1).

/// A FIFO over a slab: every member keeps its index while it waits, so that it can be found and taken
/// out without a search, and the memory of those who left is used again.
#[derive(Debug)]
pub(crate) struct Line<T> {
    slots: Vec<Slot<T>>,
    free: u32,
    head: u32,
    tail: u32,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<(u64, T)>, // with its arrival number
    previous: u32,
    next: u32, // of the free list while the slot is empty
}

const NONE: u32 = u32::MAX;

impl<T> Line<T> {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), free: NONE, head: NONE, tail: NONE, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts `value` at the end; `arrival` must rise from call to call.
    pub(crate) fn push_back(&mut self, arrival: u64, value: T) -> u32 {
        let slot = Slot { value: Some((arrival, value)), previous: self.tail, next: NONE };
        let index = if self.free == NONE {
            assert!(
                self.slots.len() < NONE as usize,
                "more than four thousand million waiting tasks"
            );
            self.slots.push(slot);
            (self.slots.len() - 1) as u32
        } else {
            let index = self.free;
            self.free = self.slots[index as usize].next;
            self.slots[index as usize] = slot;
            index
        };
        match self.tail {
            NONE => self.head = index,
            tail => self.slots[tail as usize].next = index,
        }
        self.tail = index;
        self.len += 1;
        index
    }

    /// Takes a member out, wherever it stands.
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let slot = self.slots.get_mut(index as usize)?;
        let (_, value) = slot.value.take()?;
        let (previous, next) = (slot.previous, slot.next);
        slot.next = self.free;
        self.free = index;
        match previous {
            NONE => self.head = next,
            previous => self.slots[previous as usize].next = next,
        }
        match next {
            NONE => self.tail = previous,
            next => self.slots[next as usize].previous = previous,
        }
        self.len -= 1;
        Some(value)
    }

    /// Index and arrival number of who is first.
    pub(crate) fn front(&self) -> Option<(u32, u64)> {
        let slot = self.slots.get(self.head as usize)?;
        slot.value.as_ref().map(|(arrival, _)| (self.head, *arrival))
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        if self.head == NONE { None } else { self.remove(self.head) }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.value.as_ref().map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.value.as_mut().map(|(_, value)| value)
    }

    /// Every member in order, with its index and arrival number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u64, &T)> {
        let mut at = self.head;
        std::iter::from_fn(move || {
            let slot = self.slots.get(at as usize)?;
            let index = std::mem::replace(&mut at, slot.next);
            slot.value.as_ref().map(|(arrival, value)| (index, *arrival, value))
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn members_leave_in_the_order_in_which_they_came() {
        let mut line = Line::new();
        for n in 0..4 {
            line.push_back(n, n);
            assert!(!line.is_empty());
        }
        assert_eq!(std::iter::from_fn(|| line.pop_front()).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(line.is_empty());
    }

    #[test]
    fn who_steps_out_leaves_the_others_in_order_and_its_slot_to_the_next() {
        let mut line = Line::new();
        let indices: Vec<u32> = (0..5).map(|n| line.push_back(n, n)).collect();
        for gone in [0, 2, 4] {
            assert_eq!(line.remove(indices[gone]), Some(gone as u64));
            assert_eq!(line.remove(indices[gone]), None);
        }
        assert_eq!(line.push_back(5, 5), indices[4]);
        let left: Vec<u64> = line.iter().map(|(_, _, value)| *value).collect();
        assert_eq!(left, [1, 3, 5]);
        assert_eq!(line.front(), Some((indices[1], 1)));
    }

    #[test]
    fn who_waits_can_be_looked_at_and_changed() {
        let mut line = Line::new();
        let (first, last) = (line.push_back(0, "a"), line.push_back(1, "b"));
        assert_eq!(line.get_mut(last).map(|value| std::mem::replace(value, "c")), Some("b"));
        assert_eq!((line.get(first), line.get(last), line.get(2)), (Some(&"a"), Some(&"c"), None));
        line.remove(first);
        assert_eq!(line.get(first), None);
        assert_eq!(line.get_mut(first), None);
    }

    #[test]
    fn memory_follows_the_longest_line_and_not_the_number_of_members() {
        let mut line = Line::new();
        let first = line.push_back(0, 0);
        for n in 1..1_000 {
            let index = line.push_back(n, n);
            line.remove(index);
        }
        assert_eq!(line.slots.len(), 2);
        line.remove(first);
    }
}

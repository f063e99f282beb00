//! Bursting: how many workers there should be.

pub(crate) mod policy;

//! The clients of a benchmark.

use std::fmt::Write;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};

/// An identity that distinguishes clients.
pub trait Identity: Clone + Eq + Hash + Send + Sync {
    fn of(number: usize) -> Self;

    /// Changes to another client's identity, reusing the allocation.
    fn become_of(&mut self, number: usize) {
        *self = Self::of(number);
    }
}

impl Identity for String {
    fn of(number: usize) -> Self {
        format!("user:{number:08}")
    }

    fn become_of(&mut self, number: usize) {
        self.clear();
        let _ = write!(self, "user:{number:08}");
    }
}

impl Identity for IpAddr {
    fn of(number: usize) -> Self {
        Self::V4(Ipv4Addr::from_bits(0x0a00_0000 + number as u32 * 7))
    }
}

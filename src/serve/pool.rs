//! Bytes that all connections share, and leases on them: memory an outsider makes us hold is taken from here or not at all.

use std::cell::Cell;
use std::rc::Rc;

/// A number of bytes to lease.
#[derive(Debug)]
pub struct Pool {
    left: Cell<usize>,
}

impl Pool {
    /// A pool of `bytes`.
    pub fn new(bytes: usize) -> Rc<Pool> {
        Rc::new(Pool { left: Cell::new(bytes) })
    }

    /// A lease on nothing yet.
    pub fn lease(self: &Rc<Pool>) -> Lease {
        Lease { pool: Rc::clone(self), bytes: 0 }
    }
}

/// Bytes taken from a pool, given back when dropped.
#[derive(Debug)]
pub struct Lease {
    pool: Rc<Pool>,
    bytes: usize,
}

impl Lease {
    /// Makes the lease `bytes` large if it is smaller. Returns whether the pool had enough; if not, nothing changed.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        match self.pool.left.get().checked_sub(more) {
            Some(left) => {
                self.pool.left.set(left);
                self.bytes += more;
                true
            }
            None => false,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.left.set(self.pool.left.get() + self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_leased_is_gone_until_dropped() {
        let pool = Pool::new(10);
        let (mut a, mut b) = (pool.lease(), pool.lease());
        assert!(a.grow_to(6) && a.grow_to(4) && b.grow_to(4));
        assert!(!b.grow_to(5) && !a.grow_to(7), "nothing left");
        drop(a);
        assert!(b.grow_to(10) && !pool.lease().grow_to(1));
    }
}

//! Failed attempts per source → locked or not. Pure: time is an argument and never goes back.
//!
//! Two fixed tables, both empty until somebody fails: the failures of the last window, newest last, and the locks.
//! A failure outlives the lock it caused, because it still counts against everybody together: an attacker with a
//! thousand addresses makes no more guesses in a window than [`AUTH_FAILURES_PER_WINDOW_MAX`].

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::limits::{
    AUTH_ATTEMPTS_DEFAULT, AUTH_ATTEMPTS_MAX, AUTH_FAILURES_PER_WINDOW_MAX, AUTH_LOCKOUT_MS_DEFAULT, AUTH_LOCKS_MAX,
    AUTH_WINDOW_MS_DEFAULT,
};

/// The limit on failed attempts of one source. Source: contract http.md §2.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Failures within `window` that lock the source. 0 means 1; more than [`AUTH_ATTEMPTS_MAX`] means that.
    pub max_attempts: u32,
    /// The sliding window that failures are counted over.
    pub window: Duration,
    /// How long a source stays locked.
    pub lockout: Duration,
    /// Whether direct loopback peers are never locked.
    pub exempt_loopback: bool,
}

impl Default for Rule {
    /// The documented defaults. Source: contract http.md §2.6.
    fn default() -> Rule {
        Rule {
            max_attempts: AUTH_ATTEMPTS_DEFAULT,
            window: Duration::from_millis(AUTH_WINDOW_MS_DEFAULT.into()),
            lockout: Duration::from_millis(AUTH_LOCKOUT_MS_DEFAULT.into()),
            exempt_loopback: true,
        }
    }
}

/// Who is counted: an IPv4 address, or the /64 an IPv6 address is in, because one household owns all of a /64.
///
/// IPv4 takes the mapped form; no IPv6 /64 can equal it, since those have their lower half cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source(u128);

impl Source {
    fn of(addr: IpAddr) -> Source {
        match addr.to_canonical() {
            IpAddr::V4(v4) => Source(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Source(v6.to_bits() & !u128::from(u64::MAX)),
        }
    }
}

/// One failure. Without a source it no longer counts against anybody in particular.
#[derive(Debug)]
struct Failure {
    source: Option<Source>,
    at: Instant,
}

/// The table of recent failures.
///
/// Never more than [`AUTH_FAILURES_PER_WINDOW_MAX`] failures and [`AUTH_LOCKS_MAX`] locks; no allocation before the
/// first failure.
#[derive(Debug, Default)]
pub struct Limiter {
    failures: VecDeque<Failure>,
    locks: VecDeque<(Source, Instant)>,
}

impl Limiter {
    /// Whether `source` may try now.
    ///
    /// # Errors
    /// Whole seconds, rounded up and at least 1, until it may try again: because it is locked, or because all
    /// sources together have failed too often. Source: contract http.md §2.6.
    pub fn check(&mut self, rule: &Rule, source: IpAddr, now: Instant) -> Result<(), u32> {
        self.prune(rule, now);
        let source = Source::of(source);
        let lock = self.locks.iter().find(|(locked, _)| *locked == source);
        if let Some((_, since)) = lock {
            return Err(secs_left(*since, rule.lockout, now));
        }
        match self.failures.front() {
            Some(oldest) if self.failures.len() >= AUTH_FAILURES_PER_WINDOW_MAX => {
                Err(secs_left(oldest.at, rule.window, now))
            }
            _ => Ok(()),
        }
    }

    /// Records that `source` offered a wrong credential; locks it when that was one too many.
    pub fn failed(&mut self, rule: &Rule, source: IpAddr, now: Instant) {
        self.prune(rule, now);
        let source = Source::of(source);
        if self.failures.len() >= AUTH_FAILURES_PER_WINDOW_MAX {
            self.failures.pop_front();
        }
        self.failures.push_back(Failure { source: Some(source), at: now });
        let count = self.failures.iter().filter(|f| f.source == Some(source)).count();
        let limit = rule.max_attempts.clamp(1, AUTH_ATTEMPTS_MAX);
        if u32::try_from(count).unwrap_or(u32::MAX) < limit {
            return;
        }
        self.forget(source);
        if self.locks.len() >= AUTH_LOCKS_MAX {
            self.locks.pop_front();
        }
        self.locks.push_back((source, now));
    }

    /// Records that `source` proved itself: its failures no longer count against it. They still count against all
    /// sources together, so that a right secret behind a shared address does not give a guesser new tries.
    pub fn passed(&mut self, source: IpAddr) {
        self.forget(Source::of(source));
    }

    fn forget(&mut self, source: Source) {
        for failure in self.failures.iter_mut().filter(|f| f.source == Some(source)) {
            failure.source = None;
        }
    }

    /// Drops what the rule in force no longer counts. Ages are compared, not ends, so no sum can overflow and a
    /// reload with another rule holds at once.
    fn prune(&mut self, rule: &Rule, now: Instant) {
        self.failures.retain(|f| now.saturating_duration_since(f.at) < rule.window);
        self.locks.retain(|(_, since)| now.saturating_duration_since(*since) < rule.lockout);
    }
}

fn secs_left(since: Instant, span: Duration, now: Instant) -> u32 {
    let left = span.saturating_sub(now.saturating_duration_since(since));
    let whole = left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0));
    u32::try_from(whole).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        max_attempts: 3,
        window: Duration::from_secs(60),
        lockout: Duration::from_secs(7),
        exempt_loopback: false,
    };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_last_allowed_failure_locks_and_time_frees() {
        let (start, a) = (Instant::now(), ip("192.0.2.1"));
        let mut limiter = Limiter::default();
        for n in 0..3 {
            assert_eq!(limiter.check(&RULE, a, start + ms(n)), Ok(()), "attempt {n}");
            limiter.failed(&RULE, a, start + ms(n));
        }
        let check = |limiter: &mut Limiter, at: u64, expected: Result<(), u32>| {
            assert_eq!(limiter.check(&RULE, a, start + ms(at)), expected, "at {at} ms");
        };
        check(&mut limiter, 3, Err(7));
        check(&mut limiter, 1_002, Err(6));
        check(&mut limiter, 1_003, Err(6));
        check(&mut limiter, 7_001, Err(1));
        check(&mut limiter, 7_002, Ok(()));
        // The list is empty again: two more failures do not lock.
        limiter.failed(&RULE, a, start + ms(7_003));
        limiter.failed(&RULE, a, start + ms(7_004));
        check(&mut limiter, 7_005, Ok(()));
    }

    #[test]
    fn the_window_slides() {
        let (start, a) = (Instant::now(), ip("192.0.2.1"));
        let mut limiter = Limiter::default();
        limiter.failed(&RULE, a, start);
        limiter.failed(&RULE, a, start + ms(30_000));
        limiter.failed(&RULE, a, start + ms(60_000));
        assert_eq!(limiter.check(&RULE, a, start + ms(60_000)), Ok(()));
        limiter.failed(&RULE, a, start + ms(60_001));
        assert_eq!(limiter.check(&RULE, a, start + ms(60_001)), Err(7));
    }

    #[test]
    fn success_forgives_the_source() {
        let (start, a) = (Instant::now(), ip("192.0.2.1"));
        let mut limiter = Limiter::default();
        for _ in 0..5 {
            limiter.failed(&RULE, a, start);
            limiter.failed(&RULE, a, start);
            limiter.passed(a);
        }
        assert_eq!(limiter.check(&RULE, a, start), Ok(()));
    }

    #[test]
    fn sources_are_addresses_or_v6_networks() {
        let check = |one: &str, other: &str, same: bool| {
            assert_eq!(Source::of(ip(one)) == Source::of(ip(other)), same, "{one} and {other}");
        };
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("2001:db8::1", "2001:db8::ffff:1", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
        check("::1", "0.0.0.0", false);
    }

    #[test]
    fn zero_attempts_lock_at_the_first_failure() {
        let (start, a) = (Instant::now(), ip("192.0.2.1"));
        let rule = Rule { max_attempts: 0, ..RULE };
        let mut limiter = Limiter::default();
        assert_eq!(limiter.check(&rule, a, start), Ok(()));
        limiter.failed(&rule, a, start);
        assert_eq!(limiter.check(&rule, a, start), Err(7));
        assert_eq!(limiter.check(&rule, a, start + ms(7_000)), Ok(()));
    }

    #[test]
    fn many_sources_share_one_limit_and_a_fixed_table() {
        let start = Instant::now();
        let mut limiter = Limiter::default();
        assert_eq!((limiter.failures.capacity(), limiter.locks.capacity()), (0, 0));
        let source = |n: u64| IpAddr::from((0x2001_0db8_u128 << 96 | u128::from(n) << 64).to_be_bytes());
        let mut let_in = 0;
        for n in 0..5_000 {
            if limiter.check(&RULE, source(n), start + ms(n)).is_ok() {
                let_in += 1;
                limiter.failed(&RULE, source(n), start + ms(n));
            }
        }
        assert_eq!(let_in, AUTH_FAILURES_PER_WINDOW_MAX);
        assert_eq!(limiter.check(&RULE, ip("192.0.2.1"), start + ms(5_000)), Err(55));
        assert_eq!(limiter.check(&RULE, ip("192.0.2.1"), start + ms(60_000)), Ok(()));
    }

    #[test]
    fn the_oldest_lock_gives_way() {
        let start = Instant::now();
        let rule = Rule { max_attempts: 1, lockout: Duration::from_secs(3_600), ..RULE };
        let mut limiter = Limiter::default();
        let source = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..=u32::try_from(AUTH_LOCKS_MAX).unwrap() {
            limiter.failed(&rule, source(n), start);
        }
        assert_eq!((limiter.locks.len(), limiter.failures.len()), (AUTH_LOCKS_MAX, AUTH_FAILURES_PER_WINDOW_MAX));
        let later = start + RULE.window;
        assert_eq!(limiter.check(&rule, source(0), later), Ok(()));
        assert_eq!(limiter.check(&rule, source(1), later), Err(3_540));
    }

    #[test]
    fn no_time_overflows() {
        let (start, a) = (Instant::now(), ip("192.0.2.1"));
        let rule = Rule { max_attempts: 1, window: Duration::MAX, lockout: Duration::MAX, exempt_loopback: true };
        let mut limiter = Limiter::default();
        limiter.failed(&rule, a, start);
        assert_eq!(limiter.check(&rule, a, start), Err(u32::MAX));
    }
}

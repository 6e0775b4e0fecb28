//! How well the one loop keeps up: how late deadlines were noticed, how much of a processor it took. For readiness.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::api::Pulse;
use crate::limits::LOOP_LATE;

/// Lateness is counted in classes of doubling width, from one microsecond on.
const CLASSES: usize = 32;

/// What was seen since the last look.
#[derive(Debug)]
pub struct Monitor {
    since: Cell<(Instant, Duration)>,
    late: RefCell<[u32; CLASSES]>,
    latest: Cell<Duration>,
    cores: u128,
}

impl Default for Monitor {
    fn default() -> Self {
        let cores = rustix::thread::sched_getaffinity(None).map_or(1, |cores| cores.count());
        Monitor {
            since: Cell::new((Instant::now(), processor_time())),
            late: RefCell::default(),
            latest: Cell::default(),
            cores: u128::from(cores.max(1)),
        }
    }
}

/// The processor time this process has used.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl Monitor {
    /// Counts a deadline that was noticed `late`.
    pub fn record(&self, late: Duration) {
        let class = (late.as_micros().max(1).ilog2() as usize).min(CLASSES - 1);
        if let Some(count) = self.late.borrow_mut().get_mut(class) {
            *count = count.saturating_add(1);
        }
        self.latest.set(self.latest.get().max(late));
    }

    /// What was seen since the last call, which this one begins anew.
    pub fn look(&self, now: Instant) -> Pulse {
        let used = processor_time();
        let (since, used_before) = self.since.replace((now, used));
        let interval = now.saturating_duration_since(since);
        let late = self.late.take();
        let delay_max = self.latest.take();
        let used = used.saturating_sub(used_before).as_nanos();
        let share = |cores: u128| {
            let permille = used.saturating_mul(1000) / interval.as_nanos().max(1).saturating_mul(cores);
            u32::try_from(permille).unwrap_or(u32::MAX).min(1000)
        };
        let p99 = percentile(&late).min(delay_max);
        Pulse {
            degraded: p99 > LOOP_LATE,
            interval_ms: u64::try_from(interval.as_millis()).unwrap_or(u64::MAX),
            delay_p99: p99,
            delay_max,
            utilization_permille: share(1),
            cores_permille: share(self.cores),
        }
    }
}

/// The upper end of the class that holds the 99th of 100 counts; zero without any.
fn percentile(late: &[u32; CLASSES]) -> Duration {
    let total: u64 = late.iter().map(|count| u64::from(*count)).sum();
    let mut left = total.saturating_mul(99).div_ceil(100);
    for (class, count) in (1..).zip(late) {
        left = left.saturating_sub(u64::from(*count));
        if total > 0 && left == 0 {
            let micros = 1 << class;
            return Duration::from_micros(micros);
        }
    }
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_counted_in_classes() {
        let monitor = Monitor::default();
        assert_eq!(monitor.look(Instant::now()).delay_p99, Duration::ZERO);
        for _ in 0..99 {
            monitor.record(Duration::from_micros(100));
        }
        monitor.record(Duration::from_secs(1));
        let pulse = monitor.look(Instant::now());
        assert_eq!((pulse.delay_p99, pulse.delay_max), (Duration::from_micros(128), Duration::from_secs(1)));
        assert!(!pulse.degraded);
        monitor.record(Duration::from_secs(1));
        assert!(monitor.look(Instant::now()).degraded);
        assert_eq!(monitor.look(Instant::now()).delay_max, Duration::ZERO, "a look begins anew");
    }
}

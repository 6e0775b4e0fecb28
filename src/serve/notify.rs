//! What becomes of the gateway → datagrams for a service manager that waits for them. Source: sd_notify(3).
//!
//! Such a manager names its socket in the environment, which is looked at once. Without it nothing here does anything, and
//! nothing here is fatal: a gateway that cannot say how it is serves all the same.
//!
//! The socket is made at the start, so that a gateway out of descriptors still shows that it lives. It is not connected:
//! a manager that has made its own socket anew is found again. Sending waits for a manager in arrears, because `READY=1`
//! must not get lost, but no longer than [`NOTIFY_STEP`].

use std::cell::{Cell, RefCell};
use std::ffi::{CString, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::time::{ClockId, clock_gettime};

use super::Job;
use super::deadline::Deadlines;
use crate::limits::{LOG_VALUE_BYTES, NOTIFY_STEP};
use crate::tool::redact::cut;

thread_local! {
    static MANAGER: Option<Manager> = std::env::var_os("NOTIFY_SOCKET").and_then(|name| Manager::find(name).map_err(failed).ok());
}

/// Where the gateway is in its life, as the manager sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    Reloading,
    Stopping,
}

/// Who waits for word.
struct Manager {
    socket: OwnedFd,
    address: SocketAddrUnix,
    phase: Cell<Phase>,
    /// What it shows beside the service's name.
    status: RefCell<String>,
    /// Findings that the last reload was refused for.
    refused: Cell<usize>,
}

/// Signals are caught and listeners accept; `status` says where.
pub fn ready(status: &str) {
    with(|manager| {
        manager.keep(status);
        manager.serving();
    });
}

/// How the gateway is from now on, in one line that people read. Before [`ready`] and during a reload it goes out with
/// the end of that.
pub fn status(text: &str) {
    with(|manager| {
        if manager.keep(text) && manager.phase.get() == Phase::Serving {
            manager.tell("");
        }
    });
}

/// A reload begins.
pub fn reloading() {
    with(|manager| {
        if manager.phase.get() == Phase::Serving {
            manager.phase.set(Phase::Reloading);
            // By the clock that the manager compares it with: only a reload that began after its own signal is its.
            let now = Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default();
            manager.say(&["RELOADING=1\nMONOTONIC_USEC=", &now.as_micros().to_string()].concat());
        }
    });
}

/// A reload has ended: well, or refused for so many findings.
pub fn reloaded(refused: usize) {
    with(|manager| {
        manager.refused.set(refused);
        if manager.phase.get() == Phase::Reloading {
            manager.serving();
        }
    });
}

/// Nobody is let in any more.
pub fn stopping() {
    with(|manager| {
        manager.phase.set(Phase::Stopping);
        manager.say("STOPPING=1\nSTATUS=stopping");
    });
}

/// What shows a manager that watches us that the loop turns, if one does: a task of that same loop, woken by its own
/// deadlines, so that a loop that hangs shows nothing.
pub fn watchdog(deadlines: &Rc<Deadlines>) -> Option<Job> {
    let variable = |name: &str| std::env::var(name).ok();
    let process = rustix::process::getpid().to_string();
    let interval = interval(variable("WATCHDOG_USEC")?, variable("WATCHDOG_PID"), &process)?;
    MANAGER.with(Option::is_some).then(|| beat(interval, deadlines, || with(|manager| manager.say("WATCHDOG=1"))))
}

/// How often to give a sign of life: twice in the time after which its absence is a failure. Source:
/// sd_watchdog_enabled(3).
fn interval(micros: String, whose: Option<String>, process: &str) -> Option<Duration> {
    let micros: u64 = micros.parse().ok().filter(|micros| *micros > 0)?;
    // Beyond an hour an earlier sign is as good.
    let half = Duration::from_micros(micros.min(u32::MAX.into()) / 2);
    whose.is_none_or(|whose| whose == process).then(|| half.max(NOTIFY_STEP))
}

/// Calls `sign` at every `interval`.
fn beat(interval: Duration, deadlines: &Rc<Deadlines>, sign: impl Fn() + 'static) -> Job {
    let deadline = deadlines.deadline();
    Box::pin(async move {
        loop {
            deadline.start(interval);
            _ = deadline.race(std::future::pending::<()>()).await;
            sign();
        }
    })
}

fn with(tell: impl Fn(&Manager)) {
    MANAGER.with(|manager| manager.iter().for_each(tell));
}

impl Manager {
    /// The manager that listens at `name`: a path, or after `@` a name without a file. Source: sd_notify(3).
    fn find(name: OsString) -> rustix::io::Result<Manager> {
        let address = match name.as_bytes() {
            [b'/', ..] => SocketAddrUnix::new(CString::new(name.into_vec()).map_err(|_| Errno::INVAL)?)?,
            [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
            _ => return Err(Errno::AFNOSUPPORT),
        };
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_timeout(&socket, Timeout::Send, Some(NOTIFY_STEP))?;
        let (status, refused) = (RefCell::default(), Cell::default());
        Ok(Manager { socket, address, phase: Cell::new(Phase::Starting), status, refused })
    }

    /// Keeps `text` as the status. Returns whether it is another one.
    fn keep(&self, text: &str) -> bool {
        // Another line would be another message, and there are some that a manager obeys.
        let text = cut(text.lines().next().unwrap_or_default(), LOG_VALUE_BYTES);
        let mut status = self.status.borrow_mut();
        let other = *status != text;
        text.clone_into(&mut status);
        other
    }

    /// The gateway serves, from now on or again.
    fn serving(&self) {
        self.phase.set(Phase::Serving);
        self.tell("READY=1\n");
    }

    /// Says `what` and the status.
    fn tell(&self, what: &str) {
        let refused = match self.refused.get() {
            0 => String::new(),
            count => ["; the last reload was refused, findings in the log: ", &count.to_string()].concat(),
        };
        self.say(&[what, "STATUS=", &self.status.borrow(), &refused].concat());
    }

    fn say(&self, message: &str) {
        let send = || rustix::net::sendto(&self.socket, message.as_bytes(), SendFlags::NOSIGNAL, &self.address);
        if let Err(error) = rustix::io::retry_on_intr(send) {
            failed(error);
        }
    }
}

fn failed(error: Errno) {
    ::log::debug!("notify_failed error=\"{error}\"");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::reactor::Reactor;
    use std::sync::mpsc;

    #[test]
    fn signs_of_life_come_twice_in_the_time_given() {
        let check = |micros: &str, whose: Option<&str>, expected: Option<Duration>| {
            assert_eq!(interval(micros.into(), whose.map(String::from), "7"), expected, "{micros} {whose:?}");
        };
        check("60000000", None, Some(Duration::from_secs(30)));
        check("60000000", Some("7"), Some(Duration::from_secs(30)));
        for other in ["8", "", "7 ", "07", "x"] {
            check("60000000", Some(other), None);
        }
        for micros in ["0", "", "-1", "1e6", "60 s", "18446744073709551616"] {
            check(micros, None, None);
        }
        check("1", None, Some(NOTIFY_STEP));
        check("18446744073709551615", None, Some(Duration::from_micros(u64::from(u32::MAX) / 2)));
    }

    /// Another thread holds the loop up, and lets go only when it has heard nothing for ten intervals.
    #[test]
    fn a_loop_that_hangs_gives_no_sign_of_life() {
        const INTERVAL: Duration = Duration::from_millis(5);
        let (signs, heard) = mpsc::channel();
        let (hold, held) = mpsc::channel::<()>();
        let (hanging, hangs) = mpsc::channel();
        let outside = std::thread::spawn(move || {
            let sign = |patience| heard.recv_timeout(patience);
            for _ in 0..3 {
                sign(Duration::from_secs(10)).expect("a sign from a loop that turns");
            }
            hangs.recv().expect("a loop that hangs");
            while sign(Duration::ZERO).is_ok() {}
            assert_eq!(sign(10 * INTERVAL), Err(mpsc::RecvTimeoutError::Timeout), "a sign from a loop that hangs");
            hold.send(()).expect("a loop that waits");
            sign(Duration::from_secs(10)).expect("a sign from a loop that turns again");
        });
        let (reactor, deadlines) = (Reactor::new().expect("a reactor"), Rc::<Deadlines>::default());
        let pulse = beat(INTERVAL, &deadlines, move || _ = signs.send(()));
        let (own, done) = (deadlines.deadline(), deadlines.deadline());
        let hang = async {
            own.start(10 * INTERVAL);
            own.await;
            hanging.send(()).expect("somebody listens");
            held.recv().expect("the end of it");
            done.start(10 * INTERVAL);
            done.await;
        };
        reactor.run(smol::future::or(hang, pulse), &deadlines, |_| ());
        outside.join().expect("what was heard outside");
    }

    #[test]
    fn a_status_is_one_line() {
        let check = |text: &str, expected: &str| {
            let manager = Manager::find("@toolgate-nobody".into()).expect("a socket");
            assert!(manager.keep(text));
            assert!(!manager.keep(text), "the same again");
            assert_eq!(*manager.status.borrow(), expected);
        };
        check("waiting for tailscale0", "waiting for tailscale0");
        check("a\nMAINPID=1\r\n", "a");
        check(&"x".repeat(1_000), &"x".repeat(LOG_VALUE_BYTES));
    }

    #[test]
    fn names_that_are_none() {
        for name in ["", "run/notify", "vsock:2:1", &format!("/{}", "x".repeat(200)), &format!("@{}", "x".repeat(200))]
        {
            assert!(Manager::find(name.into()).is_err(), "{name:?}");
        }
    }
}
